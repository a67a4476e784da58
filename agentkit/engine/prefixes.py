"""Which tokens sit in which sequence of the KV cache, and how a prompt gets what is there already.

A sequence is free, busy (a request reads and writes there) or idle (kept because a later prompt may
begin like it).  A prompt continues an idle sequence that it contains as a whole; otherwise it gets
a sequence of its own that shares the cells of the longest common beginning with whoever holds it,
busy or idle, and leaves that one as it is.  Idle sequences give way by least recent use, first to
the shelves, where their state can be fetched back, then for good.

Sequences of different namespaces (sets of LoRA adapters) never share anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from agentkit.engine.cells import Cells
from agentkit.engine.radix import RadixIndex

WORTH_FETCHING = 32
"""Tokens that a shelf must know beyond the cache before its state is fetched."""

Namespace = tuple[tuple[str, float], ...]
"""The LoRA adapters that a sequence was read with, and their scales."""


class Memory(Protocol):
    """The cache itself: see `context.Context`."""

    size: int
    sequences: int
    keeps_positions: bool
    window: int
    """Tokens that a sliding window sees; 0: all of them."""

    def copy(self, source: int, target: int, length: int) -> None:
        """Let `target` share the first `length` tokens of `source`."""

    def merge(self, source: int, target: int, length: int) -> None:
        """Let `target` give up its own first `length` cells for the equal ones of `source`."""

    def cut(self, sequence: int, length: int) -> None:
        """Forget all but the first `length` tokens of a sequence."""

    def intact(self, sequence: int, length: int) -> bool:
        """Whether a sequence can be cut or copied at `length`."""

    def save(self, sequence: int) -> bytes:
        """The state of a sequence."""

    def restore(self, sequence: int, state: bytes, length: int) -> bool:
        """Put a state of so many tokens into an empty sequence; false if it does not fit."""


class Shelf(Protocol):
    """A place for the states of sequences outside the cache."""

    def match(self, namespace: Namespace, tokens: Sequence[int], *, whole: bool) -> int:
        """How many tokens of a prompt the best state would spare; `whole`: it cannot be cut."""

    def fetch(
        self, namespace: Namespace, tokens: Sequence[int], *, whole: bool
    ) -> tuple[list[int], bytes] | None:
        """The tokens and the state of that best one."""

    def put(self, namespace: Namespace, tokens: list[int], state: bytes) -> None:
        """Keep a state that leaves the cache, or not."""


@dataclass(slots=True)
class _Holder:
    namespace: Namespace
    length: int = 0
    busy: bool = True
    pinned: bool = False
    used: int = 0


class PrefixStore:
    """The books of one context's cache.  Owned by one thread."""

    def __init__(self, memory: Memory, shelves: Sequence[Shelf] = ()) -> None:
        self._memory = memory
        self._shelves = shelves
        self._cells = Cells(memory.size)
        self._indexes: dict[Namespace, RadixIndex] = {}
        self._holders: dict[int, _Holder] = {}
        self._free = list(reversed(range(memory.sequences)))
        self._clock = 0

    # -- questions -------------------------------------------------------------------------------

    def match(self, namespace: Namespace, tokens: Sequence[int]) -> int:
        """How many tokens of a prompt can be had from the cache; never the last, which is read."""
        return self._find(namespace, tokens)[0]

    def tokens(self, sequence: int) -> list[int]:
        """What a sequence holds."""
        holder = self._holders.get(sequence)
        return self._index(holder.namespace).tokens(sequence) if holder else []

    @property
    def busy(self) -> set[int]:
        """Sequences that requests are working on."""
        return {sequence for sequence, holder in self._holders.items() if holder.busy}

    def room(self, namespace: Namespace, tokens: Sequence[int]) -> int:
        """Cells that a prompt could have besides those that it would share."""
        _, sources = self._find(namespace, tokens)
        return self._cells.free + self._cells.freed_by(self._evictable() - sources)

    # -- the life of a sequence ------------------------------------------------------------------

    def acquire(self, namespace: Namespace, tokens: Sequence[int]) -> tuple[int, int] | None:
        """A busy sequence that holds the beginning of `tokens`, and how much of it.

        None if every sequence is busy.
        """
        length, sources = self._find(namespace, tokens)
        if fetched := self._fetch(namespace, tokens, length, sources):
            return fetched
        length, sources = self._find(namespace, tokens)  # a fetch may cost some of them
        for source in sources:
            holder = self._holders[source]
            if holder.length == length and not holder.busy and not holder.pinned:
                holder.busy = True
                self._touch(source)
                return source, length
        source = max(sources, key=lambda one: self._holders[one].used, default=-1)
        sequence = self._new(namespace, keep=source)
        if sequence is None and source in self._evictable() | self._pins():
            return self._take_over(source, length)
        if sequence is None:
            return None
        if length:
            self._touch(source)
            self._share(source, sequence, length)
        return sequence, length

    def extend(self, sequence: int, tokens: Sequence[int]) -> None:
        """Note that a sequence was decoded further."""
        holder = self._holders[sequence]
        self._cells.grow(sequence, len(tokens))
        self._index(holder.namespace).extend(sequence, tokens)
        holder.length += len(tokens)

    def release(self, sequence: int) -> None:
        """The request is done; what it read and wrote stays as long as there is room."""
        holder = self._holders[sequence]
        holder.busy = False
        self._touch(sequence)
        if not holder.length:
            self.drop(sequence)

    def snapshot(self, sequence: int) -> int | None:
        """An idle copy of a sequence as it is now; None if there is no place for one."""
        holder = self._holders[sequence]
        copy = self._new(holder.namespace, keep=sequence)
        if copy is not None:
            self._share(sequence, copy, holder.length)
            self.release(copy)
        return copy

    def pin(self, sequence: int) -> None:
        """Keep an idle sequence even when room is needed.

        Pins never hold more than half of the cache: the least recently used ones are given up.
        """
        self._holders[sequence].pinned = True
        while self._cells.freed_by(pins := self._pins()) > self._memory.size // 2:
            oldest = min(pins, key=lambda one: self._holders[one].used)
            self._holders[oldest].pinned = False

    def state(self, namespace: Namespace, tokens: Sequence[int]) -> bytes | None:
        """The state of just these tokens; None if the cache does not hold them all."""
        length, sources = self._find(namespace, [*tokens, -1])
        if length < len(tokens):
            return None
        source = next(iter(sources))
        if self._holders[source].length == length:
            return self._memory.save(source)
        if not self._free:
            return None
        self._memory.copy(source, self._free[-1], length)
        state = self._memory.save(self._free[-1])
        self._memory.cut(self._free[-1], 0)
        return state

    def drop(self, sequence: int) -> None:
        """Forget a sequence altogether.  Nothing happens for one that holds nothing."""
        holder = self._holders.pop(sequence, None)
        if holder is None:
            return
        self._memory.cut(sequence, 0)
        self._cells.cut(sequence, 0)
        self._index(holder.namespace).remove(sequence)
        self._free.append(sequence)

    def forget(self) -> None:
        """Drop every sequence."""
        for sequence in list(self._holders):
            self.drop(sequence)

    # -- room ------------------------------------------------------------------------------------

    def make_room(self, cells: int, *, pinned: bool = False) -> bool:
        """Evict idle sequences until so many cells are free; `pinned`: these as well."""
        while self._cells.free < cells:
            if not self.evict(pinned=pinned):
                return False
        return True

    def evict(self, *, pinned: bool = False) -> bool:
        """Give up the idle sequence that was not used for the longest time; false without one."""
        victims = self._evictable() | (self._pins() if pinned else set())
        if not victims:
            return False
        self._give_up(min(victims, key=lambda one: self._holders[one].used))
        return True

    # -- inside ----------------------------------------------------------------------------------

    def _find(self, namespace: Namespace, tokens: Sequence[int]) -> tuple[int, set[int]]:
        index = self._index(namespace)
        if self._memory.keeps_positions:
            length, sources = index.longest(tokens[:-1])
            intact = {one for one in sources if self._memory.intact(one, length)}
            if intact or not sources:
                return length, intact
        return index.longest_whole(tokens[:-1])

    def _fetch(
        self, namespace: Namespace, tokens: Sequence[int], length: int, sources: set[int]
    ) -> tuple[int, int] | None:
        """A state from a shelf, if it spares much more than the cache does."""
        whole = not self._memory.keeps_positions or self._memory.window > 0
        known = [
            (shelf.match(namespace, tokens[:-1], whole=whole), shelf) for shelf in self._shelves
        ]
        best, shelf = max(known, key=lambda one: one[0], default=(0, None))
        if shelf is None or best < length + WORTH_FETCHING:
            return None
        found = shelf.fetch(namespace, tokens[:-1], whole=whole)
        source = next(iter(sources), -1)
        sequence = self._new(namespace, keep=source) if found else None
        if found is None or sequence is None:
            return None
        held, state = found
        if not self.make_room(len(held)) or not self._memory.restore(sequence, state, len(held)):
            self.drop(sequence)
            return None
        self.extend(sequence, held)
        if len(held) > best:
            self._cut(sequence, best)
        if source in self._holders and not whole:
            self._memory.merge(source, sequence, length)
            self._cells.merge(source, sequence, length)
        return sequence, best

    def _new(self, namespace: Namespace, *, keep: int) -> int | None:
        """An empty busy sequence, at the cost of an idle one (but not of `keep`) if need be."""
        if not self._free:
            victims = self._evictable() - {keep} or self._pins() - {keep}
            if not victims:
                return None
            self._give_up(min(victims, key=lambda one: self._holders[one].used))
        sequence = self._free.pop()
        self._holders[sequence] = _Holder(namespace)
        self._touch(sequence)
        return sequence

    def _take_over(self, sequence: int, length: int) -> tuple[int, int]:
        """Go on with the only idle sequence there is, cut back to what can be used of it."""
        holder = self._holders[sequence]
        holder.busy, holder.pinned = True, False
        self._touch(sequence)
        if length < holder.length:
            length = length if self._memory.keeps_positions else 0
            self._cut(sequence, length)
        return sequence, length

    def _share(self, source: int, target: int, length: int) -> None:
        holder = self._holders[target]
        index = self._index(holder.namespace)
        self._memory.copy(source, target, length)
        self._cells.share(source, target, length)
        index.extend(target, index.tokens(source)[:length])
        holder.length = length

    def _cut(self, sequence: int, length: int) -> None:
        holder = self._holders[sequence]
        self._memory.cut(sequence, length)
        self._cells.cut(sequence, length)
        self._index(holder.namespace).truncate(sequence, length)
        holder.length = length

    def _give_up(self, sequence: int) -> None:
        """Evict one: to a shelf, if nobody else holds what it holds."""
        holder = self._holders[sequence]
        if self._shelves and self._cells.freed_by([sequence]) >= WORTH_FETCHING:
            tokens = self.tokens(sequence)
            state = self._memory.save(sequence)
            for shelf in self._shelves:
                shelf.put(holder.namespace, tokens, state)
        self.drop(sequence)

    def _evictable(self) -> set[int]:
        return {one for one, held in self._holders.items() if not held.busy and not held.pinned}

    def _pins(self) -> set[int]:
        return {one for one, held in self._holders.items() if not held.busy and held.pinned}

    def _index(self, namespace: Namespace) -> RadixIndex:
        return self._indexes.setdefault(namespace, RadixIndex())

    def _touch(self, sequence: int) -> None:
        self._clock += 1
        self._holders[sequence].used = self._clock
