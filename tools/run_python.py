"""Run Python in the sandbox, in the folder of the run.

What the code prints is the result; the files that it makes are results of the run.  Code that fails
is a call that can be made better: the hint has the end of the error, and what to do about those
that models make again and again.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from agentkit import ToolContext, tool
from agentkit.errors import ToolRetry
from agentkit.jobs import INPUTS, Job, JobResult, Limits
from agentkit.permissions import ReadPath
from agentkit.toolbox import programs

PROMPT = Path(__file__).with_name("_python_prompt.py").read_text(encoding="utf-8")
"""Runs the code; begins anew in each call."""


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
    result = programs.run(_job(code, files, context), context)
    if programs.failed(result):
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
    printed, errors = programs.text(result.stdout), programs.text(result.stderr)
    if printed:
        if errors:
            context.warn(programs.last_lines(errors))
        return printed
    parts = ("it printed nothing", programs.made(result, context.folder), errors)
    return "\n".join(part for part in parts if part)


def _hint(result: JobResult, code: str) -> str:
    """What went wrong, what to do, and what was printed before."""
    errors = programs.text(result.stderr)
    parts = [programs.ending(result), programs.last_lines(errors), *_advice(errors, code)]
    if result.stdout.strip():
        parts.append(f"it had printed:\n{programs.last_lines(programs.text(result.stdout))}")
    return "\n".join(part for part in parts if part)


ADVICE = (
    (
        r"No module named 'pandas'",
        "There is no pandas. Use csv: rows = list(csv.DictReader(open('FILE.csv'))); each value is "
        "text, so float(row['COLUMN']).",
    ),
    (
        r"could not convert string to float",
        "The first row of a CSV file names the columns: use csv.DictReader(open('FILE.csv')), and "
        "float(row['COLUMN']) where it is not empty.",
    ),
    (
        r"ModuleNotFoundError",
        "Only the standard library is there: use csv, json, statistics, re instead.",
    ),
    (r"EOFError", "Nobody is there to type: write values into the code instead of input()."),
    (
        r"URLError|gaierror|ConnectError|ConnectionError|Network is unreachable",
        "There is no network here: get what you need with fetch_url first.",
    ),
    (
        r"FileNotFoundError",
        "The code runs in the folder of the run: open files there by their names, such as "
        f"'data.csv'; the argument files are {INPUTS}/NAME.",
    ),
    (r"Read-only file system|PermissionError", "Write to relative paths: no other can be written."),
)
"""By what stands in the errors."""


def _advice(errors: str, code: str) -> list[str]:
    found = [advice for pattern, advice in ADVICE if re.search(pattern, errors)]
    if "SyntaxError" in errors and "\\n" in code and "\n" not in code.strip():
        found.append("Write real line breaks, not \\n.")
    return found
