"""The power goes off: of what was written, only what was synced is there when it comes back.

A run is cut off after each of its events, once with nothing on the disk but what was synced, once
with half of what was written after that, as a disk may leave it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

from agentkit import events as ev
from agentkit import tool
from agentkit.config import Settings
from agentkit.errors import UnknownName
from agentkit.journal import file, leases
from agentkit.runtime import Runtime
from tests.journal.synced import disk

WORKFLOW = """\
name: chain
steps:
  - {id: a, uses: write, with: {name: a}}
  - {id: each, foreach: {items: [b, c]}, uses: write, with: {name: "${{ item }}"}}
  - {id: d, uses: write, with: {name: d}}
outputs: {all: "${{ [steps.a.outputs] + steps.each.outputs + [steps.d.outputs] }}"}
"""

DONE: list[str] = []


@tool
def write(name: str) -> str:
    """Write down that it was called.

    Args:
        name: Of the step.
    """
    DONE.append(name)
    return name


class Cut(NamedTuple):
    """A moment: what the journal had said to be finished, and the files as they are then."""

    after: str
    finished: tuple[str, ...]
    synced: dict[str, bytes]
    written: dict[str, bytes]

    def files(self, *, torn: bool) -> Iterator[tuple[str, bytes]]:
        """What is there afterwards."""
        for name, whole in self.written.items():
            safe = self.synced.get(name, b"")
            kept = len(safe) + (len(whole) - len(safe)) // 2
            yield name, safe + whole[len(safe) : kept] if torn else safe


def cuts(home: Path, workflow: Path) -> tuple[str, list[Cut]]:
    """A run, and its moments."""
    found: list[Cut] = []
    finished: list[str] = []
    with disk() as there, Runtime(Settings(home=home)) as runtime:
        runtime.lend([write])
        journal = runtime.settings.journal_file

        def look(event: ev.Event) -> None:
            if isinstance(event, ev.StepFinished) and event.outputs in list("abcd"):
                finished.append(event.outputs)
            files = [path for path in (journal, Path(f"{journal}-wal")) if path in there]
            synced = {path.name: there[path] for path in files}
            written = {path.name: path.read_bytes() for path in files}
            found.append(Cut(event.kind, tuple(finished), synced, written))

        run = "the-run"
        runtime.run(runtime.workflow(str(workflow)), {}, run, subscribers=(look,))
    return run, found


def finished_after(home: Path, run: str, cut: Cut, *, torn: bool) -> list[str]:
    """What is done when the run goes on from there."""
    home.mkdir()
    for name, data in cut.files(torn=torn):
        (home / name).write_bytes(data)
    DONE.clear()
    with Runtime(Settings(home=home)) as runtime:
        runtime.lend([write])
        try:
            record = runtime.journal.run(run)
        except UnknownName:
            assert not cut.finished, f"a finished step was lost after {cut.after}"
            return ["a", "b", "c", "d"]
        outputs = record.outputs if record.status == "succeeded" else runtime.resume(run)
    assert outputs == {"all": ["a", "b", "c", "d"]}
    return [*DONE]


@pytest.fixture(scope="module", autouse=True)
def seen(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Skip where Python's SQLite is not the one that can be found by its name."""
    path = tmp_path_factory.mktemp("seen") / "journal.db"
    with disk() as there, closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE one (x)")
        database.commit()
    if path not in there:
        pytest.skip("Python brings its own SQLite here: its syncs cannot be watched")


@pytest.fixture
def workflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("AGENTKIT_HOME", raising=False)
    monkeypatch.setattr(leases, "_lives", lambda owner: False)  # nobody outlives a power cut
    path = tmp_path / "chain.yaml"
    path.write_text(WORKFLOW)
    return path


def test_nothing_finished_is_lost_or_done_twice(tmp_path: Path, workflow: Path) -> None:
    run, found = cuts(tmp_path / "first", workflow)
    assert len({cut.finished for cut in found}) == 5, "it was cut off before each step, and after"
    assert any(cut.synced != cut.written for cut in found), "something is not synced at once"
    for number, cut in enumerate(found):
        for torn in (False, True):
            home = tmp_path / f"{number}-{torn}"
            done = finished_after(home, run, cut, torn=torn)
            assert not {*cut.finished} & {*done}, f"done twice after {cut.after}"
            assert len({*done}) == len(done)


def test_it_would_be_seen(tmp_path: Path, workflow: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file, "LASTING", "NORMAL")  # nothing is synced when a step ends
    run, found = cuts(tmp_path / "first", workflow)
    last = next(cut for cut in found if len(cut.finished) == 4)
    with pytest.raises(AssertionError, match="lost"):
        assert not finished_after(tmp_path / "again", run, last, torn=False), "a step was lost"
