"""States that left the cache: the latest ones, within a budget."""

from __future__ import annotations

from agentkit.engine.shelf import MemoryShelf


def test_a_state_that_is_fetched_is_gone() -> None:
    shelf = MemoryShelf(1000)
    shelf.put((), [1, 2, 3], b"state")
    assert shelf.match((), [1, 2, 3, 4], whole=True) == 3
    assert shelf.fetch((), [1, 2, 3, 4], whole=True) == ([1, 2, 3], b"state")
    assert shelf.match((), [1, 2, 3, 4], whole=True) == 0
    assert shelf.fetch((), [1, 2, 3, 4], whole=True) is None


def test_a_state_that_cannot_be_cut_must_fit_as_a_whole() -> None:
    shelf = MemoryShelf(1000)
    shelf.put((), [1, 2, 3], b"state")
    assert shelf.match((), [1, 2, 9], whole=False) == 2
    assert shelf.match((), [1, 2, 9], whole=True) == 0


def test_a_longer_state_takes_the_place_of_its_beginning() -> None:
    shelf = MemoryShelf(1000)
    shelf.put((), [1, 2], b"short")
    shelf.put((), [1, 2, 3], b"long")
    assert shelf.fetch((), [1, 2], whole=False) == ([1, 2, 3], b"long")
    assert shelf.match((), [1, 2], whole=False) == 0


def test_the_oldest_falls_off_when_the_budget_is_spent() -> None:
    shelf = MemoryShelf(100)
    for token in range(3):
        shelf.put((), [token] * 4, b"x" * 40)
    assert [shelf.match((), [token] * 5, whole=True) for token in range(3)] == [0, 4, 4]
    shelf.put((), [9] * 4, b"x" * 101)
    assert shelf.match((), [9] * 5, whole=True) == 0


def test_adapters_keep_apart() -> None:
    shelf = MemoryShelf(1000)
    shelf.put((("french", 1.0),), [1, 2, 3], b"state")
    assert shelf.match((), [1, 2, 3], whole=False) == 0
    assert shelf.match((("french", 0.5),), [1, 2, 3], whole=False) == 0
    assert shelf.match((("french", 1.0),), [1, 2, 3], whole=False) == 3
