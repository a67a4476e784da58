"""What one run borrows: models, its past, letters, kept results, places, and runs of its own.

It is `workflow.steps.scope.Services`.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentkit.cancel import CancelToken
from agentkit.errors import MachineError, UnknownName, UserError
from agentkit.letters import Letter
from agentkit.ports import ChatModel, Embedder
from agentkit.records import AgentRecord, Cached
from agentkit.toolbox.grants import Narrowing
from agentkit.values import dataclass

if TYPE_CHECKING:
    from agentkit.runtime.runs import Runs
    from agentkit.runtime.terms import How
    from agentkit.workflow.report import StepReport
    from agentkit.workflow.steps.scope import Place

DEEPEST = 8
"""Runs within runs."""


@dataclass(frozen=True, slots=True)
class Here:
    """`workflow.steps.scope.Place` in this process."""

    chat: Callable[..., ChatModel]
    away: None = None


@dataclass(frozen=True)
class RunServices:
    """Those of one run; runs that belong to it inherit what it may read, what was taken from it and
    what it hides.
    """

    runs: Runs
    run: str
    how: How
    files: Mapping[str, str]
    readable: tuple[Path, ...]
    narrowings: tuple[Narrowing, ...]
    hidden: tuple[str, ...]

    @property
    def elsewhere(self) -> Container[str]:
        """See `Services.elsewhere`."""
        return self.runs.settings.cluster.queues

    def embedder(self, name: str | None = None) -> Embedder:
        """See `Services.embedder`."""
        return self.runs.embedder(name)

    def beginning(self, text: str, tokens: int, model: str | None = None) -> str:
        """See `Services.beginning`."""
        return self.runs.beginning(text, tokens, model)

    def past(self, run: str, step: str, key: str) -> AgentRecord:
        """See `Services.past`."""
        journal = self.runs.journal
        told = journal.told(run, step, key)
        calls = journal.calls(run) if told else []
        restored = self.runs.spill.restored
        ends = {one.id: (one.status, restored(one.outcome, run, step)) for one in calls}
        return AgentRecord(told, ends)

    def letters(self, run: str) -> Iterable[Letter]:
        """See `Services.letters`."""
        return self.runs.journal.mailbox.take(run, "note", "add", "drop", "order", "pause")

    def cached(self, digest: str, age: float | None) -> Cached | None:
        """See `Services.cached`."""
        found = self.runs.journal.cached(digest, age)
        if found is None:
            return None
        try:
            return replace(found, outputs=self.runs.spill.restored(found.outputs, found.run))
        except MachineError:  # it went with its run
            return None

    @contextmanager
    def place(
        self, queue: str | None, report: StepReport, cancel: CancelToken, travels: bool = True
    ) -> Iterator[Place]:
        """See `Services.place`."""
        here = Here(self.runs.chat)
        if queue is None:
            yield here
            return
        limits = self.runs.queues
        if queue not in limits:
            hint = f"add it to settings.yaml: queues: {{{queue}: 1}}"
            raise UnknownName("queue", queue, limits, hint=hint)
        with self.runs.places.taken(f"queue {queue}", limits[queue], self.run, cancel):
            if not travels or queue not in self.elsewhere:
                yield here
                return
            from agentkit.runtime.away import There

            with self.runs.workers().taken(queue, report.warned, cancel) as worker:
                report.placed(worker.machine)
                yield There(worker, cancel, self.runs.settings.cluster.largest)

    def child(
        self, name: str, given: Mapping[str, Any], run: str, parent: str, cancel: CancelToken
    ) -> Mapping[str, Any]:
        """See `Services.child`."""
        if parent.count(".") >= DEEPEST:
            raise UserError(f"workflows call each other {DEEPEST} deep: does {name!r} call itself?")
        return self.runs.child(name, given, run, self, cancel)
