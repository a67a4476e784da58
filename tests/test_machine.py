"""What is said of this machine, on machines of all kinds."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from agentkit import machine

FakeFile = Callable[[str, str], None]


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeFile:
    """`system("/proc/meminfo", text)`: the system's files are those that the test wrote."""
    root = tmp_path / "root"
    root.mkdir()
    monkeypatch.setattr(machine, "Path", lambda path: root / str(path).lstrip("/"))

    def write(path: str, text: str) -> None:
        file = root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    return write


def test_this_machine_can_be_described() -> None:
    assert 1 <= machine.physical_cores() <= machine.usable_cores() <= (os.cpu_count() or 1)
    total, free = machine.memory()
    assert 0 <= free <= total
    assert machine.cpu_name()
    assert isinstance(machine.gpus(), tuple)


def test_hyper_threads_are_no_cores(system: FakeFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "usable_cores", lambda: 8)
    for cpu in range(8):
        siblings = f"{cpu % 4},{cpu % 4 + 4}"
        system(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list", siblings)
    assert machine.physical_cores() == 4
    monkeypatch.setattr(machine, "usable_cores", lambda: 2)  # a container with two of them
    assert machine.physical_cores() == 2


def test_where_nothing_is_known_of_cores_all_count(
    system: FakeFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "usable_cores", lambda: 3)
    assert machine.physical_cores() == 3


def test_memory_is_what_is_free_without_swapping(system: FakeFile) -> None:
    assert machine.memory() == (0, 0)
    system("/proc/meminfo", "MemTotal: 8000 kB\nMemFree: 100 kB\nMemAvailable: 4000 kB\n")
    assert machine.memory() == (8000 << 10, 4000 << 10)


def test_the_processor_names_its_features(system: FakeFile) -> None:
    system(
        "/proc/cpuinfo",
        "processor : 0\nmodel name : Some CPU @ 2 GHz\nflags : fpu avx2 fma amx_int8 avx2x\n\n"
        "processor : 1\nmodel name : Other\nflags : f16c\n",
    )
    assert machine.cpu_name() == "Some CPU @ 2 GHz"
    assert machine.cpu_features() == ("avx2", "fma", "amx_int8")


def test_an_arm_processor_has_features_of_its_own(system: FakeFile) -> None:
    system("/proc/cpuinfo", "processor : 0\nFeatures : fp asimd asimddp\n")
    assert machine.cpu_features() == ("asimddp",)
    assert machine.cpu_name()


def fake_smi(folder: Path, script: str) -> None:
    program = folder / "nvidia-smi"
    program.write_text("#!/bin/sh\n" + script)
    program.chmod(0o755)


@pytest.mark.parametrize(
    ("script", "found"),
    [
        ("echo 'NVIDIA RTX, big, 24564, 20000'", [("NVIDIA RTX, big", 24564 << 20, 20000 << 20)]),
        ("echo 'A, 2, 1'; echo 'B, 4, 3'", [("A", 2 << 20, 1 << 20), ("B", 4 << 20, 3 << 20)]),
        ("echo 'No devices were found'", []),
        ("echo 'driver mismatch'; exit 9", []),
    ],
)
def test_gpus_are_those_that_the_driver_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, found: list[tuple[str, int, int]]
) -> None:
    fake_smi(tmp_path, script)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert machine.gpus() == tuple(machine.Gpu(*one) for one in found)


def test_without_the_driver_s_tool_there_are_no_gpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert machine.gpus() == ()


def test_a_gpu_whose_memory_is_not_told_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Boards that share the memory of the system say `[N/A]`."""
    fake_smi(tmp_path, "echo 'NVIDIA GB10, [N/A], [N/A]'")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert machine.gpus() == ()
