"""What requests have in common: nothing in them is ignored that would mean something."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from agentkit.messages import Sampling

MOST_STOPS = 16
LONGEST_STOP = 256
MOST_SAMPLES = 16
"""Answers to one request: each takes a place of its own."""

USUAL_MIN_P = 0.05
"""Where nothing is said, tokens far less likely than the likeliest are left out: at temperature 1,
which is the API's own default, a small model would stumble over one of them sooner or later."""


Verbosity = Literal["low", "medium", "high"]
"""Harmless: a wish that agents send with all they ask, and no model here has a dial for it."""


class Body(BaseModel):
    """A request, or a part of one.  What is null was not said."""

    model_config = ConfigDict(extra="forbid", strict=True)

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, given: Any) -> Any:
        if isinstance(given, dict):
            return {key: value for key, value in given.items() if value is not None}
        return given


class Harmless(Body):
    """What clients send, and whose meaning does not touch the answer."""

    user: str | None = None
    metadata: dict[str, Any] | None = None
    service_tier: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None


class StreamOptions(Body):
    """What stands in a stream beside the answer."""

    include_usage: bool = False
    include_obfuscation: bool = False
    """Harmless: there is nothing to hide from who listens on this machine."""


Stop = Annotated[str, Field(max_length=LONGEST_STOP)]


class Sampled(Harmless):
    """How the next token is drawn; below the API's own parameters those of local servers."""

    temperature: float = Field(1.0, ge=0, le=5)
    top_p: float = Field(1.0, ge=0, le=1)
    frequency_penalty: float = Field(0.0, ge=-2, le=2)
    presence_penalty: float = Field(0.0, ge=-2, le=2)
    logit_bias: dict[str, float] = Field(default_factory=dict)
    seed: int | None = None
    stop: Stop | Annotated[list[Stop], Field(max_length=MOST_STOPS)] = Field(default_factory=list)
    n: int = Field(1, ge=1, le=MOST_SAMPLES)
    stream: bool = False
    stream_options: StreamOptions | None = None

    top_k: int = Field(0, ge=0)
    min_p: float = Field(USUAL_MIN_P, ge=0, le=1)
    typical_p: float = Field(1.0, ge=0, le=1)
    repeat_penalty: float = Field(1.0, ge=0.1, le=10)

    @model_validator(mode="after")
    def _fits(self) -> Sampled:
        if self.stream_options is not None and not self.stream:
            raise ValueError("stream_options are for streams: set stream")
        if not all(token.isdecimal() for token in self.logit_bias):
            raise ValueError("logit_bias wants ids of tokens: /tokenize gives them")
        return self

    @property
    def stops(self) -> tuple[str, ...]:
        """The stop strings."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop)

    @property
    def with_usage(self) -> bool:
        """Whether a stream tells what the answer cost."""
        return self.stream_options is not None and self.stream_options.include_usage

    def sampling(self) -> Sampling:
        """As the engine takes it."""
        return Sampling(
            temperature=self.temperature,
            top_k=self.top_k,
            top_p=self.top_p,
            typical_p=self.typical_p,
            min_p=self.min_p,
            repeat_penalty=self.repeat_penalty,
            frequency_penalty=self.frequency_penalty,
            presence_penalty=self.presence_penalty,
            logit_bias={int(token): bias for token, bias in self.logit_bias.items()},
            seed=self.seed,
        )
