"""Questions to a chat model."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator, model_validator

from agentkit.workflow.node import Node, problem

FRACTIONS = ("temperature", "top_p", "min_p", "repeat_penalty")
SAMPLING = (*FRACTIONS, "top_k", "seed")
"""How the next token is drawn: the keys of a prompt, and of what prompts have in common."""


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

    text: str = ""
    file: str | None = None
    """A file beside the workflow that holds the text, `${{ }}` included; instead of `text`."""
    system: str | None = None
    examples: list[Example] = Field([])
    model: str | None = None
    max_tokens: int | None = Field(None, ge=1)
    temperature: float = Field(0.0, ge=0, le=5)
    top_p: float = Field(1.0, ge=0, le=1)
    top_k: int = Field(0, ge=0)
    min_p: float = Field(0.0, ge=0, le=1)
    repeat_penalty: float = Field(1.0, ge=0.1, le=10)
    """More than 1 makes what was said already unlikelier."""
    seed: int | None = None
    stop: list[str] = Field([])
    images: list[str] = Field([])
    """Pictures that belong to the question: files (PNG, JPEG, GIF or WebP), for a model that sees.
    """
    tools: list[str] = Field([])
    """Tools that the model may call before it answers: `agentkit tools list`."""

    @field_validator(*FRACTIONS, mode="before")
    @classmethod
    def _integers_are_numbers(cls, value: Any) -> Any:
        return _number(value)

    @model_validator(mode="after")
    def _asks_one_thing(self) -> Prompt:
        given = self.model_fields_set & {"text", "file"}
        if not given:
            raise problem("missing-key", '"prompt" needs the key "text"')
        if len(given) > 1:
            raise problem("misplaced-key", 'a prompt has "text" or "file", not both')
        return self


class PromptDefaults(Node):
    """What every prompt of the file has unless it says otherwise."""

    system: str | None = None
    model: str | None = None
    max_tokens: int | None = Field(None, ge=1)
    temperature: float | None = Field(None, ge=0, le=5)
    top_p: float | None = Field(None, ge=0, le=1)
    top_k: int | None = Field(None, ge=0)
    min_p: float | None = Field(None, ge=0, le=1)
    repeat_penalty: float | None = Field(None, ge=0.1, le=10)
    seed: int | None = None

    @field_validator(*FRACTIONS, mode="before")
    @classmethod
    def _integers_are_numbers(cls, value: Any) -> Any:
        return _number(value)


def _number(value: Any) -> Any:
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def short_prompt(value: Any) -> Any:
    """The text of a prompt as the mapping that it stands for."""
    return {"text": value} if isinstance(value, str) else value
