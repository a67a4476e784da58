"""The request of /v1/responses: items instead of turns, and what the core makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from agentkit.messages import ChatRequest, Message, ReasoningEffort, Sampling, ToolCall
from agentkit.web.openai.body import USUAL_MIN_P, Body, Harmless, StreamOptions, Verbosity
from agentkit.web.openai.conversation import (
    Function,
    Part,
    Schema,
    choice,
    constraint,
    content,
    tools,
)
from agentkit.web.openai.refusals import Refused


class Item(Body):
    """Something that was said, called, answered or thought."""

    type: Literal["message", "function_call", "function_call_output", "reasoning"] = "message"
    role: Literal["system", "developer", "user", "assistant"] | None = None
    content: str | list[Part] = ""
    call_id: str = ""
    name: str = ""
    arguments: str = "{}"
    output: str | list[Part] = ""
    id: str = ""
    status: str = ""
    summary: list[Any] = Field(default_factory=list)
    phase: str = ""
    encrypted_content: str = ""
    parsed_arguments: Any = None
    """Harmless, like the five before it: what stands in an answer besides what was said."""

    @model_validator(mode="after")
    def _whole(self) -> Item:
        if self.type == "message" and self.role is None:
            raise ValueError("a message has a role")
        if self.type.startswith("function_call") and not self.call_id:
            raise ValueError(f"a {self.type} has a call_id")
        return self


class FunctionTool(Function):
    """A tool."""

    type: Literal["function"]


class NamedTool(Body):
    """A tool by its name."""

    type: Literal["function"] = "function"
    name: str


class Choice(Body):
    """One tool, or some of them."""

    type: Literal["function", "allowed_tools"]
    name: str | None = None
    mode: Literal["auto", "required"] = "auto"
    tools: list[NamedTool] | None = None

    @model_validator(mode="after")
    def _whole(self) -> Choice:
        if self.type == "function" and self.name is None:
            raise ValueError("name is missing")
        if self.type == "allowed_tools" and self.tools is None:
            raise ValueError("tools are missing")
        return self


class TextShape(Body):
    """What the answer has to look like."""

    format: Schema | None = None
    verbosity: Verbosity | None = None


class Reasoning(Body):
    """How long a model thinks that reasons."""

    effort: ReasoningEffort | None = None
    summary: Literal["auto", "concise", "detailed"] | None = None
    """Harmless: there is none, since what was thought is given as it is."""


class ResponseBody(Harmless):
    """See https://platform.openai.com/docs/api-reference/responses/create.

    Nothing is kept here: a conversation is in `input` as a whole, and its beginning is read once.
    """

    model: str | None = None
    input: str | Annotated[list[Item], Field(min_length=1)]
    instructions: str | None = None
    max_output_tokens: int | None = Field(None, ge=1)
    temperature: float = Field(1.0, ge=0, le=5)
    top_p: float = Field(1.0, ge=0, le=1)
    top_logprobs: int | None = Field(None, ge=0, le=20)
    tools: list[FunctionTool] = Field(default_factory=list)
    tool_choice: Literal["auto", "none", "required"] | Choice = "auto"
    parallel_tool_calls: bool = True
    text: TextShape = TextShape()
    reasoning: Reasoning = Reasoning()
    stream: bool = False
    stream_options: StreamOptions | None = None
    include: list[Literal["reasoning.encrypted_content", "message.output_text.logprobs"]] = Field(
        default_factory=list
    )
    store: Literal[False] = False
    background: Literal[False] = False
    truncation: Literal["disabled"] = "disabled"

    @property
    def with_logprobs(self) -> bool:
        """Whether the probabilities of tokens are told."""
        return self.top_logprobs is not None or "message.output_text.logprobs" in self.include

    def request(self, model: str, *, sees: bool) -> ChatRequest:
        """As the core takes it, for a model that `sees` or not.  Raises `Refused`."""
        names = [tool.name for tool in self.tools]
        wanted, one, only = _choice(self.tool_choice)
        return ChatRequest(
            messages=self._messages(model, sees),
            max_tokens=self.max_output_tokens,
            sampling=Sampling(self.temperature, top_p=self.top_p, min_p=USUAL_MIN_P),
            constraint=constraint(self.text.format, "text.format.schema"),
            tools=tools(self.tools, only, "tool_choice"),
            tool_choice=choice(wanted, one, names),
            parallel_tool_calls=self.parallel_tool_calls,
            top_logprobs=(self.top_logprobs or 0) if self.with_logprobs else None,
            reasoning_effort=self.reasoning.effort,
        )

    def _messages(self, model: str, sees: bool) -> tuple[Message, ...]:
        first = [Message("system", self.instructions)] if self.instructions else []
        if isinstance(self.input, str):
            return (*first, Message("user", self.input))
        return (*first, *_turns(self.input, model, sees))

    def echoed(self) -> dict[str, Any]:
        """What of a request stands in its answer."""
        shape = self.text.format or Schema(type="text")
        return {
            "instructions": self.instructions,
            "max_output_tokens": self.max_output_tokens,
            "metadata": self.metadata or {},
            "parallel_tool_calls": self.parallel_tool_calls,
            "previous_response_id": None,
            "reasoning": {"effort": self.reasoning.effort, "summary": None},
            "store": False,
            "temperature": self.temperature,
            "text": {"format": shape.model_dump(by_alias=True, exclude_unset=True)},
            "tool_choice": self.tool_choice
            if isinstance(self.tool_choice, str)
            else self.tool_choice.model_dump(exclude_none=True),
            "tools": [tool.model_dump() for tool in self.tools],
            "top_logprobs": self.top_logprobs or 0,
            "top_p": self.top_p,
            "truncation": self.truncation,
            "user": self.user,
        }


def _choice(given: Any) -> tuple[Any, str | None, list[str] | None]:
    """`auto`, `none` or `required`; the one tool that has to be called; those that may be."""
    if not isinstance(given, Choice):
        return given, None, None
    if given.tools is None:
        return "required", given.name, None
    return given.mode, None, [tool.name for tool in given.tools]


def _turns(items: Sequence[Item], model: str, sees: bool) -> list[Message]:
    """Items as turns: what the model thought, said and called in one go is one turn of its."""
    turns: list[Message] = []
    own = False  # whether the last turn is the model's, and still open
    for number, item in enumerate(items):
        at = f"input[{number}]"
        seeing = sees and item.role == "user"
        said, images = content(item.content, f"{at}.content", model, sees=seeing)
        if item.type == "function_call_output":
            result, _ = content(item.output, f"{at}.output", model)
            turns.append(Message("tool", result, tool_call_id=item.call_id))
            own = False
        elif item.type == "message" and item.role != "assistant":
            turns.append(Message("user" if item.role == "user" else "system", said, images=images))
            own = False
        else:
            if not own or not _goes_on(turns[-1], item):
                turns.append(Message("assistant", ""))
            turns[-1], own = _with(turns[-1], item, said), True
    if not turns:
        raise Refused("input", "there is nothing to answer")
    return turns


def _goes_on(turn: Message, item: Item) -> bool:
    """Whether an item can belong to the same turn: thoughts, words, calls, in this order."""
    if item.type == "function_call":
        return True
    if item.type == "message":
        return not (turn.content or turn.tool_calls)
    return not (turn.content or turn.tool_calls or turn.reasoning)


def _with(turn: Message, item: Item, said: str) -> Message:
    if item.type == "function_call":
        call = ToolCall(item.call_id, item.name, item.arguments)
        return replace(turn, tool_calls=(*turn.tool_calls, call))
    if item.type == "reasoning":
        return replace(turn, reasoning=said)
    return replace(turn, content=said)
