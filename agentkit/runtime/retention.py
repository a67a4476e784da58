"""How long runs are kept, and how they go: with their records, and all that they made."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from agentkit.cancel import CancelToken
from agentkit.config import Settings
from agentkit.errors import UserError
from agentkit.records import RunRecord
from agentkit.runtime.held import held
from agentkit.values import dataclass

if TYPE_CHECKING:
    from agentkit.journal import Journal
    from agentkit.journal.leases import Lease


@dataclass(frozen=True, slots=True)
class Retention:
    """That of the runs of one journal."""

    settings: Settings
    journal: Journal

    def remove(self, run: str) -> None:
        """A run with all that it made.  Raises `UserError` for one that is at work."""
        with held(self.journal.leases, run, CancelToken()) as lease:
            self._remove(run, lease)

    def _remove(self, run: str, lease: Lease) -> None:
        """Whoever holds it: nobody goes on with it meanwhile."""
        self.journal.remove([run], lease)
        folder = self.settings.runs_folder
        for made in (folder / run, *folder.glob(f"{run}.*")):
            shutil.rmtree(made, ignore_errors=True)

    def old(self, age: float, keep: int) -> list[RunRecord]:
        """Runs that ended so many seconds ago, but for the newest of each workflow."""
        kept: dict[str, int] = {}
        found: list[RunRecord] = []
        for run in self.journal.runs(limit=10_000_000):
            kept[run.workflow] = kept.get(run.workflow, 0) + 1
            if _is_over(run, age) and kept[run.workflow] > keep:
                found.append(run)
        return found

    def prune(self, runs: Iterable[str], age: float) -> tuple[int, int]:
        """Remove runs, and results of that age; how many runs, and the bytes that it freed.

        A run that somebody has gone on with since it was found to be old stays.
        """
        before, gone = self.size(), 0
        for run in runs:
            with suppress(UserError):  # it is at work, or somebody else has removed it
                gone += self._remove_old(run, age)
        self.journal.shrink(age)
        return gone, max(0, before - self.size())

    def _remove_old(self, run: str, age: float) -> bool:
        """Whether it still is to go, and is gone."""
        with held(self.journal.leases, run, CancelToken()) as lease:
            old = _is_over(self.journal.run(run), age)
            if old:
                self._remove(run, lease)
        return old

    def size(self) -> int:
        """Bytes on disk, of the journal and of what runs made."""
        made = self.settings.runs_folder.rglob("*")
        files = [*made, *self.settings.home.glob("journal.sqlite*")]
        return sum(file.lstat().st_size for file in files if not file.is_dir())


def _is_over(run: RunRecord, age: float) -> bool:
    """Whether it ended so many seconds ago."""
    oldest = datetime.now(UTC) - timedelta(seconds=age)
    return run.finished is not None and run.finished < oldest and run.status != "parked"
