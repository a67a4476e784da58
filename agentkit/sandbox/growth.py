"""How much a program has added to its work folder, and to the disk behind it.

Measuring a folder takes as long as it is large, so it has its own pace: it may take a fifth of
the time, and is done at once when much goes from the disk.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field

from agentkit.sandbox.tree import Size, measure
from agentkit.sandbox.usage import Processes

SHARE = 5
MUCH = 100_000_000

LEAST_FREE = 200_000_000
"""Bytes that must be left on a disk from which more goes than can be seen in the folder."""


@dataclass(slots=True)
class Growth:
    """Measures a folder, open as `folder`, against what it was when this was made."""

    folder: int
    before: Size = field(init=False)
    free: int = field(init=False)
    last: Size = field(init=False, default=Size(0, 0))
    last_free: int = field(init=False)
    due: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        self.before = measure(self.folder)
        self.free = self.last_free = _free(self.folder)

    def now(self, processes: Processes | None, *, exactly: bool = False) -> Size:
        """What has been added, with files that have no name but are still open.

        It may be a moment old, if it need not be told `exactly`.
        """
        began = time.monotonic()
        free = _free(self.folder)
        if exactly or began >= self.due or free < self.last_free - MUCH:
            self.last, self.last_free = self._measured(processes, free), free
            done = time.monotonic()
            self.due = done + (SHARE - 1) * (done - began)
        return self.last

    def _measured(self, processes: Processes | None, free: int) -> Size:
        size = measure(self.folder)
        added = size.bytes - self.before.bytes
        if processes:
            added += processes.unlinked(os.fstat(self.folder).st_dev)
        if free < LEAST_FREE:
            added = max(added, self.free - free)
        return Size(added, size.entries - self.before.entries, size.deep)


def _free(folder: int) -> int:
    status = os.fstatvfs(folder)
    return status.f_bavail * status.f_frsize
