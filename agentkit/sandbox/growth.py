"""How much a program has added to its work folder, and to the disk behind it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from agentkit.sandbox.tree import Size, measure
from agentkit.sandbox.usage import Processes

LEAST_FREE = 200_000_000
"""Bytes that must be left on a disk from which more goes than can be seen in the folder."""


@dataclass(slots=True)
class Growth:
    """Measures a folder, open as `folder`, against what it was when this was made."""

    folder: int
    before: Size = field(init=False)
    free: int = field(init=False)

    def __post_init__(self) -> None:
        self.before = measure(self.folder)
        self.free = _free(self.folder)

    def now(self, processes: Processes | None) -> Size:
        """What has been added, with files that have no name but are still open."""
        size = measure(self.folder)
        added = size.bytes - self.before.bytes
        if processes:
            added += processes.unlinked(os.fstat(self.folder).st_dev)
        free = _free(self.folder)
        if free < LEAST_FREE:
            added = max(added, self.free - free)
        return Size(added, size.entries - self.before.entries, size.deep)


def _free(folder: int) -> int:
    status = os.fstatvfs(folder)
    return status.f_bavail * status.f_frsize
