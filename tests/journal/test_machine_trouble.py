"""The journal on a machine that misbehaves: killed, locked out, out of disk, out of luck."""

from __future__ import annotations

import os
import resource
import shlex
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agentkit.errors import MachineError
from agentkit.events import RunStarted, StepFinished, StepStarted
from agentkit.journal import Journal, database, file, rows


def run_started(run: str = "run") -> RunStarted:
    return RunStarted(run=run, workflow="w", source="w.yaml", definition="", inputs={})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


PRELUDE = """
import os, sys
from pathlib import Path
from agentkit.errors import MachineError
from agentkit.events import RunStarted, StepFinished, StepStarted
from agentkit.journal import Journal
path, name = Path(sys.argv[1]), sys.argv[2]
"""


def start(program: str, path: Path, name: str = "run") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PRELUDE + program, str(path), name],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


KILLED = """
journal = Journal(path)
journal.record(RunStarted(run=name, workflow="w", source="", definition="", inputs={}))
for n in range(3):
    journal.record(StepStarted(run=name, step="s", item=n, action="prompt", inputs={}))
    journal.record(StepFinished(run=name, step="s", item=n, outputs={"n": n}, seconds=0))
journal.record(StepStarted(run=name, step="s", item=3, action="prompt", inputs={}))
print("written", flush=True)
sys.stdin.read()
"""


def test_kill_9_costs_nothing_that_was_recorded(path: Path) -> None:
    process = start(KILLED, path)
    assert process.stdout
    assert process.stdout.readline() == "written\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    journal = Journal(path)
    assert journal.run("last").status == "running"
    assert [(step.status, step.outputs) for step in journal.steps("run")] == [
        ("succeeded", {"n": 0}),
        ("succeeded", {"n": 1}),
        ("succeeded", {"n": 2}),
        ("running", None),
    ]
    journal.record(run_started("another"))
    journal.close()


TWO_WRITERS = """
sys.stdin.readline()
journal = Journal(path)
journal.record(RunStarted(run=name, workflow="w", source="", definition="", inputs={}))
for n in range(40):
    journal.record(StepStarted(run=name, step="s", item=n, action="a", inputs={"t": "x" * 3000}))
    journal.record(StepFinished(run=name, step="s", item=n, outputs=n, seconds=0))
journal.close()
"""


def test_several_processes_make_and_write_one_journal_at_once(path: Path) -> None:
    names = ["one", "two", "three", "four"]
    processes = [start(TWO_WRITERS, path, name) for name in names]
    for process in processes:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        _, errors = process.communicate()
        assert (process.returncode, errors) == (0, "")
    journal = Journal(path)
    assert {run.id for run in journal.runs()} == set(names)
    for name in names:
        assert [step.outputs for step in journal.steps(name)] == [*range(40)]
    journal.close()


def test_a_journal_that_another_one_holds_for_long(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file, "BUSY_SECONDS", 0.05)
    monkeypatch.setattr(database, "AWAY_SECONDS", 0.1)
    journal = Journal(path)
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(MachineError, match=r"the journal .*: database is locked") as caught:
        journal.record(run_started())
    assert "try again" in str(caught.value.hint)
    assert journal.runs() == []  # reading goes on
    holder.execute("ROLLBACK")
    holder.close()
    journal.record(run_started())
    assert journal.run("last").id == "run"
    journal.close()


def test_what_a_run_records_waits_until_another_one_lets_the_file_go(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file, "BUSY_SECONDS", 0)
    journal = Journal(path)
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            holder.execute("COMMIT")

    monkeypatch.setattr(time, "sleep", pause)
    journal.record(run_started())
    assert pauses == [database.AGAIN, database.AGAIN]
    assert [one.kind for one in journal.events("run")] == ["RunStarted"]
    holder.close()
    journal.close()


