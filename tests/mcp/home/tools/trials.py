"""Tools for the tests of `agentkit mcp`."""

import os
import subprocess
import sys
import threading
import time
from enum import StrEnum
from pathlib import Path
from typing import Any

from agentkit import ToolContext, tool
from agentkit.errors import Cancelled, ToolError
from agentkit.permissions import WritePath

print("this must not be in the way of the protocol")

MARKS = Path(os.environ["AGENTKIT_HOME"]) / "marks"
MEETING = threading.Barrier(3)


class Tone(StrEnum):
    LOUD = "loud"
    QUIET = "quiet"


@tool
def greet(name: str, tone: Tone = Tone.QUIET) -> dict[str, str]:
    """Say hello.

    Args:
        name: To whom.
    """
    said = f"hello {name}"
    return {"said": said.upper() if tone is Tone.LOUD else said}


@tool
def fail(why: str) -> None:
    """Do not do it."""
    raise ToolError(why)


@tool
def shout() -> str:
    """Print in every way there is."""
    print("shout: print")
    sys.__stdout__.write("shout: sys.__stdout__\n")  # type: ignore[union-attr]
    os.write(1, b"shout: file descriptor\n")
    subprocess.run(["echo", "shout: child"], check=True)
    return f"stdin has {sys.stdin.read()!r}"


@tool
def tick(*, context: ToolContext) -> str:
    """Be done in three steps."""
    for done in (1, 2, 3):
        context.progress(done, 3, "steps")
    return "done"


@tool
def wait(mark: str, *, context: ToolContext) -> str:
    """Wait until it is cancelled, and leave a mark."""
    context.progress(1, None, "moments")
    try:
        while True:
            context.cancel.check()
            time.sleep(0.01)
    except Cancelled as stop:
        MARKS.mkdir(exist_ok=True)
        (MARKS / mark).write_text(str(stop))
        raise


@tool
def look(mark: str, *, context: ToolContext) -> str:
    """Wait for a mark and read it."""
    while not (MARKS / mark).exists() or not (MARKS / mark).read_text():
        context.cancel.check()
        time.sleep(0.01)
    return (MARKS / mark).read_text()


@tool
def meet() -> str:
    """Wait until three are here."""
    MEETING.wait(20)
    return "met"


@tool(effects=("writes",))
def put(path: WritePath, text: str, *, context: ToolContext) -> dict[str, Any]:
    """Write a file."""
    return {"path": str(context.files.write(path, text.encode()))}


@tool(effects=("network",))
def far() -> None:
    """Talk to somebody."""
