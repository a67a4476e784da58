"""The list of tasks as it changes: what the model proposes, what a person wants, in which order.

What cannot be done is refused, on record, and stops nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from agentkit import events as ev
from agentkit.agent.account import Account
from agentkit.agent.mind import Garbled
from agentkit.agent.tasks import Similar, Task
from agentkit.errors import Paused
from agentkit.letters import Letter

COMPLETE = 0.5
"""How likely the model has to find the objective reached, for no more tasks to be asked for."""


@dataclass(frozen=True, slots=True)
class Planner:
    """Changes the list; `similar` tells tasks that are the same in other words."""

    account: Account
    similar: Similar

    def add(self, texts: Sequence[str], parent: str | None, reason: str) -> Iterator[ev.Event]:
        """Take the tasks that are new, and refuse the others."""
        tasks = self.account.state.tasks
        taken, refused = tasks.considered(texts, parent, self.similar)
        for one in refused:
            yield from self.account.say(ev.TaskRefused, text=one.text, reason=one.reason)
        for task in taken:
            yield from self.account.say(
                ev.TaskAdded, task=task.id, text=task.text, parent=task.parent, reason=reason
            )

    def what_is_missing(self, task: Task) -> Iterator[ev.Event]:
        """After a task: propose more, unless the objective is reached, and order the open ones.

        The order is told in any case: then it is known that this was done.
        """
        state, mind = self.account.state, self.account.mind
        before = state.unplanned[1] if state.unplanned else ()
        planned = "; ".join(state.tasks[name].text for name in state.tasks.order)
        yield from self.account.ease(state.objective, planned, self.account.least)
        state, done = self.account.state, self.account.told(state.objective, planned)
        told: dict[str, Any] = {"objective": state.objective, "done": done}
        if mind.likely(state, "complete", **told) < COMPLETE:
            try:
                most = state.tasks.limits.proposed
                texts = mind.tasks(state, most, open=planned or "nothing", **told)
            except Garbled:
                texts = []
            yield from self.add(texts, task.id, f"after {task.id}")
        state = self.account.state
        order: Sequence[str] = state.tasks.order
        if len(order) > 1 and order != before:
            listed = "\n".join(f"{name}: {state.tasks[name].text}" for name in order)
            order = mind.order(state, order, objective=state.objective, open=listed)
        yield from self._put(order)

    def heed(self, letters: Iterable[Letter]) -> Iterator[ev.Event]:
        """Do what a person says; a pause comes after what was said beside it.  Raises `Paused`."""
        pause = False
        for letter in letters:
            pause = pause or letter.kind == "pause"
            yield from self._heed(letter)
        if pause:
            raise Paused(self.account.where["run"])

    def _heed(self, letter: Letter) -> Iterator[ev.Event]:
        names = [name.strip() for name in letter.text.split(",") if name.strip()]
        tasks = self.account.state.tasks
        at_work = [task.id for task in tasks.tasks if task.status == "running"]
        match letter.kind:
            case "note":
                yield from self.account.say(ev.NoteGiven, text=letter.text)
            case "add":
                yield from self.add([letter.text], None, "a person added it")
            case "drop" if set(names) <= {*tasks.order, *at_work}:
                for name in names:
                    yield from self._drop(name, "a person dropped it")
            case "order" if set(names) <= set(tasks.order):
                yield from self._put([*names, *(n for n in tasks.order if n not in names)])
            case "drop" | "order":
                there = ", ".join(tasks.order) or "none"
                reason = f"a person named {letter.text}, and the open tasks are: {there}"
                yield from self.account.say(ev.TaskRefused, text=letter.kind, reason=reason)

    def _put(self, order: Sequence[str]) -> Iterator[ev.Event]:
        """Do the open tasks in this order, and drop those that are not in it."""
        for name in self.account.state.tasks.order:
            if name not in order:
                yield from self._drop(name, "it is not needed any more")
        yield from self.account.say(ev.TasksOrdered, order=tuple(order))

    def _drop(self, task: str, why: str) -> Iterator[ev.Event]:
        yield from self.account.say(ev.TaskFinished, task=task, status="dropped", result=why)
