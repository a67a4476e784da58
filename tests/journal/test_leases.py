"""One process at a time works on a run, and one that lost it writes nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from agentkit.errors import Fenced, UserError
from agentkit.events import RunStarted
from agentkit.journal import Journal, leases

ROOT = Path(__file__).parents[2]

HOLDER = """\
import sys
from pathlib import Path
from agentkit.journal import Journal
journal = Journal(Path(sys.argv[1]), float(sys.argv[2]))
lease = journal.leases.take("run-1")
print("held", flush=True)
sys.stdin.readline()
try:
    journal.leases.renew(lease)
    print("renewed", flush=True)
except Exception as error:
    print(error, flush=True)
"""


class Other:
    """Another process that holds the run."""

    def __init__(self, file: Path, seconds: float) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(file), str(seconds)],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.read() == "held"

    def read(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def send(self, what: int) -> None:
        self.process.send_signal(what)

    def go_on(self) -> str:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self.read()

    def end(self) -> None:
        if self.process.poll() is None:
            self.send(signal.SIGKILL)
            self.process.communicate()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


@pytest.fixture
def other(file: Path, request: pytest.FixtureRequest) -> Callable[[float], Other]:
    def start(seconds: float) -> Other:
        one = Other(file, seconds)
        request.addfinalizer(one.end)
        return one

    return start


def started(run: str) -> RunStarted:
    return RunStarted(run=run, workflow="w", source="w.yaml", definition="", inputs={})


def test_who_lives_holds_it_and_who_is_dead_does_not(
    file: Path, other: Callable[[float], Other]
) -> None:
    one = other(60)
    journal = Journal(file, 60)

    with pytest.raises(UserError, match=r"^the run run-1 is at work in another process$") as no:
        journal.leases.take("run-1")
    assert no.value.hint == (
        "agentkit runs cancel run-1, or wait for its end: agentkit runs show run-1"
    )
    one.end()

    assert journal.leases.take("run-1").fence == 2
    journal.close()


def test_who_was_stopped_for_too_long_is_fenced(
    file: Path, other: Callable[[float], Other]
) -> None:
    one = other(0.2)
    one.send(signal.SIGSTOP)
    journal = Journal(file, 0.2)
    until = time.monotonic() + 30
    while True:
        try:
            lease = journal.leases.take("run-1")
            break
        except UserError:
            assert time.monotonic() < until
    one.send(signal.SIGCONT)

    assert one.go_on() == "the run run-1 was taken over by another process"
    assert lease.fence == 2
    journal.leases.renew(lease)
    journal.close()


def test_a_fenced_write_leaves_nothing(file: Path) -> None:
    journal = Journal(file)
    old = journal.leases.take("run-1")
    journal.leases.give_back(old)
    new = journal.leases.take("run-1")

    with pytest.raises(Fenced):
        journal.record(started("run-1"), old)
    assert journal.count() == 0
    journal.record(started("run-1"), new)
    assert journal.count() == 1
    journal.close()


def test_giving_back_what_is_no_longer_ones_own_takes_nothing(file: Path) -> None:
    journal = Journal(file)
    old = journal.leases.take("run-1")
    journal.leases.give_back(old)
    new = journal.leases.take("run-1")

    journal.leases.give_back(old)
    journal.leases.renew(new)
    journal.close()


def test_a_clock_that_is_set_changes_nothing(
    file: Path, other: Callable[[float], Other], monkeypatch: pytest.MonkeyPatch
) -> None:
    other(60)
    journal = Journal(file, 60)
    for jump in (1e9, -1e9):
        now = time.time() + jump
        monkeypatch.setattr(time, "time", lambda now=now: now)
        with pytest.raises(UserError):
            journal.leases.take("run-1")
    journal.close()


def test_a_number_that_another_process_has_now_is_no_sign_of_life(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(file)
    monkeypatch.setattr(leases, "_me", lambda: f"{os.getpid()}:1")
    journal.leases.take("run-1")

    assert journal.leases.take("run-1").fence == 2
    journal.close()


def test_after_a_new_start_of_the_machine_only_the_wall_clock_is_left(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(file, 60)
    journal.leases.take("run-1")
    monkeypatch.setattr(leases, "_boot", lambda: "another")
    with pytest.raises(UserError):
        journal.leases.take("run-1")

    later = time.time() + 61
    monkeypatch.setattr(time, "time", lambda: later)
    assert journal.leases.take("run-1").fence == 2
    journal.close()
