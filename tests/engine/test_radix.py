"""The index of token lists, against one that compares every list with every other."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from agentkit.engine.radix import RadixIndex, common_length

TOKENS = st.lists(st.integers(0, 2), max_size=8)
KEYS = st.integers(0, 5)


def common(one: Sequence[int], other: Sequence[int]) -> int:
    length = 0
    while length < min(len(one), len(other)) and one[length] == other[length]:
        length += 1
    return length


class AgainstPlainLists(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.index = RadixIndex()
        self.lists: dict[int, list[int]] = {}

    @rule(key=KEYS, tokens=TOKENS)
    def extend(self, key: int, tokens: list[int]) -> None:
        self.index.extend(key, tokens)
        self.lists.setdefault(key, []).extend(tokens)

    @rule(key=KEYS, length=st.integers(0, 8))
    def truncate(self, key: int, length: int) -> None:
        self.index.truncate(key, length)
        if key in self.lists:
            del self.lists[key][length:]

    @rule(key=KEYS)
    def remove(self, key: int) -> None:
        self.index.remove(key)
        self.lists.pop(key, None)

    @rule(tokens=TOKENS)
    def find(self, tokens: list[int]) -> None:
        shared = {key: common(held, tokens) for key, held in self.lists.items()}
        best = max(shared.values(), default=0)
        keys = {key for key, length in shared.items() if length == best} if best else set()
        assert self.index.longest(tokens) == (best, keys)

    @rule(tokens=TOKENS)
    def find_whole(self, tokens: list[int]) -> None:
        whole = {
            key: len(held) for key, held in self.lists.items()
            if held and tokens[: len(held)] == held
        }  # fmt: skip
        best = max(whole.values(), default=0)
        keys = {key for key, length in whole.items() if length == best}
        assert self.index.longest_whole(tokens) == (best, keys)

    @invariant()
    def every_list_is_told_as_it_was_given(self) -> None:
        assert len(self.index) == len(self.lists)
        for key, held in self.lists.items():
            assert key in self.index
            assert self.index.tokens(key) == held

    @invariant()
    def no_node_is_idle(self) -> None:
        """Every node but the root ends a list or branches, and its edge is not empty."""
        nodes = [*self.index._root.children.values()]
        while nodes:
            node = nodes.pop()
            assert node.keys or len(node.children) > 1
            assert node.edge
            for first, child in node.children.items():
                assert child.edge[0] == first
                assert child.parent is node
            nodes += node.children.values()


TestAgainstPlainLists = AgainstPlainLists.TestCase
TestAgainstPlainLists.settings = settings(max_examples=300, stateful_step_count=30, deadline=None)


def test_a_match_may_end_within_an_edge() -> None:
    """Where a tree of whole edges would find nothing."""
    index = RadixIndex()
    index.extend(0, list(range(200)))
    assert index.longest([*range(100), 999]) == (100, {0})


@given(st.lists(st.integers(0, 9), min_size=1))
def test_a_list_that_grows_token_by_token_is_one_edge(tokens: list[int]) -> None:
    index = RadixIndex()
    for token in tokens:
        index.extend(7, [token])
    assert index.tokens(7) == tokens
    assert len(index._root.children) == 1


@given(TOKENS, TOKENS)
def test_halving_finds_the_common_length(one: list[int], other: list[int]) -> None:
    assert common_length(one, other) == common(one, other)
