"""Plays of a scenario, taken in turn, and what is made of them: rows of the table.

A side is started anew for each play, so that nothing is in its cache, and the sides take turns, so
that a busy moment of the machine hits them alike.  What counts is the median of the rounds.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from agentkit.messages import ChatRequest, JsonSchema, Message
from bench.engine.sides import Opener, Reply, Setup, Side, llama_server, ours

HELLO = ChatRequest(
    (Message("user", "Is water wet?"),), max_tokens=4, constraint=JsonSchema({"type": "boolean"})
)
"""Asked before the clock starts: what is loaded with the first question is loaded then."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One play of a scenario: what it took, and what was answered."""

    seconds: float
    replies: tuple[Reply, ...]

    @property
    def prompts(self) -> list[int]:
        """Length of each prompt in tokens."""
        return [reply.prompt_tokens for reply in self.replies]

    def total(self, name: Literal["prompt", "cached", "written", "forced"]) -> int:
        """Tokens of all replies."""
        return sum(getattr(reply, f"{name}_tokens") for reply in self.replies)


Played = TypeVar("Played", bound=Outcome)


@dataclass(frozen=True, slots=True)
class Bench:
    """What all scenarios are run with."""

    model: Path
    small: Path
    server: Path
    threads: int
    rounds: int

    def setup(self, *, context: int, slots: int, small: bool = False) -> Setup:
        """This machine and model with a context of so many tokens for all slots together."""
        model = self.small if small else self.model
        return Setup(model, self.server, self.threads, context, slots)

    def alternate(
        self,
        setup: Setup,
        play: Callable[[Side], Played],
        openers: Sequence[Opener] = (ours, llama_server),
    ) -> list[list[Played]]:
        """Play on each side in turn; the outcomes of each side, by round."""
        outcomes: list[list[Played]] = [[] for _ in openers]
        for _ in range(self.rounds):
            for opener, found in zip(openers, outcomes, strict=True):
                with opener(setup) as side:
                    side.ask(HELLO)
                    found.append(play(side))
        return outcomes


# -- ways to ask ---------------------------------------------------------------------------------


def one_by_one(side: Side, requests: Iterable[ChatRequest]) -> Outcome:
    """Each request after the answer to the one before."""
    began = time.perf_counter()
    replies = tuple(side.ask(request) for request in requests)
    return Outcome(time.perf_counter() - began, replies)


def at_once(side: Side, requests: Sequence[ChatRequest]) -> Outcome:
    """All requests at the same moment, each from a thread of its own."""
    began = time.perf_counter()
    with ThreadPoolExecutor(len(requests)) as pool:
        replies = tuple(pool.map(side.ask, requests))
    return Outcome(time.perf_counter() - began, replies)


# -- rows of the table ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Row:
    """A figure of ours, by round, beside one of somebody else, or beside a limit of its own.

    `limit` is one of the ratio where `of` says so, and otherwise one of our own figure.
    """

    title: str
    unit: Literal["s", "ms"]
    ours: tuple[float, ...]
    theirs: tuple[float, ...]
    rival: str
    limit: float
    of: Literal["ratio", "ours"]
    notes: tuple[str, ...]

    @property
    def ratio(self) -> float | None:
        """Median by median; None where nobody else was measured."""
        return (
            statistics.median(self.ours) / statistics.median(self.theirs) if self.theirs else None
        )

    @property
    def reached(self) -> bool:
        """Whether the limit is kept."""
        measured = self.ratio if self.of == "ratio" else statistics.median(self.ours)
        return measured is not None and measured <= self.limit


def compare(
    title: str,
    ours: Sequence[Outcome],
    theirs: Sequence[Outcome],
    *,
    limit: float,
    rival: str = "llama-server",
    notes: Iterable[str] = (),
) -> Row:
    """Seconds beside seconds, with the tokens of both as the first note."""
    return Row(
        title,
        "s",
        tuple(outcome.seconds for outcome in ours),
        tuple(outcome.seconds for outcome in theirs),
        rival,
        limit,
        "ratio",
        (tokens(ours[-1], theirs[-1], rival), *notes),
    )


def tokens(ours: Outcome, theirs: Outcome, rival: str) -> str:
    """What both read and wrote; prompts that are not the same on both sides are told."""
    cached = "?" if rival == "llama_cpp.Llama" else f"{theirs.total('cached'):,}"
    text = (
        f"prompts {ours.total('prompt'):,} tokens, cached {ours.total('cached'):,} / {cached}, "
        f"written {ours.total('written'):,} / {theirs.total('written'):,}"
    )
    if ours.prompts != theirs.prompts:
        text += f"; PROMPTS DIFFER: {ours.total('prompt'):,} / {theirs.total('prompt'):,}"
    return text
