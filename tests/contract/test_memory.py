"""What every `Memory` promises; run on each way to keep the index.

An adapter joins by a name in `ADAPTERS` and a branch in the fixture.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agentkit.errors import UserError
from agentkit.memory import Collection, Server
from agentkit.ports import Condition, Memory
from tests.memory.conftest import chroma_server  # noqa: F401  a fixture
from tests.memory.tiny import tiny

ADAPTERS = ["compared one by one", "indexed in a folder", "indexed on a server"]


@pytest.fixture(params=ADAPTERS)
def memory(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Memory]:
    """An adapter with nothing in it."""
    server = None
    if request.param.endswith("server"):
        server = Server(request.getfixturevalue("chroma_server"))
    few = 10**6 if request.param.startswith("compared") else 3
    embedding = tiny()
    made = Collection(tmp_path / "notes", "notes", lambda: embedding, server=server, few=few)
    yield made
    made.close()


def test_what_was_saved_is_found_best_first(memory: Memory) -> None:
    for thing in ("green tea", "black tea", "red wine", "cold water"):
        memory.save(f"we drink {thing}", source=f"about {thing}")
    first, *others = memory.search("green tea", limit=3)
    assert (first.text, first.source) == ("we drink green tea", "about green tea")
    assert len(others) == 2
    assert 0 <= min(one.score for one in others) <= first.score <= 1


def test_an_id_is_that_of_the_entry(memory: Memory) -> None:
    ids = [memory.save(f"thing number {n}", source="") for n in range(6)]
    assert len(set(ids)) == 6
    assert memory.search("thing number 4", limit=1)[0].id == ids[4]


def test_the_same_text_has_the_id_of_the_old_one(memory: Memory) -> None:
    ids = [memory.save(f"thing number {n}", source="") for n in range(6)]
    assert memory.save("Thing  number 2", source="again") == ids[2]
    assert len(memory.search("thing", limit=20)) == 6


def test_nothing_is_found_in_an_empty_memory(memory: Memory) -> None:
    assert memory.search("anything") == []
    assert memory.forget([Condition("source", "~", "*")]) == 0


def test_an_empty_text_is_refused(memory: Memory) -> None:
    with pytest.raises(UserError):
        memory.save("  ", source="")


def test_conditions_hold_for_all_that_is_found(memory: Memory) -> None:
    for number in range(12):
        memory.save(f"thing {number}", source=f"s{number % 2}", metadata={"n": number})
    where = [Condition("n", ">=", 4), Condition("source", "=", "s0")]
    found = memory.search("thing", limit=20, where=where)
    assert {one.metadata["n"] for one in found} == {4, 6, 8, 10}


def test_what_is_forgotten_is_not_found(memory: Memory) -> None:
    for number in range(12):
        memory.save(f"thing {number}", source=f"s{number % 2}")
    assert memory.forget([Condition("source", "=", "s0")]) == 6
    assert {one.source for one in memory.search("thing", limit=20)} == {"s1"}
    assert memory.forget([]) == 0
