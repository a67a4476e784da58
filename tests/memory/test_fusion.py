"""Reciprocal rank fusion."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from agentkit.memory.fusion import fused

RANKINGS = st.lists(st.lists(st.integers(0, 20), unique=True), max_size=4)


def test_what_both_rankings_have_comes_first() -> None:
    assert fused([["a", "b", "c"], ["d", "c"]]) == ["c", "a", "d", "b"]


def test_one_ranking_stays_as_it_is() -> None:
    assert fused([["a", "b"], []]) == ["a", "b"]


def test_the_points_are_those_of_the_paper() -> None:
    """Twice third (2/63) is more than once first (1/61)."""
    assert fused([["x", "y", "z"], ["p", "q", "z"]])[0] == "z"
    assert fused([["x"], ["y"]]) == ["x", "y"]


@given(RANKINGS)
def test_nothing_is_lost_and_nothing_comes_twice(rankings: list[list[int]]) -> None:
    found = fused(rankings)
    assert len(found) == len(set(found))
    assert set(found) == {one for ranking in rankings for one in ranking}


@given(RANKINGS)
def test_who_is_better_in_every_ranking_is_better(rankings: list[list[int]]) -> None:
    found = fused(rankings)
    for ranking in rankings:
        for better, worse in pairwise(ranking):
            if all(
                other.index(better) < other.index(worse)
                for other in rankings
                if worse in other and better in other
            ) and all(better in other for other in rankings if worse in other):
                assert found.index(better) < found.index(worse)
