"""A file that can be executed, in whatever language, as a tool: a header says what it takes.

    #!/usr/bin/env bash
    # /// tool
    # description: Count the lines of a file.
    # arguments:
    #   path: {type: file, description: The file.}
    #   unit: {enum: [words, lines], default: lines}
    # ///
    wc --"$unit" < "$path"

It runs in the sandbox, always.  It finds each argument in its environment under the argument's name
(lists and objects as JSON) and all of them as one JSON object on stdin; of a `file` or `folder` it
gets the path inside the sandbox.  It starts in the folder of the run, and what it writes there is a
result of the run.  What it prints is the result of the call: text, or data with `output: json`.
Exit code 75 (EX_TEMPFAIL) means that a better call may succeed, any other but 0 that none will;
either way stderr says why.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model, model_validator

from agentkit.errors import InvalidFile, ToolError, ToolRetry, UserError
from agentkit.jobs import INPUTS, WORK, Job, JobResult, Limits
from agentkit.permissions import Effect, ReadPath
from agentkit.ports import ToolContext
from agentkit.schema import Signature
from agentkit.toolbox import programs
from agentkit.toolbox.plain import readable
from agentkit.toolbox.tool import Tool, check_name
from agentkit.validation import problems_from
from agentkit.yamlfile import Document, load

HEAD_BYTES = 20_000
"""A header ends within so many bytes of its file."""

ENVIRONMENT_BYTES = 100_000
"""Linux refuses longer variables; a longer argument is found on stdin only."""

TRY_AGAIN = 75

PROGRAM = "the-tool"
"""The script among its inputs: a name that no argument can have."""

_BEGIN = re.compile(r"^(?P<comment>#|//|--|;|%)[ \t]*/// tool[ \t\r]*$", re.MULTILINE)

Kind = Literal["string", "integer", "number", "boolean", "file", "folder", "list", "object"]

_TYPES: dict[Kind, Any] = {
    "string": str, "integer": int, "number": float, "boolean": bool, "file": ReadPath,
    "folder": ReadPath, "list": list[Any], "object": dict[str, Any],
}  # fmt: skip


class BadHeader(UserError):
    """A header that is not right: the problems with their places."""


class Argument(BaseModel):
    """One argument in a header; the words are those of a workflow's inputs."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    type: Kind = "string"
    description: str | None = None
    default: Any = None
    enum: list[Any] | None = Field(None, min_length=1)
    minimum: float | None = None
    maximum: float | None = None

    @model_validator(mode="after")
    def _only_numbers_have_bounds(self) -> Argument:
        bounded = self.minimum is not None or self.maximum is not None
        if bounded and (self.enum or self.type not in ("integer", "number")):
            raise ValueError("minimum and maximum are for an integer or a number")
        return self


