"""`run`: a script in the sandbox, in the folder of the run.

It goes through the same gate as a tool: the journal knows of it before it begins, files from
elsewhere have to be readable, and without a sandbox a person is asked.  With `output_schema`, what
it prints is JSON; without, the output is text.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from agentkit.errors import ToolError
from agentkit.jobs import INPUTS, Job, Limits
from agentkit.permissions import ReadPath
from agentkit.ports import ChatModel, ToolContext
from agentkit.toolbox import programs
from agentkit.toolbox.python import tool_of
from agentkit.toolbox.tool import tool
from agentkit.workflow.quality import Check
from agentkit.workflow.spec import Script
from agentkit.workflow.steps import uses
from agentkit.workflow.steps.scope import Result, Scope

NAME = "run"
"""What calls of it are on record as."""

LONGEST = 3600.0
"""Seconds that a script may take where its step has no timeout."""


def record(script: Script, env: Mapping[str, str]) -> dict[str, Any]:
    """What the journal keeps of a script: the names of its variables, and what it is."""
    return {**script.model_dump(exclude_none=True), "env": sorted(env)}


def perform(
    script: Script,
    env: Mapping[str, str],
    checks: Sequence[Check],
    schema: Mapping[str, Any] | None,
    chat: Callable[[], ChatModel],
    timeout: float | None,
    scope: Scope,
) -> Result:
    """Run it; the outputs are `text`, or the data that it printed where there is a schema.

    Raises `ToolError` for an exit code that is not 0 and for a limit that was reached.
    """
    arguments = {
        "language": "python" if script.bash is None else "bash",
        "code": script.python if script.bash is None else script.bash,
        "env": dict(env),
        "files": list(script.files),
        "seconds": timeout or LONGEST,
    }
    parse = _text if schema is None else _json
    return uses.perform(TOOL.name, arguments, checks, schema, chat, scope, own=TOOL, parse=parse)


def _text(printed: Any) -> Any:
    return {"text": printed}


def _json(printed: str) -> Any:
    try:
        return json.loads(printed)
    except ValueError as error:
        shown = printed if len(printed) <= 80 else f"{printed[:80]}..."
        raise ToolError(
            f"output_schema wants JSON, and the script printed something else ({error}): {shown!r}",
            hint="print the data alone to stdout, and everything else to stderr",
        ) from None


@tool(name=NAME, effects=("reads", "executes"))
def _script(
    language: Literal["bash", "python"],
    code: str,
    env: dict[str, str],
    files: Sequence[ReadPath],
    seconds: float,
    *,
    context: ToolContext,
) -> str:
    """Run a script of a workflow and return what it prints to stdout.

    Args:
        language: What it is written in.
        code: The whole script.
        env: Its environment.
        files: Files from elsewhere; the script finds them as /inputs/NAME.
        seconds: How long it may take.
    """
    begin = (
        ("bash", "-euo", "pipefail", "-c", code) if language == "bash" else ("python3", "-uB", "-")
    )
    job = Job(
        argv=begin,
        work=context.folder,
        inputs={place.name: place for place in _places(files, context)},
        stdin=code.encode() if language == "python" else b"",
        environment=env,
        limits=replace(Limits(), wall=seconds, cpu=seconds),
    )
    result = programs.run(job, context)
    said = programs.last_lines(programs.text(result.stderr))
    if programs.failed(result):
        raise ToolError(f"{programs.ending(result)}\n{said}".rstrip())
    if said:
        context.warn(said)
    return programs.text(result.stdout)


def _places(files: Sequence[Path], context: ToolContext) -> list[Path]:
    places: dict[str, Path] = {}
    for path in files:
        place = context.files.locate(path)
        if not place.exists():
            raise ToolError(f"there is no file {str(path)!r}")
        if place.name in places:
            raise ToolError(f"two files would be {INPUTS}/{place.name}: name their folder instead")
        places[place.name] = place
    return list(places.values())


TOOL = tool_of(_script, Path(__file__))
