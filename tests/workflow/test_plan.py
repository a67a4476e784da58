"""The order of steps: pure, and so tested with whatever can be thought of."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentkit.workflow.plan import before, cycle, is_graph, order, side_by_side
from agentkit.workflow.spec import Step

NAMES = [f"s{number}" for number in range(8)]


@st.composite
def graphs(draw: st.DrawFn) -> list[tuple[str, list[str] | None]]:
    """Lists of steps without a ring: each waits for some of those above it."""
    steps: list[tuple[str, list[str] | None]] = []
    for at, name in enumerate(NAMES[: draw(st.integers(1, 8))]):
        wanted = draw(st.none() | st.lists(st.sampled_from(NAMES[:at] or ["none"]), max_size=3))
        steps.append((name, wanted))
    return draw(st.permutations(steps))


def test_without_needs_each_step_waits_for_the_one_above() -> None:
    assert order([("a", None), ("b", None), ("c", None)]) == {"a": (), "b": ("a",), "c": ("b",)}


def test_with_any_needs_a_step_without_waits_for_nothing() -> None:
    assert order([("a", None), ("b", None), ("c", ["a", "b"])]) == {
        "a": (),
        "b": (),
        "c": ("a", "b"),
    }


def test_empty_needs_make_a_graph_too() -> None:
    assert is_graph([("a", None), ("b", [])])
    assert order([("a", None), ("b", [])]) == {"a": (), "b": ()}


def test_a_ring_is_told_in_its_order() -> None:
    needs = order([("a", ["c"]), ("b", ["a"]), ("c", ["b"]), ("d", ["a"])])

    assert cycle(needs) == ("a", "c", "b", "a")


def test_a_long_chain_is_no_trouble() -> None:
    needs = order([(f"s{number}", None) for number in range(5000)])

    assert cycle(needs) == ()
    assert len(before(needs, "s4999")) == 4999


@given(graphs())
def test_what_is_before_a_step_is_closed_and_never_itself(
    steps: list[tuple[str, list[str] | None]],
) -> None:
    needs = order(steps)
    if not is_graph(steps):
        return

    assert cycle(needs) == ()
    for name in needs:
        earlier = before(needs, name)
        assert name not in earlier
        assert all(before(needs, one) <= earlier for one in earlier)


def step(name: str, *inner: Step, needs: list[str] | None = None, parallel: int = 0) -> Step:
    loop = {"items": [1, 2], "max_parallel": parallel} if parallel else None
    does = {"steps": [*inner]} if inner else {"run": "true"}
    return Step.model_validate({"id": name, "needs": needs, "foreach": loop, **does})


LISTS: dict[str, tuple[list[Step], set[str]]] = {
    "a row": ([step("a"), step("b"), step("c")], set()),
    "branches": ([step("a"), step("b", needs=["a"]), step("c", needs=["a"])], {"b", "c"}),
    "a diamond": (
        [
            step("a"),
            step("b", needs=["a"]),
            step("c", needs=["a"]),
            step("d", needs=["b", "c"]),
        ],
        {"b", "c"},
    ),
    "a loop, item by item": ([step("a", parallel=1)], set()),
    "a loop, several at a time": ([step("a"), step("b", parallel=2), step("c")], {"b"}),
    "a group in a row": ([step("g", step("a"), step("b")), step("c")], set()),
    "a graph in a group": ([step("g", step("a", needs=[]), step("b")), step("c")], {"a", "b"}),
    "a group beside a step": (
        [step("g", step("a"), step("b"), needs=[]), step("c")],
        {"a", "b", "c"},
    ),
    "a loop around a group": ([step("g", step("a"), step("b"), parallel=2)], {"a", "b"}),
    "a loop in a loop": ([step("g", step("a"), step("b", parallel=2), parallel=1)], {"b"}),
}
"""Steps, and which of them may be at work beside another one."""


@pytest.mark.parametrize("what", LISTS)
def test_which_programs_may_be_beside_each_other(what: str) -> None:
    steps, expected = LISTS[what]

    assert side_by_side(steps, {"a", "b", "c", "d"}) == expected


def test_what_is_beside_a_step_that_is_no_program_is_alone() -> None:
    assert side_by_side([step("a", needs=[]), step("b")], {"a"}) == set()
