"""Which cells of a unified KV cache each sequence holds; a cell that several share counts once.

llama.cpp does not tell how full its cache is, and a decode that finds no room costs a whole round.
This ledger mirrors what happens there, cell by cell, so that room is made before it is needed.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np


class Cells:
    """Counts.  A sequence that is not known holds nothing."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._owners = np.zeros(size, dtype=np.int32)
        self._free = list(range(size))
        self._held: dict[int, list[int]] = {}

    @property
    def free(self) -> int:
        """Cells that nobody holds."""
        return len(self._free)

    def grow(self, sequence: int, count: int) -> None:
        """Give a sequence `count` new cells.  There must be as many free ones."""
        if count > len(self._free):
            raise AssertionError(f"{count} cells wanted, {len(self._free)} are free")
        taken = self._free[len(self._free) - count :]
        del self._free[len(self._free) - count :]
        self._owners[taken] = 1
        self._held.setdefault(sequence, []).extend(taken)

    def share(self, source: int, target: int, count: int) -> None:
        """Let `target`, which holds nothing, hold the first `count` cells of `source` as well."""
        shared = self._held.get(source, [])[:count]
        if len(shared) < count or self._held.get(target):
            raise AssertionError(f"sequence {target} cannot share {count} cells of {source}")
        self._owners[shared] += 1
        self._held[target] = shared

    def merge(self, source: int, target: int, count: int) -> None:
        """Replace the first `count` cells of `target` by those of `source`."""
        shared = self._held[source][:count]
        own = self._held[target][:count]
        if len(shared) < count or len(own) < count:
            raise AssertionError(f"{target} cannot take {count} cells of {source} for its own")
        self._owners[shared] += 1
        self._owners[own] -= 1
        self._held[target][:count] = shared
        self._free += [cell for cell in own if not self._owners[cell]]

    def cut(self, sequence: int, count: int) -> None:
        """Leave a sequence its first `count` cells."""
        held = self._held.get(sequence, [])
        given = held[count:]
        if given:
            del held[count:]
            self._owners[given] -= 1
            self._free += [cell for cell in given if not self._owners[cell]]

    def freed_by(self, sequences: Iterable[int]) -> int:
        """How many cells would become free without these sequences."""
        cells = [self._held.get(sequence, []) for sequence in sequences]
        together = np.array([cell for held in cells for cell in held], dtype=np.intp)
        left = self._owners - np.bincount(together, minlength=self.size)
        return int(np.count_nonzero((left == 0) & (self._owners > 0)))
