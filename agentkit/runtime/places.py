"""Places that all processes of this machine share: so many runs of a group, so many steps of a
queue.

A place is a locked file, which the kernel lets go of when a process dies, however it dies: nobody
waits for the dead.  In the file stands which run has it.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from agentkit.cancel import CancelToken
from agentkit.errors import MachineError
from agentkit.values import dataclass

if TYPE_CHECKING:
    from filelock import FileLock

LOOK = 0.05
"""Seconds between two looks for a free place."""


@dataclass(frozen=True, slots=True)
class Places:
    """Those of one folder.  May be used from any thread."""

    folder: Path

    @contextmanager
    def taken(self, name: str, limit: int, run: str, cancel: CancelToken) -> Iterator[None]:
        """Hold one of `limit` places while the block lasts; wait for it.  Raises `Cancelled`."""
        while (lock := self.free(name, limit, run)) is None:
            cancel.wait(LOOK)
        try:
            yield
        finally:
            lock.release()

    def free(self, name: str, limit: int, run: str) -> FileLock | None:
        """A place that nobody had, and that is held from now on; None: there is none.

        Raises `MachineError` where the folder cannot be written.
        """
        from filelock import FileLock, Timeout

        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for number in range(limit):
                lock = FileLock(self._file(name, number))
                with suppress(Timeout):
                    lock.acquire(timeout=0)
                    self._holder(name, number).write_text(f"{time.time()} {run}")
                    return lock
        except OSError as error:
            raise MachineError(f"{self.folder} cannot be written: {error.strerror}") from None
        return None

    def holders(self, name: str, limit: int) -> list[str]:
        """The runs that took the places last, the oldest first."""
        found: list[tuple[float, str]] = []
        for number in range(limit):
            with suppress(OSError, ValueError):
                since, run = self._holder(name, number).read_text().split(" ", 1)
                found.append((float(since), run))
        return [run for _, run in sorted(found)]

    def _file(self, name: str, number: int) -> Path:
        digest = hashlib.sha256(name.encode()).hexdigest()[:16]
        return self.folder / f"{digest}.{number}.lock"

    def _holder(self, name: str, number: int) -> Path:
        return self._file(name, number).with_suffix(".run")
