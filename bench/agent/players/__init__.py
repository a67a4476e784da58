"""Who plays, behind one method: `play`.

ours      agentkit, through what `from agentkit import Agent` gives
smol      smolagents: its CodeAgent and its ToolCallingAgent
borrowed  our tools as theirs
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bench.agent.objective import Objective
from bench.agent.world import World

GRACE = 1.5
"""A player who does not stop by itself is stopped after its limit times this."""


@dataclass(frozen=True, slots=True)
class Played:
    """What came of one objective.

    `steps` are questions to the model, `tool_calls` those that were really made.  `tokens_read` had
    to be computed, `tokens_cached` are those of prompts that had not.  `stop` is why it ended, in
    the words of the player; `error` what it died of, if it did.
    """

    answer: str
    seconds: float
    steps: int = 0
    tokens_read: int = 0
    tokens_cached: int = 0
    tokens_written: int = 0
    tool_calls: int = 0
    stop: str = ""
    error: str = ""


class Player(Protocol):
    """Somebody who works towards objectives."""

    def play(self, objective: Objective, folder: Path) -> Played:
        """Work in a folder in which everything is in place.  Raises nothing for what it does."""


@dataclass(frozen=True, slots=True)
class Terms:
    """The same for all who play; `without` are parts of agentkit that are left out."""

    model: str
    limit: float
    without: tuple[str, ...] = ()


Open = Callable[[World, Terms], AbstractContextManager[Player]]
"""Load the model, before any clock starts; unload it at the end."""
