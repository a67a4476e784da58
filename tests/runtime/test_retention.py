"""Runs that are removed go as a whole, and nobody works on them meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agentkit.config import Settings
from agentkit.errors import MachineError, UserError
from agentkit.events import RunFinished, RunResumed, RunStarted
from agentkit.journal import Journal
from agentkit.messages import Usage
from agentkit.runtime.retention import Retention

HOUR = 3600.0
YESTERDAY = datetime.now(UTC) - timedelta(days=1)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(tmp_path / "journal.sqlite")
    yield journal
    journal.close()


@pytest.fixture
def retention(tmp_path: Path, journal: Journal) -> Retention:
    return Retention(Settings(home=tmp_path), journal)


def ended(run: str, time: datetime) -> RunFinished:
    return RunFinished(run=run, time=time, status="failed", outputs={}, seconds=1, usage=Usage())


def ran(retention: Retention, run: str) -> Path:
    """A run that ended yesterday, and a file that it made."""
    retention.journal.record_all([
        RunStarted(run=run, time=YESTERDAY, workflow="w", source="", definition="", inputs={}),
        ended(run, YESTERDAY),
    ])  # fmt: skip
    made = retention.settings.runs_folder / run / "made.txt"
    made.parent.mkdir(parents=True)
    made.write_text("made")
    return made


def test_nobody_goes_on_with_a_run_while_it_is_removed(
    retention: Retention, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, remove = ran(retention, "run-1"), Journal.remove

    def meanwhile(journal: Journal, *what: object) -> None:
        with pytest.raises(UserError, match="the run run-1 is at work in another process"):
            journal.leases.take("run-1")
        remove(journal, *what)  # type: ignore[arg-type]

    monkeypatch.setattr(Journal, "remove", meanwhile)
    retention.remove("run-1")
    assert retention.journal.count() == 0
    assert not made.exists()


def test_a_run_that_cannot_be_removed_is_free_again(
    retention: Retention, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = ran(retention, "run-1")

    def refuse(journal: Journal, *what: object) -> None:
        raise MachineError("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(Journal, "remove", refuse)
        with pytest.raises(MachineError, match="is full"):
            retention.remove("run-1")
    assert made.exists()
    assert not retention.journal.leases.held("run-1")
    retention.remove("run-1")
    assert not made.exists()


def test_runs_that_somebody_has_gone_on_with_are_not_pruned(
    retention: Retention, journal: Journal
) -> None:
    names = ("gone", "at-work", "again", "removed")
    files = {name: ran(retention, name) for name in names}
    old = [run.id for run in retention.old(HOUR, keep=0)]
    assert sorted(old) == sorted(names)
    lease = journal.leases.take("at-work")
    journal.record_all([RunResumed(run="again"), ended("again", datetime.now(UTC))])
    retention.remove("removed")

    count, _ = retention.prune(old, HOUR)

    assert count == 1
    assert {name for name, file in files.items() if file.exists()} == {"at-work", "again"}
    assert {run.id for run in journal.runs()} == {"at-work", "again"}
    journal.leases.renew(lease)
