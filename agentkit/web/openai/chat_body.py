"""The request of /v1/chat/completions, and what the core makes of it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from agentkit.messages import ChatRequest, ReasoningEffort
from agentkit.web.openai.body import Body, Sampled, Verbosity
from agentkit.web.openai.conversation import (
    Function,
    Schema,
    Turn,
    choice,
    constraint,
    conversation,
    tools,
)


class Tool(Body):
    """A tool."""

    type: Literal["function"]
    function: Function


class Named(Body):
    """A tool by its name."""

    name: str


class Naming(Body):
    """The same with what it is."""

    type: Literal["function"] = "function"
    function: Named


class Allowed(Body):
    """Those that may be called now."""

    mode: Literal["auto", "required"] = "auto"
    tools: list[Naming]


class Choice(Body):
    """One tool, or some of them."""

    type: Literal["function", "allowed_tools"]
    function: Named | None = None
    allowed_tools: Allowed | None = None

    @model_validator(mode="after")
    def _whole(self) -> Choice:
        if getattr(self, self.type) is None:
            raise ValueError(f"{self.type} is missing")
        return self


class Format(Body):
    """What the answer has to look like."""

    type: Literal["text", "json_object", "json_schema"] = "text"
    json_schema: Schema | None = None

    def schema_(self) -> Schema:
        """In one."""
        inner = self.json_schema or Schema()
        return inner.model_copy(update={"type": self.type})


class ChatBody(Sampled):
    """See https://platform.openai.com/docs/api-reference/chat/create."""

    model: str | None = None
    """None: the model that settings map to the role `chat`."""
    messages: list[Turn] = Field(min_length=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    max_tokens: int | None = Field(None, ge=1)
    """The older name."""
    tools: list[Tool] = Field(default_factory=list)
    tool_choice: Literal["auto", "none", "required"] | Choice = "auto"
    parallel_tool_calls: bool = True
    response_format: Format | None = None
    reasoning_effort: ReasoningEffort | None = None
    """For models whose template has words for it."""
    verbosity: Verbosity | None = None
    logprobs: bool = False
    top_logprobs: int | None = Field(None, ge=0, le=20)
    modalities: list[Literal["text"]] | None = None
    store: bool | None = None
    """Harmless: it is for looking at answers in OpenAI's dashboard."""

    @model_validator(mode="after")
    def _agrees(self) -> ChatBody:
        if self.top_logprobs is not None and not self.logprobs:
            raise ValueError("top_logprobs wants logprobs: true")
        return self

    def request(self, model: str, *, sees: bool) -> ChatRequest:
        """As the core takes it, for a model that `sees` or not.  Raises `Refused`."""
        names = [tool.function.name for tool in self.tools]
        wanted, one, only = _choice(self.tool_choice)
        return ChatRequest(
            messages=conversation(self.messages, model, sees=sees),
            max_tokens=self.max_completion_tokens or self.max_tokens,
            stop=self.stops,
            sampling=self.sampling(),
            constraint=constraint(
                self.response_format.schema_() if self.response_format else None,
                "response_format.json_schema.schema",
            ),
            tools=tools([tool.function for tool in self.tools], only, "tool_choice"),
            tool_choice=choice(wanted, one, names),
            parallel_tool_calls=self.parallel_tool_calls,
            samples=self.n,
            top_logprobs=(self.top_logprobs or 0) if self.logprobs else None,
            reasoning_effort=self.reasoning_effort,
        )


def _choice(given: Any) -> tuple[Any, str | None, list[str] | None]:
    """`auto`, `none` or `required`; the one tool that has to be called; those that may be."""
    if not isinstance(given, Choice):
        return given, None, None
    if given.function is not None:
        return "required", given.function.name, None
    assert given.allowed_tools is not None
    only = [tool.function.name for tool in given.allowed_tools.tools]
    return given.allowed_tools.mode, None, only
