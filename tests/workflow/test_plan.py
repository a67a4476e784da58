"""The order of steps: pure, and so tested with whatever can be thought of."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agentkit.workflow.plan import before, cycle, is_graph, order

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