class Header(BaseModel):
    """What a script says of itself."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    description: str
    name: str | None = None
    arguments: dict[str, Argument] = Field(default_factory=dict)
    output: Literal["text", "json"] = "text"
    timeout: float = Field(60.0, gt=0, le=86_400)
    """Seconds of wall clock."""


def header_of(path: Path) -> Header | None:
    """The header of a file, None if it has none.

    Raises `BadHeader` for one that is not closed, no YAML, or says what a header cannot say.
    """
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES).decode("utf-8", "replace")
    begin = _BEGIN.search(head)
    if begin is None:
        return None
    document = _document(path, head, begin)
    try:
        return Header.model_validate(document.data or {})
    except ValidationError as error:
        problems = problems_from(error, document, Header)
        raise BadHeader("\n".join(problem.headline() for problem in problems)) from None


def _document(path: Path, head: str, begin: re.Match[str]) -> Document:
    """The header as YAML, with every character where it stands in the file."""
    comment = begin["comment"]
    lines = ["" for _ in range(head.count("\n", 0, begin.end()) + 1)]
    for line in head[begin.end() + 1 :].split("\n"):
        if not line.startswith(comment):
            break
        if line[len(comment) :].strip() == "///":
            try:
                return load("\n".join(lines) + "\n", str(path))
            except InvalidFile as error:
                said = "\n".join(problem.headline() for problem in error.problems)
                raise BadHeader(said) from None
        lines.append(" " * len(comment) + line[len(comment) :].rstrip("\r"))
    raise BadHeader(f"{path}:{len(lines)}: the header does not end: close it with {comment} ///")


def tool_of(path: Path, header: Header) -> Tool:
    """A script as a tool.  Raises `ToolError` for a name or argument that cannot be."""
    name = header.name or path.stem
    check_name(name)
    if not path.stat().st_mode & 0o111:
        command = f"chmod +x {shlex.quote(str(path))}"
        raise ToolError(f"has a header, but cannot be executed: {command}")
    signature = Signature(header.description.strip(), _arguments(name, header), False)
    for argument, declared in header.arguments.items():
        for fault in signature.faults({argument: declared.default}):
            if declared.default is not None and fault.path[:1] == (argument,):
                raise ToolError(f"the default of {argument!r}: {fault.message}")
    touches: dict[str, Effect] = {
        argument: "reads"
        for argument, declared in header.arguments.items()
        if declared.type in ("file", "folder")
    }
    effects: tuple[Effect, ...] = ("reads", "executes") if touches else ("executes",)

    def call(bound: Mapping[str, Any], context: ToolContext) -> Any:
        job = _job(path, bound, context, tuple(touches), header.timeout)
        return _result(name, header, programs.run(job, context))

    about = signature.description
    return Tool(name, about, signature, effects, (), path, call, touches, lasts=False)


def _arguments(name: str, header: Header) -> type[BaseModel]:
    fields: dict[str, Any] = {}
    for argument, about in header.arguments.items():
        if not re.fullmatch(r"[a-z][a-z0-9_]*", argument):
            raise ToolError(
                f"{argument!r} is no name for an argument: lower-case letters, digits and _ are"
            )
        kind = Literal[tuple(about.enum)] if about.enum else _TYPES[about.type]
        optional = "default" in about.model_fields_set
        if optional and about.default is None:
            kind = kind | None
        fields[f"argument_{argument}"] = (
            kind,
            Field(
                about.default if optional else ...,
                alias=argument,
                description=about.description,
                ge=about.minimum,
                le=about.maximum,
                validate_default=True,
            ),
        )
    return create_model(f"{name}_arguments", __config__=ConfigDict(extra="forbid"), **fields)


def _job(
    path: Path,
    bound: Mapping[str, Any],
    context: ToolContext,
    paths: tuple[str, ...],
    timeout: float,
) -> Job:
    program = PROGRAM + path.suffix
    inputs = {program: path}
    given = dict(bound)
    for argument in paths:
        if given[argument] is not None:
            given[argument] = _inside(context, argument, given[argument], inputs)
    environment = {}
    for argument, value in given.items():
        if value is None:
            continue
        text = value if isinstance(value, str) else json.dumps(value, default=_plain)
        if len(text.encode("utf-8", "replace")) <= ENVIRONMENT_BYTES and "\0" not in text:
            environment[argument] = readable(text)
    return Job(
        argv=(f"{INPUTS}/{program}",),
        work=context.folder,
        inputs=inputs,
        stdin=json.dumps(given, default=_plain).encode(),
        environment=environment,
        limits=replace(Limits(), wall=timeout, cpu=timeout),
    )


def _inside(context: ToolContext, argument: str, path: Path, inputs: dict[str, Path]) -> str:
    """A file of the host as the script finds it."""
    place = context.files.locate(path)
    if not place.exists():
        raise ToolRetry(f"there is no file {str(path)!r}")
    folder = context.folder.resolve()
    if place.is_relative_to(folder):
        return str(Path(WORK) / place.relative_to(folder))
    inputs[f"{argument}{place.suffix}"] = place
    return f"{INPUTS}/{argument}{place.suffix}"


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, Enum) else str(value)


def _result(name: str, header: Header, done: JobResult) -> Any:
    said = programs.last_lines(programs.text(done.stderr))
    if done.exit_code == TRY_AGAIN and not done.stopped:
        raise ToolRetry(said or f"{name} asks for a better call, and does not say how")
    if programs.failed(done):
        raise ToolError(f"{name}: {programs.ending(done)}\n{said}".rstrip())
    text = programs.text(done.stdout)
    if header.output == "text":
        return text
    try:
        return json.loads(text)
    except ValueError as error:
        raise ToolError(f"{name} says output: json, and printed something else: {error}") from None
