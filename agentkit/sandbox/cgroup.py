"""A control group (cgroup v2) for one program, where the system lends us one.

In it the kernel itself counts memory and processes of all of them together, exactly and at once.
We need a group that may be divided: one that is ours to write to and hands the controllers on
(systemd delegates such ones to each user's session, and to services with `Delegate=yes`).  Where
there is none, the limits of each process and the watch have to do.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from agentkit.jobs import Limits

CONTROLLERS = {"memory", "pids"}
PATIENCE = 1.0
"""Seconds that the kernel may take to clear an emptied group."""


@dataclass(frozen=True, slots=True)
class Group:
    """A control group of our own."""

    folder: Path

    def admit(self, pid: int) -> bool:
        """Move a process in, if we may; its children will be born here."""
        try:
            (self.folder / "cgroup.procs").write_text(str(pid), encoding="ascii")
        except OSError:
            return False
        return True

    def ran_out_of_memory(self) -> bool:
        """Whether the kernel had to end something in it."""
        with suppress(OSError):
            events = (self.folder / "memory.events").read_text(encoding="ascii").split()
            return int(dict(zip(events[::2], events[1::2], strict=False)).get("oom_kill", 0)) > 0
        return False


@contextmanager
def group(limits: Limits, pid: int) -> Iterator[Group | None]:
    """A new group with these limits, and with this process in it, while the block runs.

    None where there can be none.
    """
    parent = divisible()
    made = parent and _make(parent, limits)
    try:
        yield made if made and made.admit(pid) else None
    finally:
        if made:
            _clear(made.folder)


def divisible(system: Path = Path("/")) -> Path | None:
    """The nearest group above this process that we may make groups with limits in."""
    root = _mounted(system)
    own = _own(system)
    if root is None or own is None:
        return None
    for folder in (root / own, *(root / own).parents):
        if not folder.is_relative_to(root):
            return None
        if _can_divide(folder):
            return folder
    return None


def _can_divide(folder: Path) -> bool:
    try:
        handed_on = (folder / "cgroup.subtree_control").read_text(encoding="ascii").split()
    except OSError:
        return False
    writable = all(os.access(path, os.W_OK) for path in (folder, folder / "cgroup.procs"))
    return writable and set(handed_on) >= CONTROLLERS


def _mounted(system: Path) -> Path | None:
    """Where the v2 hierarchy is to be found, if it is there as a whole."""
    with suppress(OSError):
        for line in (system / "proc/self/mountinfo").read_text("utf-8", "replace").splitlines():
            place, _, kind = line.partition(" - ")
            if kind.startswith("cgroup2 ") and place.split()[3] == "/":
                return system / place.split()[4].lstrip("/")
    return None


def _own(system: Path) -> str | None:
    """The group that we are in; none if it lies outside of what is mounted."""
    with suppress(OSError):
        for line in (system / "proc/self/cgroup").read_text("utf-8", "replace").splitlines():
            if line.startswith("0::/") and ".." not in line.split("/"):
                return line.removeprefix("0::/")
    return None


def _make(parent: Path, limits: Limits) -> Group | None:
    folder = parent / f"agentkit-{secrets.token_hex(8)}"
    try:
        folder.mkdir()
        (folder / "memory.max").write_text(str(limits.memory), encoding="ascii")
        (folder / "pids.max").write_text(str(limits.processes + 1), encoding="ascii")
        for name, value in (("memory.swap.max", "0"), ("memory.oom.group", "1")):
            with suppress(OSError):  # not every kernel has them
                (folder / name).write_text(value, encoding="ascii")
    except OSError:
        with suppress(OSError):
            folder.rmdir()
        return None
    return Group(folder)


def _clear(folder: Path) -> None:
    """End what is left in a group, and the group."""
    with suppress(OSError):
        (folder / "cgroup.kill").write_text("1", encoding="ascii")
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        with suppress(OSError):
            folder.rmdir()
            return
        time.sleep(0.005)
