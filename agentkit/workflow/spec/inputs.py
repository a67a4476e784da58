"""What a workflow is given, and what it gives back."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from agentkit.workflow.node import Node, problem

InputType = Literal[
    "string", "integer", "number", "boolean", "enum", "file", "folder", "list", "object", "secret"
]


class Input(Node):
    """A value that the caller of a workflow gives."""

    type: InputType = "string"
    """What a value must be; text from a command line is converted.  `enum` is one of the values of
    the key `enum`; a `secret` is text that appears in no log and not in the journal.
    """
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
            raise problem("bad-pattern", f"not a regular expression: {error}") from None
        return value

    @model_validator(mode="after")
    def _says_what_its_type_needs(self) -> Input:
        if self.type == "enum" and self.enum is None:
            raise problem("missing-key", 'an input of type enum lists its values: "enum: [a, b]"')
        if self.type == "secret" and "default" in self.model_fields_set:
            raise problem(
                "misplaced-key",
                "a secret has no default: whoever reads the file would know it",
                "see `secrets` for one that settings hold",
            )
        return self

    @property
    def optional(self) -> bool:
        """Whether a run can start without it."""
        return not self.required or "default" in self.model_fields_set


class Output(Node):
    """A value that a workflow gives back."""

    value: Any
    description: str = ""


def short_output(value: Any) -> Any:
    """A value alone as the mapping that it stands for."""
    return value if isinstance(value, dict) and "value" in value else {"value": value}
