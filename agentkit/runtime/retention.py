"""How long runs are kept, and how they go: with their records, and all that they made."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from agentkit.config import Settings
from agentkit.records import RunRecord
from agentkit.values import dataclass

if TYPE_CHECKING:
    from agentkit.journal import Journal


@dataclass(frozen=True, slots=True)
class Retention:
    """That of the runs of one journal."""

    settings: Settings
    journal: Journal

    def remove(self, run: str) -> None:
        """A run with all that it made.  Raises `UserError` for one that is at work."""
        self.journal.leases.give_back(self.journal.leases.take(run))
        self.journal.remove([run])
        folder = self.settings.runs_folder
        for made in (folder / run, *folder.glob(f"{run}.*")):
            shutil.rmtree(made, ignore_errors=True)

    def old(self, age: float, keep: int) -> list[RunRecord]:
        """Runs that ended so many seconds ago, but for the newest of each workflow."""
        kept: dict[str, int] = {}
        found: list[RunRecord] = []
        oldest = datetime.now(UTC) - timedelta(seconds=age)
        for run in self.journal.runs(limit=10_000_000):
            kept[run.workflow] = kept.get(run.workflow, 0) + 1
            ended = run.finished is not None and run.finished < oldest
            if ended and run.status != "parked" and kept[run.workflow] > keep:
                found.append(run)
        return found

    def prune(self, runs: Iterable[str], age: float) -> int:
        """Remove runs, and results of that age; the bytes that the disk has more afterwards."""
        before = self.size()
        for run in runs:
            self.remove(run)
        self.journal.shrink(age)
        return max(0, before - self.size())

    def size(self) -> int:
        """Bytes on disk, of the journal and of what runs made."""
        made = self.settings.runs_folder.rglob("*")
        files = [*made, *self.settings.home.glob("journal.sqlite*")]
        return sum(file.lstat().st_size for file in files if not file.is_dir())
