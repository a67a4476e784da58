"""Dies `at-once`, `wordy`, by a `signal`, or in a call; tells how many lives it had."""

import os
import signal
import sys
from pathlib import Path
from typing import Any

from tests.toolservers.programs import wire

LIVES = Path(os.environ.get("LIVES", os.devnull))


def call(question: dict[str, Any], name: str, given: dict[str, Any]) -> None:
    if name == "die":
        print("\x1b[31mout of\u202e luck\x1b[0m", file=sys.stderr, flush=True)
        os._exit(3)
    if name != "hang":
        wire.say(question, f"life {len(LIVES.read_text())}")


with LIVES.open("a") as lives:
    lives.write("x")
if sys.argv[1:] == ["wordy"]:
    sys.exit("".join(f"line {number} of many\n" for number in range(1000)) + "the reason")
if sys.argv[1:] == ["at-once"]:
    sys.exit("no configuration: set WHERE")
if sys.argv[1:] == ["signal"]:
    os.kill(os.getpid(), signal.SIGKILL)
wire.serve(lambda: [wire.tool("die"), wire.tool("live")], call)
