"""What an agent tells, in order: each event goes out before it counts.

Everything that the loop and its helpers decide passes here, so that what they know is always what
is on record.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from agentkit import events as ev
from agentkit.agent.mind import Mind
from agentkit.agent.state import AgentState
from agentkit.agent.transcript import FULL, eased, listed
from agentkit.messages import Message

ASKED = 100
"""Tokens of the words of a question, beside what they are about."""

LEAST = 8
"""This part of the room at least is for what was done, in questions that tell it."""


@dataclass
class Account:
    """The events of one agent; `where` are run, step and item.  `state` is the sum of them."""

    mind: Mind
    where: Mapping[str, Any]
    state: AgentState = field(default_factory=AgentState)

    def say(self, kind: Any, **details: Any) -> Iterator[ev.Event]:
        """Tell what happened, after what the questions before it have cost."""
        while self.mind.costs:
            phase, usage = self.mind.costs.pop(0)
            yield from self._tell(ev.ModelAsked(**self.where, phase=phase, usage=usage))
        yield from self._tell(kind(**self.where, **details))

    def _tell(self, event: ev.Event) -> Iterator[ev.Event]:
        yield event
        self.state = self.state.told(event)

    def ease(self, *asked: str) -> Iterator[ev.Event]:
        """Show as much of the history in short as it takes for the next question.

        `asked` are the texts that this will be about: with them it may have all of the room.
        Without them the history is about to grow.
        """
        beside = ASKED + sum(map(self._count, asked)) if asked else 0
        shorter = eased(
            self.state,
            lambda state: self.mind.size(state) + beside,
            self.mind.room,
            1.0 if asked else FULL,
        )
        if shorter is not None:
            yield from self.say(
                ev.HistoryShortened,
                observations=shorter.short_observations,
                tasks=shorter.short_tasks,
                results=shorter.short_results,
            )

    @property
    def done(self) -> str:
        """What was worked on, and what came of it."""
        return listed(self._done, lambda text: True) or "nothing yet"

    @property
    def least(self) -> str:
        """As much of it as there has to be room for."""
        return self._within(self.mind.room // LEAST)

    def told(self, *asked: str) -> str:
        """As much of it as fits into a question that is about these texts, too."""
        used = self.mind.size(self.state) + ASKED + sum(map(self._count, asked))
        return self._within(max(self.mind.room - used, self.mind.room // LEAST))

    @property
    def _done(self) -> list[tuple[str, str]]:
        over = (task for task in self.state.tasks.tasks if task.over and task.attempts)
        return [(task.text, task.result) for task in over]

    def _within(self, tokens: int) -> str:
        return listed(self._done, lambda text: self._count(text) <= tokens) or "nothing yet"

    def _count(self, text: str) -> int:
        return self.mind.model.count_tokens((Message("user", text),))
