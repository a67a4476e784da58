"""What processes use is added up from /proc, also where it cannot all be read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentkit.jobs import Limits
from agentkit.sandbox import growth
from agentkit.sandbox.growth import Growth
from agentkit.sandbox.usage import TICKS, Processes, Use, exceeded

MB = 1_048_576

STATUS = "Name:\tx (y) z\nVmRSS:\t9 kB\nRssAnon:\t{0} kB\nRssFile:\t7 kB\nRssShmem:\t{1} kB\n"
REST = "VmSwap:\t{2} kB\nThreads:\t{3}\n"
SHARES = "Rss:  9 kB\nPss_Anon:  {0} kB\nPss_File:  7 kB\nPss_Shmem:  {1} kB\nSwapPss:  {2} kB\n"


@pytest.fixture
def proc(tmp_path: Path) -> Iterator[Processes]:
    """Two processes that share all of their 60 MB."""
    for name, ticks in (("1", "10 20 30 40"), ("2", "1 2 3 4")):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "stat").write_text(f"{name} (a) b) R 0 1 1 0 -1 0 0 0 0 0 {ticks} 20 0 1 0\n")
        (folder / "status").write_text((STATUS + REST).format(50 * 1024, 10 * 1024, 0, 3))
        (folder / "smaps_rollup").write_text(SHARES.format(25 * 1024, 5 * 1024, 0))
    descriptor = os.open(tmp_path, os.O_RDONLY)
    yield Processes(descriptor, lambda: ["1", "2", "gone"])
    os.close(descriptor)


def test_time_of_processes_and_of_children_that_have_ended(proc: Processes) -> None:
    assert proc.cpu() == 110 / TICKS


def test_threads_count_like_processes(proc: Processes) -> None:
    assert proc.count() == 6


def test_within_the_limit_shared_memory_may_count_twice(proc: Processes) -> None:
    assert proc.memory(1 * MB, limit=200 * MB) == 121 * MB


def test_beyond_it_everything_counts_once(proc: Processes) -> None:
    """Files in memory that are mapped are among what processes share."""
    assert proc.memory(1 * MB, limit=100 * MB) == 60 * MB
    assert proc.memory(15 * MB, limit=100 * MB) == 65 * MB


def test_a_process_that_hides_counts_in_full(proc: Processes, tmp_path: Path) -> None:
    (tmp_path / "2" / "smaps_rollup").unlink()

    assert proc.memory(0, limit=100 * MB) == (25 + 60 + 5) * MB


def test_a_file_without_a_name_is_found_by_who_has_it_open(tmp_path: Path) -> None:
    proc = os.open("/proc", os.O_RDONLY)
    processes = Processes(proc, lambda: [str(os.getpid())])
    device = tmp_path.stat().st_dev
    before = processes.unlinked(device)
    with (tmp_path / "file").open("wb", buffering=0) as file:
        file.write(b"x" * MB)
        assert processes.unlinked(device) == before
        (tmp_path / "file").unlink()
        assert processes.unlinked(device) == before + MB
    os.close(proc)


def test_a_disk_that_runs_full_is_put_down_to_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By whatever way it has done it."""
    free = [10 * growth.LEAST_FREE]
    monkeypatch.setattr(growth, "_free", lambda _: free[0])
    folder = os.open(tmp_path, os.O_RDONLY)
    grown = Growth(folder)

    free[0] = 2 * growth.LEAST_FREE
    assert grown.now(None).bytes == 0
    free[0] = growth.LEAST_FREE - 1
    assert grown.now(None).bytes == 9 * growth.LEAST_FREE + 1
    os.close(folder)


@pytest.mark.parametrize(
    ("use", "stopped"),
    [
        (Use(), ""),
        (Use(cpu=9.9, memory=10, processes=10, disk=10, files=10), ""),
        (Use(cpu=10.0), "cpu"),
        (Use(memory=11), "memory"),
        (Use(processes=11), "processes"),
        (Use(disk=11), "disk"),
        (Use(files=11), "disk"),
        (Use(deep=True), "disk"),
    ],
)
def test_each_limit_has_its_word(use: Use, stopped: str) -> None:
    limits = Limits(cpu=10, memory=10, processes=10, disk=10, files=10)

    assert exceeded(use, limits) == stopped
