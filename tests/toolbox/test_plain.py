"""What goes in and out of tools is plain data, or it is said to be none."""

from __future__ import annotations

import json
import math
from collections import UserDict, deque, namedtuple
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum, StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, field_serializer

from agentkit.toolbox.plain import described, exact, on_record, plain, readable


class Colour(Enum):
    RED = "red"


class Shade(StrEnum):
    DARK = "dark"


class Item(BaseModel):
    name: str
    where: Path | None = None


@dataclass
class Point:
    x: int
    tags: set[int]


Pair = namedtuple("Pair", "one two")


@pytest.mark.parametrize(
    ("value", "data"),
    [
        (None, None),
        ("text", "text"),
        (Shade.DARK, "dark"),
        (Colour.RED, "red"),
        (Path("/a/b"), "/a/b"),
        (Item(name="n", where=Path("x")), {"name": "n", "where": "x"}),
        (Point(1, {2}), {"x": 1, "tags": [2]}),
        (Pair(1, "a"), [1, "a"]),
        ((1, 2), [1, 2]),
        (deque([1]), [1]),
        ({1: "a", (2, 3): "b", None: "c"}, {"1": "a", "2,3": "b", "None": "c"}),
        (date(2026, 1, 2), "2026-01-02"),
        (datetime(2026, 1, 2, 3, tzinfo=UTC), "2026-01-02T03:00:00Z"),
        (timedelta(seconds=90), "PT1M30S"),
        (Decimal("1.10"), "1.10"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (b"bytes", "bytes"),
        ([math.nan, math.inf, 1.5], [None, None, 1.5]),
        ((n for n in (1, 2)), [1, 2]),
        ([Item(name="n"), {"deep": Point(1, set())}],
         [{"name": "n", "where": None}, {"deep": {"x": 1, "tags": []}}]),
    ],
)  # fmt: skip
def test_what_has_a_form_as_data_has_it(value: Any, data: Any) -> None:
    made = plain(value)
    assert made == data
    assert json.loads(json.dumps(made, allow_nan=False)) == made
    assert type(made) in (type(None), str, int, float, bool, list, dict)


class Explosive(BaseModel):
    x: int = 1

    @field_serializer("x")
    def explode(self, value: int) -> int:
        raise KeyError("boom")


class Mute:
    def __str__(self) -> str:
        raise RuntimeError("no")

    __repr__ = __str__


def endless() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


def deep() -> list[Any]:
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]
    return value


def failing() -> Iterator[int]:
    yield 1
    raise KeyError("x")


@pytest.mark.parametrize(
    "value",
    [object(), Mute(), {"a": [object()]}, {object(): 1}, b"\xff", endless(), deep(),
     Explosive(), UserDict(a=1), MappingProxyType({}), lambda: 1, int, ValueError("x"), 10**5000],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_what_is_no_data_is_said_to_be_none(value: Any) -> None:
    for make in (plain, exact):
        with pytest.raises(ValueError, match=r".*") as caught:
            make(value)
        assert type(caught.value) is ValueError


def test_what_breaks_while_it_is_made_is_no_data() -> None:
    with pytest.raises(ValueError, match="x"):
        plain(failing())


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(value=JSON)
def test_data_stays_as_it_is_and_is_a_copy(value: Any) -> None:
    for make in (plain, exact):
        made = make(value)
        assert made == value
        if isinstance(made, list | dict):
            assert made is not value


@given(text=st.text(st.characters(categories=None)))
def test_every_text_becomes_one_that_can_be_written_and_keeps_its_length(text: str) -> None:
    made = readable(text)
    assert made.encode().decode() == made
    assert len(made) == len(text)
    assert plain([text]) == [made]
    assert exact([text]) == [text]


def test_a_record_has_every_argument_in_some_form() -> None:
    arguments = {"a": 1, "bad": object(), Mute(): "x", "half\ud800": "\ud800", "end": endless()}
    assert on_record(arguments) == {
        "a": 1, "bad": "<object>", "<Mute>": "x", "half?": "?", "end": "<list>",
    }  # fmt: skip
    assert on_record('{"half": "\ud800"') == '{"half": "?"'


def test_what_cannot_say_what_it_is_is_named_by_its_kind() -> None:
    assert described(Mute()) == "<Mute>"
    assert described(ValueError("x")) == "x"
