"""The list that an agent works through.

A task has an id for life; the model names ids and never writes the list.  What it proposes is taken
if it is new (by its text, and by its meaning where there is an embedder), not too deep, and if
there is room.  What it orders is a permutation of the ids that are open, or it is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

TaskStatus = Literal["open", "running", "done", "failed", "dropped"]

Kind = Literal["change", "compute", "look"]
"""What a task asks for: other files, a figure that stands nowhere, or what stands somewhere."""

FILLER = frozenset("a an and the of to for in on at with please then also all any".split())
"""Words that make no difference between two tasks."""

Similar = Callable[[str, Sequence[str]], str | None]
"""Which of some texts means the same as a text, if one does."""


def by_words(text: str, others: Sequence[str]) -> str | None:
    """The text with the same telling words, whatever their order and case."""
    asked = _telling(text)
    return next((other for other in others if _telling(other) == asked), None)


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of a list there can be.  `depth` 0 is what the person asked for."""

    total: int = 20
    depth: int = 3
    proposed: int = 3

    @property
    def full(self) -> str:
        """Why nothing is taken any more."""
        return f"a list has {self.total} tasks at most"


@dataclass(frozen=True, slots=True)
class Task:
    """One entry; `evidence` are ids of the calls that its result rests on."""

    id: str
    text: str
    parent: str | None = None
    reason: str = ""
    status: TaskStatus = "open"
    attempts: int = 0
    result: str = ""
    evidence: tuple[str, ...] = ()

    @property
    def over(self) -> bool:
        """Whether nothing is to be done about it any more."""
        return self.status in ("done", "failed", "dropped")


@dataclass(frozen=True, slots=True)
class Refusal:
    """A proposed task that was not taken, and why."""

    text: str
    reason: str


@dataclass(frozen=True, slots=True)
class TaskList:
    """All tasks in the order in which they came; `order` has the ids of the open ones."""

    tasks: tuple[Task, ...] = ()
    order: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)

    def __getitem__(self, name: str) -> Task:
        return next(task for task in self.tasks if task.id == name)

    @property
    def next(self) -> Task | None:
        """The first open task."""
        return self[self.order[0]] if self.order else None

    def depth(self, task: Task) -> int:
        """How many tasks it descends from."""
        return 0 if task.parent is None else 1 + self.depth(self[task.parent])

    def considered(
        self, texts: Sequence[str], parent: str | None, similar: Similar = by_words
    ) -> tuple[list[Task], list[Refusal]]:
        """What of some proposals would be taken, with the ids that they would have."""
        taken: list[Task] = []
        refused: list[Refusal] = []
        deep = parent is not None and self.depth(self[parent]) >= self.limits.depth
        for number, text in enumerate(" ".join(text.split()) for text in texts):
            known = [task.text for task in (*self.tasks, *taken)]
            same = by_words(text, known) or similar(text, known)
            if not _telling(text):
                reason = "it says nothing"
            elif same is not None:
                reason = f"it is there already: {same}"
            elif deep:
                reason = f"tasks of tasks go {self.limits.depth} deep"
            elif number >= self.limits.proposed:
                reason = f"{self.limits.proposed} are taken at a time"
            elif len(self.tasks) + len(taken) >= self.limits.total:
                reason = self.limits.full
            else:
                taken.append(Task(f"t{len(self.tasks) + len(taken) + 1}", text, parent))
                continue
            refused.append(Refusal(text, reason))
        return taken, refused

    def added(self, task: Task) -> TaskList:
        """With a task at the end."""
        return replace(self, tasks=(*self.tasks, task), order=(*self.order, task.id))

    def changed(self, task: Task) -> TaskList:
        """With a task in place of the one with its id; one that is over leaves the order."""
        tasks = tuple(task if one.id == task.id else one for one in self.tasks)
        order = tuple(name for name in self.order if name != task.id or not task.over)
        return replace(self, tasks=tasks, order=order)

    def ordered(self, names: Sequence[str]) -> TaskList:
        """In another order.  Raises `ValueError` for what is no permutation of the open ids."""
        if sorted(names) != sorted(self.order):
            raise ValueError(f"{', '.join(names)} is no order of {', '.join(self.order)}")
        return replace(self, order=tuple(names))


def _telling(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"[\w./:-]*\w", text.lower())) - FILLER
