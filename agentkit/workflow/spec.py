"""What a workflow file may say: one pydantic model, the source of loader, checker and JSON Schema.

This module knows the words and which of them go together.  Whether names exist and expressions make
sense is the business of `check`; what happens when is that of `run`.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

NAME = re.compile(r"[a-z][a-z0-9_]*")
"""Names of inputs, steps and outputs: usable in an expression without quotes."""

FOREIGN_KEYS = {
    "parameters": "inputs",
    "params": "inputs",
    "jobs": "steps",
    "tasks": "steps",
    "condition": "if",
    "when": "if",
    "runIf": "if",
    "for": "foreach",
    "with_items": "foreach",
    "withItems": "foreach",
    "loop": "foreach",
    "action": "uses",
    "tool": "uses",
    "args": "with",
    "arguments": "with",
    "llm": "prompt",
    "format": "output_schema",
    "response_format": "output_schema",
    "continue_on_error": "on_error",
    "continue-on-error": "on_error",
    "maxTokens": "max_tokens",
    "max-tokens": "max_tokens",
}
"""Words of other tools, and ours for the same thing."""


def _problem(rule: str, message: str, suggestion: str = "") -> PydanticCustomError:
    context = {"suggestion": suggestion} if suggestion else None
    return PydanticCustomError(rule, message, context)  # type: ignore[arg-type]  # wants a literal


class Node(BaseModel):
    """Base: unknown keys are errors, values are not bent into other types."""

    model_config = ConfigDict(extra="forbid", strict=True, populate_by_name=True, frozen=True)


InputType = Literal["string", "integer", "number", "boolean", "file", "folder", "list", "object"]


class Input(Node):
    """A value that the caller of a workflow gives."""

    type: InputType = "string"
    description: str = ""
    default: Any = None
    required: bool = True
    """An input with a `default` is never required."""
    enum: list[Any] | None = Field(None, min_length=1)
    minimum: float | None = None
    maximum: float | None = None
    pattern: str | None = None

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
    examples: list[Example] = []
    model: str | None = None
    max_tokens: int | None = Field(None, ge=1)
    temperature: float = Field(0.0, ge=0, le=5)
    top_p: float = Field(1.0, ge=0, le=1)
    top_k: int = Field(0, ge=0)
    min_p: float = Field(0.0, ge=0, le=1)
    seed: int | None = None
    stop: list[str] = []

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


class Foreach(Node):
    """Do a step once for each item of a list, in order."""

    items: str | list[Any]
    as_: str = Field("item", alias="as")
    on_error: Literal["fail_fast", "continue"] = "fail_fast"
    """`continue`: a failed item leaves null in its place, and the others still count."""

    @field_validator("as_")
    @classmethod
    def _is_a_name(cls, value: str) -> str:
        return _name(value)


def _short_prompt(value: Any) -> Any:
    return {"text": value} if isinstance(value, str) else value


class Step(Node):
    """One entry of `steps`: exactly one of `uses` and `prompt`."""

    id: str
    name: str = ""
    if_: str | bool | None = Field(None, alias="if")
    foreach: Foreach | None = None
    uses: str | None = None
    with_: dict[str, Any] = Field({}, alias="with")
    prompt: Annotated[Prompt | None, BeforeValidator(_short_prompt)] = None
    output_schema: dict[str, Any] | None = None

    @field_validator("id")
    @classmethod
    def _is_a_name(cls, value: str) -> str:
        return _name(value)

    @model_validator(mode="after")
    def _does_one_thing(self) -> Step:
        actions = [key for key in ("uses", "prompt") if getattr(self, key) is not None]
        if not actions:
            raise _problem(
                "no-action", f'step "{self.id}" does nothing', 'give it "uses" or "prompt"'
            )
        if len(actions) > 1:
            raise _problem(
                "two-actions",
                f'step "{self.id}" has both "uses" and "prompt"',
                "make two steps of it",
            )
        if self.with_ and self.uses is None:
            raise _problem(
                "misplaced-key",
                f'"with" holds the arguments of "uses", and step "{self.id}" has none',
                'put values into the text of "prompt" as ${{ ... }}',
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
    name: str
    description: str = ""
    inputs: dict[str, Input] = {}
    defaults: Defaults = Defaults()
    steps: list[Step] = Field(min_length=1)
    outputs: dict[str, Annotated[Output, BeforeValidator(_short_output)]] = {}

    @field_validator("name")
    @classmethod
    def _is_a_file_name(cls, value: str) -> str:
        if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", value):
            raise _problem(
                "bad-name", f'"{value}" is no name: lower-case letters, digits, "-" and "_" are'
            )
        return value


def _name(value: str) -> str:
    if not NAME.fullmatch(value):
        fixed = re.sub(r"\W+", "_", value.lower()).strip("_")
        suggestion = f'did you mean "{fixed}"?' if NAME.fullmatch(fixed) else ""
        raise _problem(
            "bad-name",
            f'"{value}" is no name: lower-case letters, digits and "_" are, a letter first',
            suggestion,
        )
    return value


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a workflow file, for editors."""
    schema = Workflow.model_json_schema(by_alias=True)
    properties = schema["$defs"]["Step"]["properties"]
    properties["prompt"] = {
        "description": "A question to a chat model: its text, or a mapping.",
        "anyOf": [{"type": "string"}, {"$ref": "#/$defs/Prompt"}],
    }
    schema["properties"]["outputs"]["additionalProperties"] = {
        "description": "A value, or a mapping with `value`.",
    }
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
