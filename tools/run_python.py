"""Run Python in the sandbox, in the folder of the run.

What the code prints is the result; the files that it makes are results of the run.  Code that fails
is a call that can be made better: the hint has the end of the error, and what to do about those
that models make again and again.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from agentkit import ToolContext, tool
from agentkit.errors import ToolRetry
from agentkit.jobs import INPUTS, Job, JobResult, Limits
from agentkit.permissions import ReadPath

PROMPT = Path(__file__).with_name("_python_prompt.py").read_text(encoding="utf-8")
"""Runs the code; begins anew in each call."""

LINES = 20
"""Lines that a hint has of what was printed, and of the errors."""
WIDEST = 300
"""Characters of such a line."""


class Options(BaseModel):
    """What settings can say: `tools: {options: {run_python: {seconds: 300}}}`."""

    model_config = ConfigDict(extra="forbid")

    seconds: float = Field(60.0, gt=0)
    memory_mb: int = Field(1000, gt=0)


@tool(effects=("reads", "executes"))
def run_python(code: str, files: Sequence[ReadPath] = (), *, context: ToolContext) -> str:
    """Run Python code and return what it prints.

    Args:
        code: The whole program. Nothing is kept from earlier calls but files.
        files: Files from elsewhere; the code finds them as /inputs/NAME.
    """
    if not code.strip():
        raise ToolRetry("code is empty: write a program")
    code = _unfenced(code)
    result = context.sandbox.run(_job(code, files, context), context.cancel)
    for name in result.changed:
        context.artifact(context.folder / name)
    context.cancel.check()
    if result.stopped or result.exit_code:
        raise ToolRetry(_hint(result, code))
    return _output(result, context)


def _job(code: str, files: Sequence[Path], context: ToolContext) -> Job:
    options = context.options(Options)
    memory = options.memory_mb * 1_000_000
    return Job(
        argv=("python3", "-uB", "-c", PROMPT),
        work=context.folder,
        inputs=_inputs(files, context),
        stdin=code.encode("utf-8", "replace"),
        limits=Limits(wall=options.seconds, cpu=options.seconds, memory=memory),
    )


def _unfenced(code: str) -> str:
    """Without the marks that Markdown puts around code."""
    lines = code.strip().splitlines()
    if len(lines) > 1 and lines[0].startswith("```") and lines[-1].startswith("```"):
        return "\n".join(lines[1:-1])
    return code


def _inputs(files: Sequence[Path], context: ToolContext) -> dict[str, Path]:
    inputs: dict[str, Path] = {}
    for path in files:
        place = context.files.locate(path)
        if not place.exists():
            raise ToolRetry(f"there is no file {str(path)!r}")
        if place.name in inputs:
            raise ToolRetry(f"two files are named {place.name!r}: give the folder that they are in")
        inputs[place.name] = place
    return inputs


def _output(result: JobResult, context: ToolContext) -> str:
    """What was printed; where that is nothing, what else came of it."""
    printed, errors = _text(result.stdout), _text(result.stderr)
    if printed:
        if errors:
            context.warn(_last_lines(errors))
        return printed
    made = f"it made or changed: {', '.join(result.changed[:LINES])}" if result.changed else ""
    return "\n".join(part for part in ("it printed nothing", made, errors) if part)


def _hint(result: JobResult, code: str) -> str:
    """What went wrong, what to do, and what was printed before."""
    errors = _text(result.stderr)
    parts = [_ending(result), _last_lines(errors), *_advice(errors, code)]
    if result.stdout.strip():
        parts.append(f"it had printed:\n{_last_lines(_text(result.stdout))}")
    return "\n".join(part for part in parts if part)


def _ending(result: JobResult) -> str:
    if result.stopped:
        return STOPPED[result.stopped]
    if result.exit_code < 0:
        return f"it crashed: {signal.strsignal(-result.exit_code)}"
    return f"it ended with exit code {result.exit_code}"


STOPPED = {
    "wall": "it took too long and was ended: do less, or do it in parts",
    "cpu": "it computed for too long and was ended: do less, or do it in parts",
    "memory": "it needed too much memory and was ended: work on one piece at a time",
    "processes": "it started too many processes and was ended",
    "output": "it printed too much and was ended: print only what you need, or write a file",
    "disk": "it wrote too much and was ended: write less",
}
"""By the limit that was reached."""

ADVICE = (
    (r"ModuleNotFoundError", "Only what is installed can be imported: do without it."),
    (r"EOFError", "Nobody is there to type: write values into the code instead of input()."),
    (
        r"URLError|gaierror|ConnectError|ConnectionError|Network is unreachable",
        "There is no network here: get what you need with fetch_url first.",
    ),
    (
        r"FileNotFoundError",
        f"The code sees the folder of the run, and {INPUTS}/NAME for each of the argument files.",
    ),
    (r"Read-only file system|PermissionError", "Write to relative paths: no other can be written."),
)
"""By what stands in the errors."""


def _advice(errors: str, code: str) -> list[str]:
    found = [advice for pattern, advice in ADVICE if re.search(pattern, errors)]
    if "SyntaxError" in errors and "\\n" in code and "\n" not in code.strip():
        found.append("Write real line breaks, not \\n.")
    return found


def _text(output: bytes) -> str:
    return output.decode("utf-8", "replace").rstrip()


def _last_lines(text: str) -> str:
    lines = text.splitlines()
    cut = ["[...]"] if len(lines) > LINES else []
    return "\n".join([*cut, *(line[:WIDEST] for line in lines[-LINES:])])