@pytest.mark.parametrize("damage", ["text", "pages"])
def test_a_damaged_file_names_the_way_back(path: Path, damage: str) -> None:
    if damage == "text":
        path.write_bytes(b"this is no database, and long enough to be read as one" * 100)
    else:
        journal = Journal(path)
        for n in range(200):
            journal.record(run_started(f"run-{n}"))
        journal.close()
        size = path.stat().st_size
        with path.open("r+b") as file:
            file.seek(4096)
            file.write(os.urandom(size - 4096))
    with pytest.raises(MachineError, match=str(path)) as caught:
        Journal(path).runs()
    hint = str(caught.value.hint)
    assert hint.startswith("move it away and go on with a new one: mkdir ")
    subprocess.run(hint.split(": ", 1)[1], shell=True, check=True)
    assert (path.parent / "damaged" / path.name).exists()
    journal = Journal(path)
    journal.record(run_started())
    assert [run.id for run in journal.runs()] == ["run"]
    journal.close()


def test_a_file_that_was_moved_away_while_it_is_in_use_is_told(path: Path) -> None:
    service = Journal(path)
    service.record(run_started())
    path.rename(path.with_name("aside.sqlite"))
    with pytest.raises(MachineError, match=f"the journal {path}: no such table") as caught:
        service.record(run_started("another"))
    assert "another file is in its place: start again" in str(caught.value.hint)
    other = Journal(path)
    service.record(run_started("third"))
    assert [run.id for run in other.runs()] == ["third"]
    for one in (service, other):
        one.close()


def test_the_way_back_is_quoted(tmp_path: Path) -> None:
    path = tmp_path / "my $HOME's" / "journal.sqlite"
    path.parent.mkdir()
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(MachineError) as caught:
        Journal(path)
    assert str(caught.value.hint).endswith(shlex.quote(str(path.with_name("damaged"))))


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "journal.sqlite", tmp_path):
        with pytest.raises(MachineError, match="the journal") as caught:
            Journal(path)
        assert caught.value.hint


def test_a_folder_that_cannot_be_written(path: Path) -> None:
    """Root may write everywhere, so a program of its own becomes nobody."""
    path.parent.chmod(0o500)
    program = """
os.getuid() or os.setuid(65534)
try:
    Journal(path)
except MachineError as error:
    print(error, "|", error.hint)
"""
    done = start(program, path).communicate()
    path.parent.chmod(0o700)
    if "No module" in done[1] or "Permission" in done[1]:
        pytest.skip("another user cannot read this Python")
    assert "the journal" in done[0], done[1]
    assert "folder can be written" in done[0]


FULL = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
journal = Journal(path)
journal.record(RunStarted(run=name, workflow="w", source="", definition="", inputs={}))
resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, resource.RLIM_INFINITY))
written = 0
try:
    while True:
        big = os.urandom(900).hex() + str(written)
        journal.record(StepFinished(run=name, step="s", item=written, outputs=big, seconds=0))
        written += 1
except MachineError as error:
    print(error, "|", error.hint)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
journal.record(StepFinished(run=name, step="s", item=written, outputs="room again", seconds=0))
assert [step.key for step in journal.steps(name)] == [str(n) for n in range(written + 1)]
print(written)
"""


def test_a_full_disk_is_an_error_and_loses_nothing_that_was_written(path: Path) -> None:
    """A limit on file size stands in for the disk; SQLite sees the same failing writes."""
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    told, errors = start(FULL, path).communicate()
    assert errors == ""
    message, written = told.splitlines()
    assert "the journal" in message
    assert "check that the disk has room" in message
    assert int(written) > 10
    journal = Journal(path)
    assert journal.steps("run")[-1].outputs == "room again"
    assert len(journal.steps("run")) == int(written) + 1
    journal.close()


def test_a_failed_write_leaves_no_half_of_an_event(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(path)
    journal.record(run_started())

    def broken(*arguments: object, **values: object) -> None:
        raise RuntimeError("cut")

    monkeypatch.setattr(rows, "attempt_ended", broken)
    with pytest.raises(RuntimeError):
        journal.record(StepFinished(run="run", step="s", outputs="x" * 3000, seconds=0))
    monkeypatch.undo()
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT count(*) FROM events").fetchone() == (1,)
        assert connection.execute("SELECT count(*) FROM texts").fetchone() == (0,)
    connection.close()
    journal.record(StepStarted(run="run", step="s", action="a", inputs={}))
    journal.close()
