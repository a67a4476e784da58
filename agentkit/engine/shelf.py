"""States of sequences that had to leave the KV cache, kept in memory until they are wanted again.

Fetching a state costs a copy of memory, reading its tokens again costs a forward pass for each.
"""

from __future__ import annotations

from collections.abc import Sequence

from agentkit.engine.prefixes import Namespace
from agentkit.engine.radix import RadixIndex


class MemoryShelf:
    """Holds at most `budget` bytes; what was put down longest ago falls off.

    A state that is fetched is gone from here: it is in the cache again.
    """

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self._states: dict[int, tuple[Namespace, bytes]] = {}  # the first is the oldest
        self._indexes: dict[Namespace, RadixIndex] = {}
        self._bytes = 0
        self._next = 0

    def match(self, namespace: Namespace, tokens: Sequence[int], *, whole: bool) -> int:
        """See `prefixes.Shelf.match`."""
        return self._find(namespace, tokens, whole=whole)[0]

    def fetch(
        self, namespace: Namespace, tokens: Sequence[int], *, whole: bool
    ) -> tuple[list[int], bytes] | None:
        """See `prefixes.Shelf.fetch`."""
        _, keys = self._find(namespace, tokens, whole=whole)
        if not keys:
            return None
        key = max(keys)
        held = self._indexes[namespace].tokens(key)
        return held, self._take(key)

    def put(self, namespace: Namespace, tokens: list[int], state: bytes) -> None:
        """Keep a state; whatever it contains as a whole is not needed any more."""
        if len(state) > self._budget:
            return
        index = self._indexes.setdefault(namespace, RadixIndex())
        while (length := index.longest_whole(tokens))[0]:
            for key in length[1]:
                self._take(key)
        self._next += 1
        index.extend(self._next, tokens)
        self._states[self._next] = namespace, state
        self._bytes += len(state)
        while self._bytes > self._budget:
            self._take(next(iter(self._states)))

    def _find(
        self, namespace: Namespace, tokens: Sequence[int], *, whole: bool
    ) -> tuple[int, set[int]]:
        index = self._indexes.get(namespace)
        if index is None:
            return 0, set()
        return index.longest_whole(tokens) if whole else index.longest(tokens)

    def _take(self, key: int) -> bytes:
        namespace, state = self._states.pop(key)
        self._indexes[namespace].remove(key)
        self._bytes -= len(state)
        return state
