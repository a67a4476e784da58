"""Run a shell command in the sandbox, in the folder of the run.

What it prints is the result; the files that it makes are results of the run.  A command that fails
is a call that can be made better: the hint has what it said, and what to do about the failures that
models meet again and again.
"""

from __future__ import annotations

import re

from pydantic import BaseModel, ConfigDict, Field

from agentkit import ToolContext, tool
from agentkit.errors import ToolRetry
from agentkit.jobs import Job, JobResult, Limits
from agentkit.toolbox import programs


class Options(BaseModel):
    """What settings can say: `tools: {options: {run_shell: {seconds: 300}}}`."""

    model_config = ConfigDict(extra="forbid")

    seconds: float = Field(60.0, gt=0)
    memory_mb: int = Field(1000, gt=0)


@tool(effects=("executes",))
def run_shell(command: str, *, context: ToolContext) -> str:
    """Run a bash command and return what it prints.

    Args:
        command: It starts in the folder of the run, without network.
    """
    if not command.strip():
        raise ToolRetry("command is empty: write one, such as ls -l")
    if "\0" in command:
        raise ToolRetry("a command has no NUL character in it")
    options = context.options(Options)
    memory = options.memory_mb * 1_000_000
    job = Job(
        argv=("bash", "-c", command),
        work=context.folder,
        limits=Limits(wall=options.seconds, cpu=options.seconds, memory=memory),
    )
    result = programs.run(job, context)
    if programs.failed(result):
        raise ToolRetry(_hint(result))
    return _output(result, context)


def _output(result: JobResult, context: ToolContext) -> str:
    """What was printed, also about errors; where that is nothing, what else came of it."""
    printed = [programs.text(result.stdout), programs.last_lines(programs.text(result.stderr))]
    if not any(printed):
        made = programs.made(result, context.folder)
        return "it worked and printed nothing" + (f"; {made}" if made else "")
    return "\n".join(part for part in printed if part)


def _hint(result: JobResult) -> str:
    """What went wrong, what to do, and what was printed before."""
    errors, printed = programs.text(result.stderr), programs.text(result.stdout)
    parts = [programs.ending(result), programs.last_lines(errors)]
    parts += [advice for pattern, advice in ADVICE if re.search(pattern, errors)]
    if printed:
        parts.append(f"it had printed:\n{programs.last_lines(printed)}")
    elif not errors and result.exit_code == 1:
        parts.append("It printed nothing: grep, diff and test end so when they find nothing.")
    return "\n".join(part for part in parts if part)


ADVICE = (
    (r"command not found", "Only what is installed can be used: do it another way."),
    (
        r"(?i)could not resolve|name resolution|network is unreachable|unable to resolve",
        "There is no network here: get what you need with fetch_url first.",
    ),
    (
        r"No such file or directory",
        "It sees the folder of the run and the system, no other files: read_file reads those.",
    ),
    (r"Read-only file system|Permission denied", "It can write to its own folder only."),
    (r"unexpected EOF while looking for matching", "A quote is not closed."),
)
"""By what stands in the errors."""
