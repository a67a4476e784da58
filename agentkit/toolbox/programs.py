"""Programs behind tools: run in the sandbox, and what is told of how they ended."""

from __future__ import annotations

import signal
from contextlib import suppress
from pathlib import Path

from agentkit.jobs import Job, JobResult
from agentkit.ports import ToolContext

LINES = 20
"""Lines that are told of what a program printed last."""
WIDEST = 300
"""Characters of such a line."""
BEGUN, SHOWN, HEAD = 2, 6, 2000
"""Files whose beginning is told, lines of each, and bytes that are read for them."""

STOPPED = {
    "wall": "it took too long and was ended: do less, or do it in parts",
    "cpu": "it computed for too long and was ended: do less, or do it in parts",
    "memory": "it needed too much memory and was ended: work on one piece at a time",
    "processes": "it started too many processes and was ended",
    "output": "it printed too much and was ended: print only what you need, or write a file",
    "disk": "it wrote too much and was ended: write less",
}
"""By the limit that was reached."""


def run(job: Job, context: ToolContext) -> JobResult:
    """Run a program; the files that it made are results of the run.

    Raises `Cancelled`, and what `Sandbox.run` raises.
    """
    result = context.sandbox.run(job, context.cancel)
    for name in result.changed:
        with suppress(FileNotFoundError):  # another program of the run has removed it since
            context.artifact(context.folder / name)
    if result.removed:
        gone = ", ".join(result.removed[:LINES])
        context.warn(f"links out of its folder, pipes and sockets were not kept: {gone}")
    context.cancel.check()
    return result


def failed(result: JobResult) -> bool:
    """Whether it did not end well."""
    return bool(result.stopped or result.exit_code)


def ending(result: JobResult) -> str:
    """How it ended, and what to do about a limit."""
    if result.stopped in STOPPED:
        return STOPPED[result.stopped]
    if result.exit_code < 0:
        return f"it crashed: {signal.strsignal(-result.exit_code)}"
    return f"it ended with exit code {result.exit_code}"


def made(result: JobResult, folder: Path) -> str:
    """The files that it left in its folder, and how the first of them begin; empty if there are
    none.
    """
    if not result.changed:
        return ""
    began = [_beginning(name, folder / name) for name in result.changed[:BEGUN]]
    told = f"it made or changed: {', '.join(result.changed[:LINES])}"
    return "\n".join([told, *(text for text in began if text)])


def _beginning(name: str, file: Path) -> str:
    """How a text begins, so that nobody has to read the file to see whether it is right."""
    try:
        with file.open("rb") as opened:
            head = opened.read(HEAD).decode("utf-8")
    except (OSError, UnicodeDecodeError):  # it has gone since, or is no text
        return ""
    lines = [line[:WIDEST] for line in head.splitlines()[:SHOWN]]
    return "\n".join([f"{name} begins:", *lines]) if head.strip() else f"{name} is empty"


def text(output: bytes) -> str:
    """What was printed."""
    return output.decode("utf-8", "replace").rstrip()


def last_lines(printed: str) -> str:
    """The end of what was printed."""
    lines = printed.splitlines()
    cut = ["[...]"] if len(lines) > LINES else []
    return "\n".join([*cut, *(line[:WIDEST] for line in lines[-LINES:])])
