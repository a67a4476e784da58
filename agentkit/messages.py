"""What goes into a chat model and what comes out: frozen values, no behaviour."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, fields
from typing import Any, Literal

from agentkit.values import dataclass

Role = Literal["system", "user", "assistant", "tool"]
FinishReason = Literal["stop", "length", "tool_calls", "cancelled", "deadline"]
Priority = Literal["interactive", "background"]
ReasoningEffort = Literal["none", "minimal", "low", "medium", "high", "xhigh"]


# -- conversations -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A model's wish to call a tool.  `arguments` is JSON text, as the model wrote it."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Image:
    """A picture: its bytes, and what they are, such as `image/png`."""

    data: bytes
    kind: str


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation.

    An assistant's turn may carry `tool_calls` beside or instead of text, and the `reasoning` that
    came before.  A `tool` turn is the result of the call with the id `tool_call_id`.  A user's may
    have `images`, for a model that sees; others refuse them.
    """

    role: Role
    content: str
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""
    images: tuple[Image, ...] = ()


@dataclass(frozen=True, slots=True)
class ToolSchema:
    """A tool as a model is told of it; `parameters` is the JSON Schema of an object.

    `allowed` is a narrower schema for the calls of one request, or False for a tool that may not be
    called in it: it binds the answer and does not stand in the prompt, which stays the same.
    """

    name: str
    description: str
    parameters: Mapping[str, Any]
    allowed: Mapping[str, Any] | Literal[False] | None = None


@dataclass(frozen=True, slots=True)
class OneTool:
    """A `tool_choice`: this tool, and no other."""

    name: str


ToolChoice = Literal["auto", "none", "required"] | OneTool


# -- what an answer has to look like -------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class JsonSchema:
    """One JSON value that the schema accepts, written as `json.dumps` writes it."""

    schema: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Regex:
    """A text that the pattern matches as a whole.

    No lookarounds, no back references; `\\d`, `\\w` and `\\s` are those of ASCII.
    """

    pattern: str


@dataclass(frozen=True, slots=True)
class Choices:
    """One of these texts."""

    options: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Lark:
    """A text of a context-free grammar in llguidance's dialect of Lark; it begins at `start`."""

    grammar: str


Constraint = JsonSchema | Regex | Choices | Lark


# -- questions -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is drawn.  The defaults are greedy: the likeliest token, always.

    `temperature` 0 is greedy and makes the truncations below it irrelevant.  `top_k` 0, `top_p` 1,
    `typical_p` 1, `min_p` 0, `repeat_penalty` 1 and `dry_multiplier` 0 switch the respective stage
    off.  DRY makes each token that would prolong a repetition of `dry_allowed_length` tokens or
    more unlikelier, by `dry_multiplier * dry_base ** (length - dry_allowed_length)`.  `logit_bias`
    adds to the logits of single tokens.  `seed` None draws a new one for each request.
    """

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    typical_p: float = 1.0
    min_p: float = 0.0
    repeat_penalty: float = 1.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    dry_multiplier: float = 0.0
    dry_base: float = 1.75
    dry_allowed_length: int = 2
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One question to a chat model.

    The answer keeps to the `constraint`, unless `max_tokens` cuts it off (the completion then says
    `length`).  `stop` strings end the answer and are not part of it.  `max_tokens` None means: as
    much as the context has room for.  `samples` asks for several answers to one prompt.
    `top_logprobs` asks for the log probability of each token and of so many likeliest ones beside
    it; None asks for none.  `timeout` is in seconds from the call; what is written by then is the
    answer.  `adapters` maps LoRA adapters of the model to their scale.  `reasoning_effort` says how
    long a model that reasons should do so, in the words of its template; None leaves it to that.

    A `text`, or its tokens, takes the place of the messages: the model goes on with it.  There is
    no template around it, and what looks like a marker of the vocabulary is one; it has no tools.
    """

    messages: tuple[Message, ...] = ()
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    sampling: Sampling = Sampling()
    constraint: Constraint | None = None
    tools: tuple[ToolSchema, ...] = ()
    tool_choice: ToolChoice = "auto"
    parallel_tool_calls: bool = True
    samples: int = 1
    top_logprobs: int | None = None
    priority: Priority = "interactive"
    timeout: float | None = None
    adapters: Mapping[str, float] = field(default_factory=dict)
    text: str | tuple[int, ...] | None = None
    reasoning_effort: ReasoningEffort | None = None


# -- answers -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Usage:
    """What a request cost.

    `prompt_tokens` counts the whole prompt, `cached_tokens` the part of it that was not read again,
    `forced_tokens` those of the answer that the grammar dictated and no sampling was needed for.
    Seconds are wall clock; `queued_seconds` is the wait for a place before the prompt was read.
    """

    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    forced_tokens: int = 0
    decode_calls: int = 0
    queued_seconds: float = 0.0
    prefill_seconds: float = 0.0
    decode_seconds: float = 0.0

    def __add__(self, other: Usage) -> Usage:
        return Usage(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(Usage)))


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """A token of an answer with its natural log probability.

    `logprob` is the model's own opinion, over the whole vocabulary and before any temperature,
    truncation or constraint; `allowed_logprob` is what is left of it when only the tokens that the
    constraint allows share the probability (the same where there is no constraint, 0 where the
    token was `forced`).  `top` has the likeliest tokens by the model's own opinion.
    """

    token: bytes
    logprob: float
    allowed_logprob: float
    forced: bool = False
    top: tuple[tuple[bytes, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Score:
    """How likely a model finds a text: natural log probabilities of its tokens, in order."""

    tokens: tuple[TokenLogprob, ...]

    @property
    def logprob(self) -> float:
        """Of the whole text."""
        return sum(token.logprob for token in self.tokens)


@dataclass(frozen=True, slots=True)
class Completion:
    """A finished answer.

    `notes` say what a reader should know about it, such as a keyword of the schema that could only
    be checked afterwards.
    """

    text: str
    finish_reason: FinishReason
    usage: Usage
    model: str
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    logprobs: tuple[TokenLogprob, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def message(self) -> Message:
        """The answer as the next turn of the conversation."""
        return Message("assistant", self.text, self.reasoning, self.tool_calls)


@dataclass(frozen=True, slots=True)
class CallDelta:
    """A piece of the tool call `index`: the first one has `id` and `name`, all may have JSON."""

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of a streamed answer; the last one of each sample carries its completion only."""

    text: str = ""
    reasoning: str = ""
    call: CallDelta | None = None
    logprobs: tuple[TokenLogprob, ...] = ()
    sample: int = 0
    completion: Completion | None = None
