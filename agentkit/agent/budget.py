"""How much an agent may spend, and which limit it hit: a pure function of what it has spent."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

StopReason = Literal[
    "done",            # the objective is reached, as far as checks and model can tell
    "nothing_left",    # every task is over, and nobody said that the objective is reached
    "tasks",           # a budget was used up
    "steps",
    "tokens",
    "seconds",
    "stuck",           # the same again and again, in task after task
    "context",         # what has to be in the prompt does not fit, even shortened
    "cancelled",       # a person said so
    "failed",          # the model or the machine failed
]  # fmt: skip

BROKEN_OFF: Collection[StopReason] = ("cancelled", "failed")
"""Reasons that are no end: a run that stopped like that can be gone on with."""


@dataclass(frozen=True, slots=True)
class Budget:
    """Limits for a whole run.  `tokens` are those that were read (not from the cache) or written.

    `seconds` are of wall clock while the agent works; a pause does not count.  `steps_per_task`
    bounds the tool calls of one attempt at a task.
    """

    tasks: int = 12
    steps: int = 40
    tokens: int = 200_000
    seconds: float = 1800.0
    steps_per_task: int = 12
    attempts: int = 2


@dataclass(frozen=True, slots=True)
class Spent:
    """What a run has used so far."""

    tasks: int = 0
    steps: int = 0
    tokens: int = 0
    seconds: float = 0.0


def limit_hit(budget: Budget, spent: Spent) -> StopReason | None:
    """The first limit that is reached, or None."""
    if spent.seconds >= budget.seconds:
        return "seconds"
    if spent.tokens >= budget.tokens:
        return "tokens"
    if spent.steps >= budget.steps:
        return "steps"
    if spent.tasks >= budget.tasks:
        return "tasks"
    return None
