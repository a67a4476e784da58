"""The ledger of cells, against sets of numbered cells."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from agentkit.engine.cells import Cells

SIZE = 20
SEQUENCES = st.integers(0, 4)


class AgainstSets(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.cells = Cells(SIZE)
        self.held: dict[int, list[object]] = {sequence: [] for sequence in range(5)}

    def used(self) -> set[object]:
        return {cell for held in self.held.values() for cell in held}

    @rule(sequence=SEQUENCES, count=st.integers(0, 6))
    def grow(self, sequence: int, count: int) -> None:
        count = min(count, SIZE - len(self.used()))
        self.cells.grow(sequence, count)
        self.held[sequence] += [object() for _ in range(count)]

    @precondition(lambda self: any(not held for held in self.held.values()))
    @rule(source=SEQUENCES, count=st.integers(0, 6))
    def share(self, source: int, count: int) -> None:
        target = next(one for one, held in self.held.items() if not held)
        count = min(count, len(self.held[source]))
        self.cells.share(source, target, count)
        self.held[target] = self.held[source][:count]

    @rule(source=SEQUENCES, into=SEQUENCES, count=st.integers(0, 6))
    def merge(self, source: int, into: int, count: int) -> None:
        count = min(count, len(self.held[source]), len(self.held[into]))
        if count:
            self.cells.merge(source, into, count)
            self.held[into][:count] = self.held[source][:count]

    @rule(sequence=SEQUENCES, count=st.integers(0, 6))
    def cut(self, sequence: int, count: int) -> None:
        self.cells.cut(sequence, count)
        del self.held[sequence][count:]

    @rule(sequences=st.sets(SEQUENCES))
    def count_what_would_be_freed(self, sequences: set[int]) -> None:
        others = {c for one, held in self.held.items() if one not in sequences for c in held}
        assert self.cells.freed_by(sequences) == len(self.used() - others)

    @invariant()
    def the_free_ones_are_counted(self) -> None:
        assert self.cells.free == SIZE - len(self.used())


TestAgainstSets = AgainstSets.TestCase
TestAgainstSets.settings = settings(max_examples=200, stateful_step_count=30, deadline=None)
