"""A look into a running sandbox from outside: its processes, and its folders that lie in memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from agentkit.sandbox.tree import names
from agentkit.sandbox.usage import Processes
from agentkit.sandbox.view import IN_MEMORY


@dataclass(frozen=True, slots=True)
class Inside:
    """An open view of a sandbox."""

    processes: Processes
    in_memory: tuple[int, ...]
    descriptors: ExitStack

    def memory_files(self) -> tuple[int, int]:
        """Bytes and number of files that lie in memory."""
        size = files = 0
        for folder in self.in_memory:
            status = os.fstatvfs(folder)
            size += (status.f_blocks - status.f_bfree) * status.f_frsize
            files += status.f_files - status.f_ffree - 1  # the folder itself
        return size, files

    def close(self) -> None:
        """Idempotent."""
        self.descriptors.close()


def look_inside(pid: int) -> Inside | None:
    """Open the view of a sandbox by its first process; None before it stands, and afterwards."""
    root = f"/proc/{pid}/root"
    with ExitStack() as opened, suppress(OSError):
        if Path(f"{root}/proc").stat().st_dev == Path("/proc").stat().st_dev:
            return None  # it has not changed to its own root yet
        proc = _open(f"{root}/proc", opened)
        folders = tuple(_open(root + folder, opened) for folder in IN_MEMORY)

        def members() -> Iterator[str]:
            return (name for name in names(proc) if name.isdecimal())

        return Inside(Processes(proc, members), folders, opened.pop_all())
    return None


def _open(path: str, opened: ExitStack) -> int:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    opened.callback(os.close, descriptor)
    return descriptor
