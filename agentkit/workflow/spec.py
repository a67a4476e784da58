"""What a workflow file may say: one pydantic model, the source of loader, checker and JSON Schema.

This module knows the words and which of them go together.  Whether names exist and expressions make
sense is the business of `check`; what happens when is that of `run`.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from agentkit.hosts import HostPattern
from agentkit.workflow.agents import SHARED, Agent
from agentkit.workflow.node import Node
from agentkit.workflow.node import problem as _problem
from agentkit.workflow.quality import NUMBERS, Check, Strategy, short_strategy

NAME = re.compile(r"[a-z][a-z0-9_]*")
"""Names of inputs, steps and outputs: usable in an expression without quotes."""

FILE_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
"""Names of workflows: usable as the name of a file."""

FOREIGN_VALUES = {
    "text": "string", "str": "string", "int": "integer", "float": "number", "double": "number",
    "bool": "boolean", "path": "file", "dir": "folder", "directory": "folder", "array": "list",
    "dict": "object", "map": "object", "mapping": "object", "json": "object",
    "ignore": "continue", "skip": "continue", "stop": "fail_fast", "fail": "fail_fast",
}  # fmt: skip
"""Values of other tools, and ours for the same thing."""

_IN_ORDER = "steps run one after the other, in the order of the file: leave it out"
_NO_SCRIPTS = (
    "a step calls a tool or a model, and no scripts: `agentkit tools list` shows the tools"
)

FOREIGN_KEYS = {
    "parameters": "inputs",
    "params": "inputs",
    "variables": "inputs",
    "jobs": "steps",
    "tasks": "steps",
    "nodes": "steps",
    "title": "name",
    "condition": "if",
    "when": "if",
    "runif": "if",
    "for": "foreach",
    "for_each": "foreach",
    "with_items": "foreach",
    "withitems": "foreach",
    "loop": "foreach",
    "matrix": "foreach",
    "action": "uses",
    "tool": "uses",
    "call": "uses",
    "args": "with",
    "arguments": "with",
    "llm": "prompt",
    "chat": "prompt",
    "ask": "prompt",
    "format": "output_schema",
    "schema": "output_schema",
    "response_format": "output_schema",
    "continue_on_error": "on_error",
    "continue-on-error": "on_error",
    "maxtokens": "max_tokens",
    "max-tokens": "max_tokens",
    "user": "text",
    "message": "text",
    "content": "text",
    "var": "as",
    "variable": "as",
    "in": "items",
    "list": "items",
    "choices": "enum",
    "options": "enum",
    "min": "minimum",
    "max": "maximum",
    "regex": "pattern",
    "help": "description",
    "input": "question",
    "output": "answer",
    "needs": _IN_ORDER,
    "depends": _IN_ORDER,
    "depends_on": _IN_ORDER,
    "dependson": _IN_ORDER,
    "dependencies": _IN_ORDER,
    "run": _NO_SCRIPTS,
    "script": _NO_SCRIPTS,
    "shell": _NO_SCRIPTS,
    "command": _NO_SCRIPTS,
}
"""Words of other tools in lower case, and ours for the same thing, or what to do instead."""

ACTIONS = ("uses", "prompt", "agent")
"""What a step can do."""

RESERVED = ("inputs", "steps", "run")
"""What every expression can read: no name for the variable of a loop."""


def _name(value: str) -> str:
    if not NAME.fullmatch(value):
        fixed = re.sub(r"\W+", "_", value.lower(), flags=re.ASCII).strip("_")
        sensible = value.isascii() and NAME.fullmatch(fixed)
        suggestion = f'did you mean "{fixed}"?' if sensible else ""
        raise _problem(
            "bad-name",
            f'"{value}" is no name: lower-case letters, digits and "_" are, a letter first',
            suggestion,
        )
    return value


Name = Annotated[
    str,
    AfterValidator(_name),
    WithJsonSchema({"type": "string", "pattern": f"^{NAME.pattern}$"}),
]


InputType = Literal["string", "integer", "number", "boolean", "file", "folder", "list", "object"]


class Input(Node):
    """A value that the caller of a workflow gives."""

    type: InputType = "string"
    """What a value must be; text from a command line is converted."""
    description: str = ""
    default: Any = None
    """What it is when the caller does not give it."""
    required: bool = True
    """An input with a `default` is never required."""
    enum: list[Any] | None = Field(None, min_length=1)
    """The values that are allowed."""
    minimum: float | None = None
    maximum: float | None = None
    pattern: str | None = None
    """A regular expression that must be found in the text."""

    @field_validator("minimum", "maximum", mode="before")
    @classmethod
    def _integers_are_numbers(cls, value: Any) -> Any:
        return float(value) if isinstance(value, int) and not isinstance(value, bool) else value

    @field_validator("pattern")
    @classmethod
    def _pattern_compiles(cls, value: str | None) -> str | None:
        try:
            re.compile(value or "")
        except re.error as error:
            raise _problem("bad-pattern", f"not a regular expression: {error}") from None
        return value

    @property
    def optional(self) -> bool:
        """Whether a run can start without it."""
        return not self.required or "default" in self.model_fields_set


class Example(Node):
    """A question and its answer, shown to the model before the real question.

    Small models learn a task better from a handful of examples than from a description.
    """

    question: str
    answer: Any
    """Text, or the data that `output_schema` describes."""


class Prompt(Node):
    """A question to a chat model.

    What does not change goes into `system` and `examples`: it is read once and then reused.
    """

    text: str
    system: str | None = None
    examples: list[Example] = Field([])
    model: str | None = None
    max_tokens: int | None = Field(None, ge=1)
    temperature: float = Field(0.0, ge=0, le=5)
    top_p: float = Field(1.0, ge=0, le=1)
    top_k: int = Field(0, ge=0)
    min_p: float = Field(0.0, ge=0, le=1)
    seed: int | None = None
    stop: list[str] = Field([])
    tools: list[str] = Field([])
    """Tools that the model may call before it answers: `agentkit tools list`."""

    @field_validator("temperature", "top_p", "min_p", mode="before")
    @classmethod
    def _integers_are_numbers(cls, value: Any) -> Any:
        return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


class PromptDefaults(Node):
    """What every prompt of the file has unless it says otherwise."""

    system: str | None = None
    model: str | None = None
    max_tokens: int | None = Field(None, ge=1)
    temperature: float | None = Field(None, ge=0, le=5)


class Defaults(Node):
    """What steps have in common."""

    prompt: PromptDefaults = PromptDefaults()


class Permissions(Node):
    """What is left of the permissions in settings while this workflow runs: it can only be less.

    What is not given is as in settings; an empty list is nothing at all.
    """

    tools: list[str] | None = None
    """Names of tools, or patterns such as `files__*`."""
    read: list[str] | None = None
    """Folders; the folder of the run and the files given as inputs are always readable."""
    write: list[str] | None = None
    """Folders; the folder of the run can always be written."""
    hosts: list[str] | None = None
    """Such as `example.org` or `*.example.org`."""

    @field_validator("hosts")
    @classmethod
    def _are_hosts(cls, value: list[str] | None) -> list[str] | None:
        for pattern in value or ():
            try:
                HostPattern.of(pattern)
            except ValueError as error:
                raise _problem("bad-host", str(error)) from None
        return value


class Foreach(Node):
    """Do a step once for each item of a list, in order."""

    items: str | list[Any]
    """The list, or an expression that gives it."""
    as_: Name = Field("item", alias="as")
    """The name of one item in the expressions of the step."""
    on_error: Literal["fail_fast", "continue"] = "fail_fast"
    """`continue`: a failed item leaves null in its place, and the others still count."""

    @field_validator("as_")
    @classmethod
    def _hides_nothing(cls, value: str) -> str:
        if value in RESERVED:
            raise _problem(
                "reserved-name",
                f'"{value}" is what every expression can read already',
                'the usual name is "item"',
            )
        return value


def _short_prompt(value: Any) -> Any:
    return {"text": value} if isinstance(value, str) else value


def _short_agent(value: Any) -> Any:
    return {"objective": value} if isinstance(value, str) else value


class Step(Node):
    """One entry of `steps`: exactly one of `uses`, `prompt` and `agent`."""

    id: Name
    """What expressions call it: `steps.ID.outputs`."""
    name: str = ""
    """What people read while it runs."""
    if_: str | bool | None = Field(None, alias="if")
    """Skip the step where this expression is false; its outputs are null then."""
    foreach: Foreach | None = None
    uses: str | None = None
    """The name of a tool: `agentkit tools list`."""
    with_: dict[str, Any] = Field({}, alias="with")
    """The arguments of the tool."""
    prompt: Annotated[Prompt | None, BeforeValidator(_short_prompt)] = None
    """A question to a chat model: its text, or a mapping."""
    agent: Annotated[Agent | None, BeforeValidator(_short_agent)] = None
    """A task loop: its objective, or a mapping."""
    output_schema: dict[str, Any] | None = None
    """A JSON Schema: the answer to the prompt is data that fits it."""
    checks: list[Check] = Field([])
    """What has to hold of the result, or the step fails."""
    strategy: Annotated[Strategy | None, BeforeValidator(short_strategy)] = None
    """How a hard question to a model is answered."""

    @model_validator(mode="after")
    def _does_one_thing(self) -> Step:
        actions = [key for key in ACTIONS if getattr(self, key) is not None]
        if not actions:
            raise _problem(
                "no-action",
                f'step "{self.id}" does nothing',
                'give it "uses", "prompt" or "agent"',
            )
        if len(actions) > 1:
            raise _problem(
                "two-actions",
                f'step "{self.id}" has both "{actions[0]}" and "{actions[1]}"',
                "make two steps of it",
            )
        if self.output_schema is not None and self.prompt is None:
            raise _problem(
                "misplaced-key",
                f'"output_schema" is for the answer to a "prompt", and step "{self.id}" has none',
                "leave it out: a tool gives what it gives",
            )
        if self.with_ and self.uses is None:
            raise _problem(
                "misplaced-key",
                f'"with" holds the arguments of "uses", and step "{self.id}" has none',
                'put values into the text of "prompt" as ${{ ... }}',
            )
        return self

    @model_validator(mode="after")
    def _thinks_where_it_can(self) -> Step:
        for key in ("checks", "strategy"):
            if getattr(self, key) and self.agent is not None:
                raise _problem(
                    "misplaced-key",
                    f'step "{self.id}" has "{key}" beside its agent',
                    f'put "{key}" into "agent", which works until it is content',
                )
        if self.strategy is None:
            return self
        if self.prompt is None:
            raise _problem(
                "misplaced-key",
                f'"strategy" is how a "prompt" is answered, and step "{self.id}" has none',
                "leave it out",
            )
        if self.prompt.tools:
            raise _problem(
                "misplaced-strategy",
                f'step "{self.id}" has a strategy, which only thinks, and tools to call',
                'make it an "agent", or gather with tools in a step before it',
            )
        if self.strategy.name == "reflect" and not self.checks:
            raise _problem(
                "misplaced-strategy",
                f'step "{self.id}" has nothing that tells a good answer from a bad one',
                'give it "checks", or take another strategy',
            )
        return self


class Output(Node):
    """A value that a workflow gives back."""

    value: Any
    description: str = ""


def _short_output(value: Any) -> Any:
    return value if isinstance(value, dict) and "value" in value else {"value": value}


class Workflow(Node):
    """A workflow file."""

    version: Literal[1] = 1
    """The version of the workflow language."""
    name: str
    description: str = ""
    inputs: dict[Name, Input] = Field({})
    """What the caller gives: `agentkit run WORKFLOW -i name=value`."""
    permissions: Permissions = Permissions()
    """Less than settings allow."""
    defaults: Defaults = Defaults()
    """What steps have in common."""
    steps: list[Step] = Field(min_length=1)
    """What is done, in this order."""
    outputs: dict[Name, Annotated[Output, BeforeValidator(_short_output)]] = Field({})
    """What the workflow gives back."""

    @field_validator("name")
    @classmethod
    def _is_a_file_name(cls, value: str) -> str:
        if not FILE_NAME.fullmatch(value):
            fixed = re.sub(r"[^a-z0-9_]+", "-", value.lower()).strip("-")
            raise _problem(
                "bad-name",
                f'"{value}" is no name: lower-case letters, digits, "-" and "_" are',
                f'did you mean "{fixed}"?' if FILE_NAME.fullmatch(fixed) else "",
            )
        return value


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a workflow file, or of an agent's, for editors."""
    schema = _for_people(Workflow.model_json_schema(by_alias=True))
    properties = schema["properties"]
    name = {"pattern": f"^{NAME.pattern}$"}
    properties["inputs"] |= {
        "propertyNames": name,
        "additionalProperties": {"$ref": "#/$defs/Input"},
    }
    properties["outputs"] |= {
        "propertyNames": name,
        "additionalProperties": {"description": "A value, or a mapping with `value`."},
    }
    for key in ("inputs", "outputs"):
        properties[key].pop("patternProperties", None)
    properties["name"]["pattern"] = f"^{FILE_NAME.pattern}$"
    step = schema["$defs"]["Step"]
    asked = step["properties"]["prompt"]
    step["properties"]["prompt"] = {
        "description": asked["description"],
        "anyOf": [{"type": "string"}, {"$ref": "#/$defs/Prompt"}],
    }
    asked = step["properties"]["agent"]
    step["properties"]["agent"] = {
        "description": asked["description"],
        "anyOf": [{"type": "string"}, {"$ref": "#/$defs/Agent"}],
    }
    for kind in ("Step", "Agent"):
        asked = schema["$defs"][kind]["properties"]["strategy"]
        schema["$defs"][kind]["properties"]["strategy"] = {
            "description": asked["description"],
            "anyOf": [{"enum": [*NUMBERS]}, {"$ref": "#/$defs/Strategy"}],
        }
    step["oneOf"] = [{"required": [action]} for action in ACTIONS]
    step["dependentRequired"] = {"with": ["uses"], "output_schema": ["prompt"]}
    schema["$defs"].pop("Output", None)
    kinds = schema.pop("$defs")
    check = kinds["Check"]
    check["oneOf"] = [{"required": [kind]} for kind in check["properties"] if kind != "reason"]
    check["dependentRequired"] = {"reason": ["expression"]}
    agent, shared = kinds["Agent"], {key: properties[key] for key in SHARED}
    kinds["AgentFile"] = {
        **agent,
        "properties": {**shared, **agent["properties"]},
        "required": ["name", *agent["required"]],
    }
    kinds["Workflow"] = schema
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "agentkit workflow",
        "$defs": kinds,
        "if": {"required": ["objective"], "not": {"required": ["steps"]}},
        "then": {"$ref": "#/$defs/AgentFile"},
        "else": {"$ref": "#/$defs/Workflow"},
    }


def _for_people(schema: Any) -> Any:
    """Without what pydantic adds: a title for everything, and `null` for what may be left out."""
    if isinstance(schema, list):
        return [_for_people(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {k: _for_people(v) for k, v in schema.items() if k != "title" or not isinstance(v, str)}
    options = kept.get("anyOf")
    if isinstance(options, list) and {"type": "null"} in options:
        del kept["anyOf"]
        kept.pop("default", None)
        rest = [option for option in options if option != {"type": "null"}]
        kept = {**(rest[0] if len(rest) == 1 else {"anyOf": rest}), **kept}
    return kept
