"""What goes into a chat model and what comes out: frozen values, no behaviour."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

Role = Literal["system", "user", "assistant"]
FinishReason = Literal["stop", "length", "cancelled"]


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is drawn.  The defaults are greedy: the likeliest token, always.

    `temperature` 0 is greedy and makes the truncations below it irrelevant.  `top_k` 0, `top_p` 1,
    `min_p` 0 and `repeat_penalty` 1 switch the respective stage off.  `seed` None draws a new one
    for each request.
    """

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repeat_penalty: float = 1.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One question to a chat model.

    `json_schema` constrains the answer: it will be one JSON value that the schema accepts, unless
    `max_tokens` cuts it off (the completion then says `length`).  `stop` strings end the answer
    and are not part of it.  `max_tokens` None means: as much as the context has room for.
    """

    messages: tuple[Message, ...]
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    sampling: Sampling = Sampling()
    json_schema: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """What a request cost.

    `prompt_tokens` counts the whole prompt, `cached_tokens` the part of it that was not read again,
    `forced_tokens` those of the answer that the grammar dictated and no sampling was needed for.
    Seconds are wall clock.
    """

    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    forced_tokens: int = 0
    decode_calls: int = 0
    prefill_seconds: float = 0.0
    decode_seconds: float = 0.0

    def __add__(self, other: Usage) -> Usage:
        return Usage(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(Usage)))


@dataclass(frozen=True, slots=True)
class Completion:
    """A finished answer."""

    text: str
    finish_reason: FinishReason
    usage: Usage
    model: str


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of a streamed answer; the last one carries the completion and no text."""

    text: str = ""
    completion: Completion | None = field(default=None)
