"""The process on a machine that does the work: what it keeps, whom it waits for, when it goes."""

from __future__ import annotations

import hashlib
import io
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agentkit.cancel import CancelToken
from agentkit.cluster import Blobs, Host, Job, RemoteWorker, host
from agentkit.errors import Cancelled, MachineError, UserError, WorkerLost

from .near import NearLink


@dataclass
class Bench:
    """A workplace that does what a test says."""

    folder: Path
    act: Callable[[Job], Any]
    patience: float = -1

    def perform(self, job: Job) -> Any:
        return self.act(job)


def until(true: Callable[[], object]) -> None:
    end = time.monotonic() + 20
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes minutes takes moments."""
    monkeypatch.setattr(host, "LOOK", 0.02)
    monkeypatch.setattr(host, "PATIENCE", 0.1)


def sleep(job: Job) -> None:
    while True:
        job.cancel.wait(1.0)


def test_work_that_nobody_asks_for_is_ended(quick: None, tmp_path: Path) -> None:
    ended, written = threading.Event(), list[Path]()

    def work(job: Job) -> None:
        written.append(job.folder / "half")
        written[0].write_text("x")
        try:
            sleep(job)
        finally:
            ended.set()

    one = Host(lambda: Bench(tmp_path, work))
    one.begin("sleep")
    assert ended.wait(20)
    until(lambda: not written[0].exists())


def test_a_process_without_work_goes(
    quick: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = threading.Event()
    monkeypatch.setattr(host, "_leave", gone.set)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    one = Host(lambda: Bench(tmp_path, sleep, patience=0.05), alone=True)
    assert "OMP_NUM_THREADS" not in os.environ
    assert "CUDA_VISIBLE_DEVICES" not in os.environ
    one.about()
    assert gone.wait(20)


def test_what_a_dead_process_left_goes_when_the_next_one_begins(tmp_path: Path) -> None:
    left = tmp_path / "work" / "999999999" / "a"
    left.mkdir(parents=True)
    Host(lambda: Bench(tmp_path, sleep)).about()
    assert not left.exists()


def test_a_workplace_that_cannot_be_opened_says_why() -> None:
    def broken() -> Bench:
        raise UserError("settings.yaml: line 3 is wrong")

    with pytest.raises(UserError, match="line 3 is wrong"):
        Host(broken).about()


def test_a_bug_there_is_told_and_ends_nothing_else(tmp_path: Path) -> None:
    def bug(job: Job) -> None:
        raise KeyError(job.order)

    worker = RemoteWorker("box", NearLink(Host(lambda: Bench(tmp_path, bug))))
    for _ in range(2):
        with worker.work("x", CancelToken()) as work, pytest.raises(MachineError, match="KeyError"):
            _ = work.value


def test_only_files_of_the_work_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")

    def link(job: Job) -> None:
        (job.folder / "out").symlink_to(tmp_path / "secret")

    worker = RemoteWorker("box", NearLink(Host(lambda: Bench(tmp_path, link))))
    with worker.work("x", CancelToken()) as work:
        _ = work.value
        for name in ("../../../secret", "out", str(tmp_path / "secret")):
            with pytest.raises(MachineError, match="not in the folder"):
                work.fetch(name, "", 1, io.BytesIO())


def test_a_cancel_that_is_not_heard_there_counts_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agentkit.cluster.worker.GRACE", 0.1)
    hold = threading.Event()
    worker = RemoteWorker("box", NearLink(Host(lambda: Bench(tmp_path, lambda job: hold.wait()))))
    token = CancelToken()
    with worker.work("x", token) as work:
        token.cancel("enough")
        with pytest.raises(Cancelled, match="enough"):
            _ = work.value
    hold.set()


def test_a_machine_without_a_sign_of_life_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agentkit.cluster.worker.SIGN_OF_LIFE", 0.05)

    def silent(method: str, *arguments: Any, look: Callable[[], None]) -> Any:
        while True:
            look()
            time.sleep(0.01)

    with pytest.raises(WorkerLost, match="no sign of life"):
        RemoteWorker("box", silent).send({}, CancelToken())


# -- files by what is in them ----------------------------------------------------------------------

SENDER = "ab" * 16


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_a_file_that_is_not_what_its_digest_says_is_not_kept(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path / "blobs")
    with pytest.raises(MachineError, match="damaged on its way"):
        blobs.keep(SENDER, digest(b"good"), 0, b"evil", True)
    assert [*blobs.folder.iterdir()] == []
    for name in ("../../etc/passwd", digest(b"x")[:-1], digest(b"x").upper()):
        with pytest.raises(MachineError, match="is no digest"):
            blobs.keep(SENDER, name, 0, b"", True)


def test_pieces_of_two_senders_do_not_mix(tmp_path: Path) -> None:
    blobs, content = Blobs(tmp_path / "blobs"), b"first, second"
    for sender in (SENDER, "cd" * 16):
        blobs.keep(sender, digest(content), 0, content[:5], False)
    assert blobs.lacking([digest(content)]) == [digest(content)]
    for sender in (SENDER, "cd" * 16):
        blobs.keep(sender, digest(content), 5, content[5:], True)
    assert blobs.lacking([digest(content)]) == []
    blobs.put(digest(content), tmp_path / "a" / "copy", executable=True)
    (tmp_path / "a" / "copy").write_bytes(b"changed")
    blobs.lend(digest(content), tmp_path / "b" / "lent")
    assert (tmp_path / "b" / "lent").read_bytes() == content


def test_what_was_not_asked_for_longest_goes_first(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path / "blobs", most=10)
    for age, content in enumerate((b"new 6b", b"old 6b", b"oldest")):
        blobs.keep(SENDER, digest(content), 0, content, True)
        when = time.time() - age * 10_000
        os.utime(blobs.folder / digest(content), (when, when))
    blobs.prune()
    assert blobs.lacking(map(digest, (b"new 6b", b"old 6b", b"oldest"))) == [
        digest(b"old 6b"),
        digest(b"oldest"),
    ]
