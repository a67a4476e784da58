"""What earlier runs have to say about a task, and what this one leaves behind for later ones.

Only what is near enough is told, with where it comes from; lessons of failed checks are kept with
the run that learned them.  Without a memory there is nothing to recall, and nothing goes wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from agentkit.agent.tasks import Similar
from agentkit.errors import MachineError, ToolError, UserError
from agentkit.ports import Embedder, Memory, Recollection

T = TypeVar("T")

MOST = 3
NEAR = 0.45
"""Score from which on an entry is told."""

LONG = 400
"""Characters of an entry that are told."""

SAME = 0.9
"""Cosine from which on two tasks are one."""

SAID = "What memory says (it may be old):"
"""What stands above the entries that are told."""

ENTRY = "- "

LESSON = "lesson"
"""Metadata `kind` of what a failed check taught."""


@dataclass
class Recall:
    """The memory of a run.  `warn` is told once why there is none."""

    memory: Callable[[], Memory]
    source: str
    warn: Callable[[str], None]
    _gone: bool = False

    def about(self, task: str) -> str:
        """What is known about a task, line by line; empty where nothing is."""
        found = self._with(lambda memory: memory.search(task, limit=MOST)) or []
        near = [one for one in found if one.score >= NEAR]
        if not near:
            return ""
        return "\n".join([SAID, *map(_line, near)])

    def keep(self, lesson: str, task: str) -> None:
        """Remember a lesson for later runs."""
        text = f"Lesson about the task {task!r}: {lesson}"
        about = {"kind": LESSON, "task": task[:200]}
        self._with(lambda memory: memory.save(text, source=self.source, metadata=about))

    def _with(self, use: Callable[[Memory], T]) -> T | None:
        if self._gone:
            return None
        try:
            return use(self.memory())
        except (MachineError, ToolError, UserError) as error:
            self._gone = True
            self.warn(f"without memory: {error}")
            return None


def _line(entry: Recollection) -> str:
    text = " ".join(entry.text.split())
    return f"{ENTRY}{text[:LONG]}" + (f" (from {entry.source})" if entry.source else "")


def told(recalled: str) -> list[str]:
    """The entries that memory told with a task, each with where it is from; lessons of this run,
    which follow, are none.
    """
    _, _, after = recalled.partition(f"{SAID}\n")
    entries, _, _ = after.partition("\n\n")
    return [line.removeprefix(ENTRY) for line in entries.splitlines()]


def by_meaning(embedder: Callable[[], Embedder]) -> Similar:
    """Compare tasks by the angle between their vectors; without an embedder by nothing."""

    def similar(text: str, others: Sequence[str]) -> str | None:
        if not others:
            return None
        try:
            vectors = embedder().embed([text, *others])
        except (MachineError, UserError):
            return None
        nearness = vectors[1:] @ vectors[0]
        best = int(nearness.argmax())
        return others[best] if nearness[best] >= SAME else None

    return similar
