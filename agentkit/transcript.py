"""What was said in a recording: words with times, in segments.  Frozen values; all in seconds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from agentkit.values import dataclass


@dataclass(frozen=True, slots=True)
class Word:
    """One word as spoken; `text` carries no surrounding space."""

    start: float
    end: float
    text: str
    probability: float


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of speech, a sentence or a breath long."""

    start: float
    end: float
    text: str
    words: tuple[Word, ...] = ()


@dataclass(frozen=True, slots=True)
class Transcript:
    """All that was said, and how sure we are that it is all.

    `duration` is the decoded length, `speech_seconds` what voice detection found in it,
    `covered_seconds` the part of that which has words.  `language` is an ISO 639-1 code, or None
    when there was no speech.  `warnings` say what a listener should know (a damaged file, a
    region that stayed unclear).
    """

    segments: tuple[Segment, ...]
    language: str | None
    duration: float
    speech_seconds: float
    covered_seconds: float
    model: str
    warnings: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The whole text on one line."""
        return " ".join(segment.text for segment in self.segments)

    @property
    def words(self) -> Iterator[Word]:
        """All words, in order."""
        return (word for segment in self.segments for word in segment.words)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, ready for JSON."""
        return asdict(self) | {"text": self.text}
