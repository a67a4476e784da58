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

    @property
    def done(self) -> str:
        """What was worked on, and what came of it, for a prompt."""
        over = (task for task in self.state.tasks.tasks if task.over and task.attempts)
        return "\n".join(f"- {task.text}: {task.result}" for task in over) or "nothing yet"
