"""A control group is taken where the system lends one, and nowhere else.

Whether the kernel keeps its limits cannot be tried on every machine; what is written to it, and
that a group ends with everything in it, can.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from agentkit.jobs import Limits
from agentkit.sandbox import cgroup

MOUNT = "29 22 0:26 / {} rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
OWN = "user.slice/user-1000.slice/user@1000.service/app.slice/terminal.scope"


@pytest.fixture
def system(tmp_path: Path) -> Path:
    """A session of systemd's: its own group may not be divided, the slice above it may."""
    (tmp_path / "proc/self").mkdir(parents=True)
    say(tmp_path, mount="/sys/fs/cgroup", own=f"/{OWN}")
    folder = tmp_path / "sys/fs/cgroup"
    make(folder, "cpuset cpu io memory pids")
    for name in OWN.split("/"):
        folder /= name
        make(folder, "" if name.endswith(".scope") else "memory pids")
    return tmp_path


def say(system: Path, *, mount: str, own: str) -> None:
    (system / "proc/self/mountinfo").write_text(MOUNT.format(mount))
    (system / "proc/self/cgroup").write_text(f"8:pids:/\n0::{own}\n")


def make(folder: Path, controllers: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cgroup.subtree_control").write_text(controllers + "\n")
    (folder / "cgroup.procs").write_text("")


def test_the_nearest_that_may_be_divided(system: Path) -> None:
    assert cgroup.divisible(system) == system / "sys/fs/cgroup" / OWN.rpartition("/")[0]


def test_controllers_have_to_be_handed_on(system: Path) -> None:
    for folder in (system / "sys/fs/cgroup").rglob("app.slice"):
        make(folder, "pids")

    found = cgroup.divisible(system)

    assert found
    assert found.name == "user@1000.service"


def test_none_is_looked_for_above_what_is_mounted(system: Path) -> None:
    for file in (system / "sys/fs/cgroup").rglob("cgroup.subtree_control"):
        file.write_text("cpu\n")
    make(system / "sys/fs", "memory pids")

    assert cgroup.divisible(system) is None


@pytest.mark.parametrize(
    ("mount", "own"),
    [("/elsewhere", f"/{OWN}"), ("/sys/fs/cgroup", "/../other"), ("/sys/fs/cgroup", "")],
)
def test_none_where_ours_cannot_be_found(system: Path, mount: str, own: str) -> None:
    say(system, mount=mount, own=own)

    assert cgroup.divisible(system) is None


def test_none_on_a_system_without_version_2(system: Path) -> None:
    (system / "proc/self/mountinfo").write_text("29 22 0:26 / /sys rw - cgroup cgroup rw,memory\n")

    assert cgroup.divisible(system) is None


def test_none_that_is_not_ours_to_write_to(system: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def access(path: Path, _: int) -> bool:
        return "app.slice" not in str(path)

    monkeypatch.setattr(os, "access", access)
    found = cgroup.divisible(system)

    assert found
    assert found.name == "user@1000.service"


def test_the_limits_are_written(system: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parent = cgroup.divisible(system)
    monkeypatch.setattr(cgroup, "divisible", lambda: parent)
    monkeypatch.setattr(cgroup, "PATIENCE", 0.0)

    with cgroup.group(Limits(memory=1000, processes=7), 4711) as group:
        assert group
        written = {file.name: file.read_text() for file in group.folder.iterdir()}
        (group.folder / "memory.events").write_text("low 0\nmax 3\noom 1\noom_kill 0\n")
        assert not group.ran_out_of_memory()
        (group.folder / "memory.events").write_text("low 0\nmax 3\noom 1\noom_kill 2\n")
        assert group.ran_out_of_memory()

    assert group.folder.parent == parent
    assert (group.folder / "cgroup.kill").read_text() == "1"
    assert written == {
        "memory.max": "1000",
        "memory.swap.max": "0",
        "memory.oom.group": "1",
        "pids.max": "8",
        "cgroup.procs": "4711",
    }


def test_a_system_that_lends_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroup, "divisible", lambda: None)

    with cgroup.group(Limits(), os.getpid()) as group:
        assert group is None


def test_what_is_in_a_group_ends_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A real group, without controllers: those may all be in use elsewhere."""
    root = cgroup._mounted(Path("/"))
    if root is None or not os.access(root, os.W_OK):
        pytest.skip("this user may not make control groups here")
    monkeypatch.setattr(cgroup, "_make", lambda parent, _: made(parent))
    monkeypatch.setattr(cgroup, "divisible", lambda: root)

    with subprocess.Popen(["sleep", "600"]) as sleeper:
        with cgroup.group(Limits(), sleeper.pid) as group:
            assert group
            assert str(sleeper.pid) in (group.folder / "cgroup.procs").read_text().split()
        assert sleeper.wait() == -9
        assert not group.folder.exists()


def made(parent: Path) -> cgroup.Group:
    folder = parent / f"agentkit-test-{os.getpid()}"
    folder.mkdir()
    return cgroup.Group(folder)
