"""Whether a task that asks for a change has had enough calls.

A small model says that it is done before it has changed anything, and when it has changed all it
goes on, and does it to what should stay.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from agentkit.agent.account import Account
from agentkit.agent.guard import Step
from agentkit.agent.tasks import Task
from agentkit.agent.verdict import Judge

EARLY = 6
"""Steps after which a model may say that nothing can be changed."""

REACHED = 0.5
"""How likely a model has to find that a task is done, after a call that changed something."""


class Changing(Protocol):
    """Knows what a call has changed."""

    def partly(self, step: Step, task: str) -> bool:
        """Whether a call that changed something did only a part of what a task asks for."""


@dataclass(frozen=True, slots=True)
class Enough:
    """Looks at the steps of a task with what the agent knows."""

    account: Account
    hands: Changing
    judge: Judge

    def too_few(self, task: Task) -> bool:
        """Whether an answer would come too early: after an objection, or where something is to be
        changed and only little was tried.
        """
        state = self.account.state
        if state.objected is not None:
            return True
        steps = state.steps(task)
        idle = len(steps) < EARLY and not any(step.changes for step in steps)
        return idle and bool(self.judge.able) and self.judge.kind(task) == "change"

    def changed(self, task: Task) -> bool:
        """Whether the last call changed something, as it was to."""
        last = self.account.state.steps(task)[-1]
        made = last.changes and last.status == "returned"
        return made and self.judge.kind(task) == "change"

    def all_of_it(self, task: Task) -> bool:
        """Whether the last call, which changed something, did all that was to be changed."""
        state = self.account.state
        partly = self.hands.partly(state.steps(task)[-1], task.text)
        if partly or self.judge.missing(task.text):
            return False
        return self.account.mind.likely(state, "reached", task=task.text) >= REACHED
