"""What a running program uses: processor, memory, processes, disk.

The kernel's own limits are per process.  Those of a job are for all of its processes together, so
they are added up, several times a second, from the /proc that the program itself sees: its own
process namespace, in which nothing is missing and nobody else appears.

Memory is first added up too high (each process with all its pages), which is cheap; only if that
goes beyond the limit, pages that processes share are divided among them.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from agentkit.jobs import Limits, Stopped
from agentkit.sandbox.tree import names

TICKS = os.sysconf("SC_CLK_TCK")

_RESIDENT = re.compile(rb"^(?:RssAnon|RssShmem|VmSwap):\s+(\d+) kB", re.MULTILINE)
_THREADS = re.compile(rb"^Threads:\s+(\d+)", re.MULTILINE)
_SHARES = re.compile(rb"^(Pss_Anon|Pss_Shmem|SwapPss):\s+(\d+) kB", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Use:
    """Seconds, bytes and counts; `deep` says that the work folder goes too deep to be measured."""

    cpu: float = 0.0
    memory: int = 0
    processes: int = 0
    disk: int = 0
    files: int = 0
    deep: bool = False


def exceeded(use: Use, limits: Limits) -> Stopped:
    """The limit that was gone beyond, if any."""
    if use.cpu >= limits.cpu:
        return "cpu"
    if use.memory > limits.memory:
        return "memory"
    if use.processes > limits.processes:
        return "processes"
    if use.disk > limits.disk or use.files > limits.files or use.deep:
        return "disk"
    return ""


@dataclass(frozen=True, slots=True)
class Processes:
    """The processes of one program.

    `proc` is an open /proc, `members` tells which of the processes in it are meant.
    """

    proc: int
    members: Callable[[], Iterable[str]]

    def cpu(self) -> float:
        """Seconds, with those of children that have ended and were waited for."""
        ticks = 0
        for process in self.members():
            fields = self._read(process, "stat").rpartition(b")")[2].split()
            ticks += sum(map(int, fields[11:15]))  # utime, stime, cutime, cstime
        return ticks / TICKS

    def count(self) -> int:
        """Processes, each of their threads counted like one."""
        found = (_THREADS.search(self._read(one, "status")) for one in self.members())
        return sum(int(match[1]) for match in found if match)

    def memory(self, files: int, limit: int) -> int:
        """Bytes, with `files` that lie in memory.  Exact only beyond the limit."""
        together = sum(map(self._resident, self.members())) + files
        if together <= limit:
            return together
        # A fork between two readings counts twice what it shares, so it is read once more.
        return min(self._divided(files), self._divided(files))

    def _divided(self, files: int) -> int:
        own = shared = 0
        for process in self.members():
            shares = dict(_SHARES.findall(self._read(process, "smaps_rollup")))
            if b"Pss_Anon" in shares:  # of another's process, or on an older kernel, it is not
                own += 1024 * (int(shares[b"Pss_Anon"]) + int(shares[b"SwapPss"]))
                shared += 1024 * int(shares[b"Pss_Shmem"])
            else:
                own += self._resident(process)
        return own + max(shared, files)

    def _resident(self, process: str) -> int:
        return 1024 * sum(map(int, _RESIDENT.findall(self._read(process, "status"))))

    def unlinked(self, device: int) -> int:
        """Bytes in files of a disk that have no name any more, but are still open."""
        sizes = {}
        for status in self._open_files():
            if status.st_dev == device and status.st_nlink == 0 and stat.S_ISREG(status.st_mode):
                sizes[status.st_ino] = status.st_blocks * 512
        return sum(sizes.values())

    def _open_files(self) -> Iterator[os.stat_result]:
        for process in self.members():
            with suppress(OSError):
                folder = os.open(f"{process}/fd", os.O_RDONLY, dir_fd=self.proc)
                try:
                    for name in names(folder):
                        with suppress(OSError):
                            yield os.stat(name, dir_fd=folder)
                finally:
                    os.close(folder)

    def _read(self, process: str, name: str) -> bytes:
        """A file about a process; empty if it has ended or cannot be looked into."""
        try:
            descriptor = os.open(f"{process}/{name}", os.O_RDONLY, dir_fd=self.proc)
        except OSError:
            return b""
        try:
            return os.read(descriptor, 4096)
        except OSError:
            return b""
        finally:
            os.close(descriptor)
