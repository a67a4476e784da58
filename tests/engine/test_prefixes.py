"""The books of the cache, against a cache that is a list of cells for each sequence."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from agentkit.engine.prefixes import WORTH_FETCHING, Namespace, PrefixStore
from agentkit.engine.shelf import MemoryShelf

SIZE, SEQUENCES = 60, 5

PLAIN: Namespace = ()
ADAPTED: Namespace = (("french", 1.0),)


class Cell:
    """One entry of the cache: the token it was computed for, and all those before it."""

    def __init__(self, history: tuple[object, ...]) -> None:
        self.history = history


class ListMemory:
    """What llama.cpp does, with the faults that it would punish as assertions."""

    def __init__(self, *, keeps_positions: bool = True) -> None:
        self.size = SIZE
        self.sequences = SEQUENCES
        self.keeps_positions = keeps_positions
        self.window = 0
        self.held: dict[int, list[Cell]] = {sequence: [] for sequence in range(SEQUENCES)}

    def copy(self, source: int, target: int, length: int) -> None:
        assert self.keeps_positions or length == len(self.held[source])
        assert length <= len(self.held[source])
        self.held[target] = self.held[source][:length]

    def merge(self, source: int, target: int, length: int) -> None:
        ours, theirs = self.held[target][:length], self.held[source][:length]
        assert [cell.history for cell in ours] == [cell.history for cell in theirs]
        self.held[target][:length] = theirs

    def intact(self, sequence: int, length: int) -> bool:
        return True

    def cut(self, sequence: int, length: int) -> None:
        assert self.keeps_positions or length == 0
        del self.held[sequence][length:]

    def save(self, sequence: int) -> bytes:
        return repr([cell.history for cell in self.held[sequence]]).encode()

    def restore(self, sequence: int, state: bytes, length: int) -> bool:
        assert not self.held[sequence]
        self.held[sequence] = [Cell(history) for history in eval(state)]
        assert self.used <= SIZE
        assert len(self.held[sequence]) == length
        return True

    def decode(self, sequence: int, tokens: list[int], namespace: Namespace) -> None:
        for token in tokens:
            before = self.held[sequence][-1].history if self.held[sequence] else (namespace,)
            self.held[sequence].append(Cell((*before, token)))
        assert self.used <= SIZE

    @property
    def used(self) -> int:
        return len({cell for held in self.held.values() for cell in held})


TOKENS = st.lists(st.integers(0, 1), min_size=1, max_size=12)


class TheBooks(RuleBasedStateMachine):
    @initialize(keeps=st.booleans(), shelved=st.booleans())
    def begin(self, keeps: bool, shelved: bool) -> None:
        self.memory = ListMemory(keeps_positions=keeps)
        self.store = PrefixStore(self.memory, [MemoryShelf(100_000)] if shelved else [])
        self.working: dict[int, tuple[Namespace, list[int]]] = {}

    @rule(tokens=TOKENS, times=st.integers(1, 4), namespace=st.sampled_from([PLAIN, ADAPTED]))
    def admit(self, tokens: list[int], times: int, namespace: Namespace) -> None:
        prompt = tokens * times
        expected = self.store.match(namespace, prompt)
        place = self.store.acquire(namespace, prompt)
        if place is None:
            assert len(self.working) == SEQUENCES
            return
        sequence, cached = place
        assert sequence not in self.working
        assert expected <= cached < len(prompt)
        assert self.store.tokens(sequence) == prompt[:cached]
        self.working[sequence] = namespace, prompt

    @precondition(lambda self: self.working)
    @rule(data=st.data(), count=st.integers(1, 12))
    def read_on(self, data: st.DataObject, count: int) -> None:
        sequence = data.draw(st.sampled_from(sorted(self.working)))
        namespace, prompt = self.working[sequence]
        piece = prompt[len(self.store.tokens(sequence)) :][:count] or [7]
        if self.store.make_room(len(piece)):
            self.memory.decode(sequence, piece, namespace)
            self.store.extend(sequence, piece)

    @precondition(lambda self: self.working)
    @rule(data=st.data(), pin=st.booleans(), fault=st.booleans())
    def end(self, data: st.DataObject, pin: bool, fault: bool) -> None:
        sequence = data.draw(st.sampled_from(sorted(self.working)))
        del self.working[sequence]
        if fault:
            self.store.drop(sequence)
        else:
            held = bool(self.store.tokens(sequence))
            self.store.release(sequence)
            if pin and held:
                self.store.pin(sequence)

    @precondition(lambda self: self.working)
    @rule(data=st.data())
    def snapshot(self, data: st.DataObject) -> None:
        sequence = data.draw(st.sampled_from(sorted(self.working)))
        copy = self.store.snapshot(sequence)
        if copy is not None and self.store.tokens(sequence):
            assert self.store.tokens(copy) == self.store.tokens(sequence)

    @rule(pinned=st.booleans())
    def evict(self, pinned: bool) -> None:
        self.store.evict(pinned=pinned)

    @invariant()
    def the_cache_holds_what_the_books_say(self) -> None:
        if not hasattr(self, "store"):
            return
        for sequence, held in self.memory.held.items():
            tokens = self.store.tokens(sequence)
            assert len(held) == len(tokens)
            if held:
                assert list(held[-1].history[1:]) == tokens
                assert all(len(cell.history) == n + 2 for n, cell in enumerate(held))
        assert self.store.busy == set(self.working)
        assert self.store._cells.free == SIZE - self.memory.used

    @invariant()
    def nobody_has_cells_that_were_read_with_other_adapters(self) -> None:
        if hasattr(self, "store"):
            for sequence, (namespace, _) in self.working.items():
                assert all(cell.history[0] == namespace for cell in self.memory.held[sequence])


TestTheBooks = TheBooks.TestCase
TestTheBooks.settings = settings(max_examples=300, stateful_step_count=40, deadline=None)


@pytest.fixture
def memory() -> ListMemory:
    return ListMemory()


def read(store: PrefixStore, memory: ListMemory, prompt: list[int]) -> tuple[int, int]:
    """Acquire, decode what is missing, release."""
    place = store.acquire(PLAIN, prompt)
    assert place is not None
    sequence, cached = place
    assert store.make_room(len(prompt) - cached)
    memory.decode(sequence, prompt[cached:], PLAIN)
    store.extend(sequence, prompt[cached:])
    store.release(sequence)
    return place


def test_a_conversation_goes_on_in_its_own_sequence(memory: ListMemory) -> None:
    store = PrefixStore(memory)
    first, _ = read(store, memory, [1, 2, 3])
    assert read(store, memory, [1, 2, 3, 4, 5]) == (first, 3)


def test_a_branch_shares_the_cells_and_leaves_the_other_as_it_is(memory: ListMemory) -> None:
    store = PrefixStore(memory)
    first, _ = read(store, memory, [1, 2, 3, 4])
    second, cached = read(store, memory, [1, 2, 9])
    assert (second != first, cached) == (True, 2)
    assert store.tokens(first) == [1, 2, 3, 4]
    assert memory.used == 5


def test_a_busy_sequence_lends_its_beginning(memory: ListMemory) -> None:
    store = PrefixStore(memory)
    busy, _ = store.acquire(PLAIN, [1, 2, 3, 4]) or (-1, -1)
    memory.decode(busy, [1, 2, 3], PLAIN)
    store.extend(busy, [1, 2, 3])
    other = store.acquire(PLAIN, [1, 2, 3, 4])
    assert other is not None
    assert other[0] != busy
    assert other[1] == 3


def test_a_pinned_one_is_gone_on_with_where_nothing_else_is_idle() -> None:
    """Also where a state cannot be cut: it holds just what is wanted."""
    memory = ListMemory(keeps_positions=False)
    store = PrefixStore(memory)
    pinned, _ = read(store, memory, [1])
    store.pin(pinned)
    for number in range(SEQUENCES - 1):
        assert store.acquire(PLAIN, [2 + number, 9]) is not None
    assert store.acquire(PLAIN, [1, 3]) == (pinned, 1)


def test_the_least_recently_used_one_goes_first_and_a_pinned_one_last(memory: ListMemory) -> None:
    store = PrefixStore(memory)
    pinned, _ = read(store, memory, [1] * 10)
    store.pin(pinned)
    read(store, memory, [2] * 10)
    read(store, memory, [3] * 10)
    read(store, memory, [2] * 11)
    assert store.make_room(35)
    assert store.match(PLAIN, [3] * 20) == 0
    assert store.match(PLAIN, [2] * 20) == 11
    assert not store.make_room(55)
    assert store.match(PLAIN, [1] * 20) == 10
    assert store.make_room(55, pinned=True)


def test_pins_hold_half_of_the_cache_at_most(memory: ListMemory) -> None:
    store = PrefixStore(memory)
    for token in (1, 2, 3):
        sequence, _ = read(store, memory, [token] * 15)
        store.pin(sequence)
    assert store.make_room(30)
    assert [store.match(PLAIN, [token] * 20) for token in (1, 2, 3)] == [0, 15, 15]


def test_what_left_the_cache_is_fetched_from_the_shelf(memory: ListMemory) -> None:
    store = PrefixStore(memory, [MemoryShelf(100_000)])
    prompt = [1] * (WORTH_FETCHING + 5)
    read(store, memory, prompt)
    assert store.make_room(SIZE)
    assert memory.used == 0
    assert store.match(PLAIN, [*prompt, 2]) == 0
    place = store.acquire(PLAIN, [*prompt, 2])
    assert place is not None
    assert place[1] == len(prompt)


def test_a_fetched_state_shares_what_the_cache_has_of_it(memory: ListMemory) -> None:
    store = PrefixStore(memory, [MemoryShelf(100_000)])
    whole = [1] * 5 + [2] * WORTH_FETCHING
    read(store, memory, whole)
    store.evict()
    read(store, memory, [1] * 5 + [3] * 3)
    place = store.acquire(PLAIN, [*whole, 4])
    assert place is not None
    assert place[1] == len(whole)
    assert memory.used == len(whole) + 3
