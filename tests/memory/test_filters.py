"""Conditions on entries: each way to ask finds what plain Python finds."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from typing import Any

import pytest

from agentkit.memory import Collection, Entry, ledger, spaces
from agentkit.memory.filters import beginning, fewest
from agentkit.ports import Condition, Scalar

from .conftest import keep
from .tiny import tiny

COUNT = 120

MEANS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "~": fnmatchcase,
}

WHERE: dict[str, list[Condition]] = {
    "wide": [Condition("number", "<", 60)],
    "narrow": [Condition("number", "=", 7)],
    "empty": [Condition("number", "=", -1)],
    "wide by absence": [Condition("tenth", "!=", 3)],
    "of some entries only": [Condition("color", "=", "red")],
    "absent in some entries": [Condition("color", "!=", "red")],
    "another type": [Condition("number", "<", "a")],
    "a column": [Condition("source", "~", "s1*")],
    "two wide": [Condition("number", ">=", 60), Condition("tenth", "<", 5)],
    "wide and narrow": [Condition("tenth", "<", 5), Condition("number", "=", 71)],
    "two wide that exclude each other": [Condition("tenth", "<", 5), Condition("tenth", ">", 4)],
    "one key twice": [Condition("number", ">", 10), Condition("number", "<=", 30)],
    "the same twice": [Condition("tenth", "=", 2), Condition("tenth", "=", 2)],
    "two absences": [Condition("tenth", "!=", 3), Condition("color", "!=", "red")],
    "a presence and an absence": [Condition("tenth", "<", 5), Condition("color", "!=", "red")],
    "two columns and a key": [
        Condition("source", "~", "s*"),
        Condition("time", ">", "2020-01-01"),
        Condition("color", ">=", "blue"),
    ],
    "nothing": [],
}


def metadata(number: int) -> dict[str, Scalar]:
    """A color each third only."""
    color: dict[str, Scalar] = {"color": ("red", "blue")[number % 2]} if number % 3 == 0 else {}
    return {"number": number, "tenth": number % 10, **color}


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collection]:
    """Tests only read it."""
    embedding = tiny()
    collection = Collection(tmp_path_factory.mktemp("filters"), "notes", lambda: embedding)
    keep(
        collection,
        [f"entry w{number}" for number in range(COUNT)],
        source=lambda number: f"s{number % 20}",
        metadata=metadata,
    )
    yield collection
    collection.close()


@pytest.mark.parametrize("where", WHERE.values(), ids=WHERE)
def test_all_ways_to_ask_find_what_fits(filled: Collection, where: list[Condition]) -> None:
    expected = {one.text for one in filled.entries() if all(holds(one, each) for each in where)}
    assert {one.text for one in filled.entries(where)} == expected
    assert filled.count(where) == len(expected)
    with filled.database.read() as connection:
        space = spaces.current(connection)
        assert space
        allowed = spaces.allowed(connection, space.id, where)
        every = spaces.allowed(connection, space.id, [])
        fitting = spaces.fitting(connection, every, where)
        rows = spaces.entries_of(connection, allowed).values()
        found = ledger.load(connection, rows).values()
    assert len(every) == COUNT
    assert len(set(allowed)) == len(allowed)
    assert set(allowed) == fitting
    assert {one.text for one in found} == expected


def holds(entry: Entry, condition: Condition) -> bool:
    """What a condition means, without SQL."""
    own = {"source": entry.source, "time": entry.time.isoformat()}
    value = {**entry.metadata, **own}.get(condition.key)
    if condition.operator == "!=":
        return value != condition.value
    alike = value is not None and isinstance(value, str) == isinstance(condition.value, str)
    return alike and MEANS[condition.operator](value, condition.value)


@pytest.mark.parametrize(
    ("where", "count"),
    [
        ("narrow", 1),
        ("empty", 0),
        ("a column", 66),
        ("wide and narrow", 1),
        ("two wide", 60),
        ("a presence and an absence", 60),
        ("wide by absence", 100),  # not known
        ("nothing", 100),
    ],
)
def test_the_narrowest_condition_is_counted(filled: Collection, where: str, count: int) -> None:
    with filled.database.read() as connection:
        assert fewest(connection, WHERE[where], 100) == count
        assert fewest(connection, WHERE[where], 50) == min(count, 50)


def test_the_narrowest_condition_is_the_first(filled: Collection) -> None:
    where = [Condition("tenth", "<", 5), Condition("source", "=", "s3")]
    with filled.database.read() as connection:
        for order in (where, where[::-1]):
            source, *_ = beginning(connection, order, "vectors", "vectors.entry")
            assert source.startswith("entries ")
