"""Frozen dataclasses of our own making: whatever can be asked of Python's, they answer alike."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from collections.abc import Callable
from dataclasses import field
from typing import Any

import pytest

from agentkit import values


def made(dataclass: Any) -> tuple[Any, Any]:
    """A class and one that inherits from it, made by a decorator."""

    @dataclass(frozen=True, slots=True)
    class Base:
        """Base."""

        name: str
        count: int = 3
        parts: list[str] = field(default_factory=list)
        aside: int = field(default=0, compare=False, repr=False)

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Inner(Base):
        """Inner."""

        count: int = 4
        more: tuple[Any, ...] = ()

        def __repr__(self) -> str:
            return "its own"

    return Base, Inner


PYTHONS, OURS = made(dataclasses.dataclass), made(values.dataclass)

ASKED: dict[str, Callable[[Any, Any], object]] = {
    "shown": lambda base, inner: (repr(base("a", parts=["b"])), repr(inner("a"))),
    "equal": lambda base, inner: (base("a") == base("a"), base("a") == base("b")),
    "equal but for what is aside": lambda base, inner: base("a", aside=1) == base("a"),
    "not equal to another class": lambda base, inner: base("a", 4) == inner("a"),
    "hash": lambda base, inner: hash(base("a", 1, ())),
    "hash of a list": lambda base, inner: hash(base("a")),
    "set": lambda base, inner: setattr(base("a"), "name", "b"),
    "set what was a default": lambda base, inner: setattr(inner("a"), "count", 5),
    "delete": lambda base, inner: delattr(base("a"), "name"),
    "too few": lambda base, inner: base(),
    "too many": lambda base, inner: base("a", other=1),
    "defaults": lambda base, inner: dataclasses.astuple(inner("a")),
    "not shared": lambda base, inner: base("a").parts is base("a").parts,
    "replaced": lambda base, inner: dataclasses.asdict(dataclasses.replace(inner("a"), count=9)),
    "copied": lambda base, inner: dataclasses.astuple(copy.deepcopy(inner("a", parts=["b"]))),
    "matched": lambda base, inner: (base.__match_args__, inner.__match_args__),
    "names": lambda base, inner: [one.name for one in dataclasses.fields(inner)],
    "slots": lambda base, inner: hasattr(inner("a"), "__dict__"),
}


@pytest.mark.parametrize("question", ASKED)
def test_it_answers_as_pythons(question: str) -> None:
    ask = ASKED[question]
    assert outcome(ask, *OURS) == outcome(ask, *PYTHONS)


def outcome(ask: Callable[[Any, Any], object], base: Any, inner: Any) -> object:
    """What came of a question: an answer, or an error of some kind."""
    try:
        return ask(base, inner)
    except (AttributeError, TypeError) as error:
        return type(error)


@values.dataclass(frozen=True, slots=True)
class Sent:
    """One that travels."""

    name: str
    parts: tuple[Sent, ...] = ()


def test_it_travels() -> None:
    sent = Sent("a", (Sent("b"),))
    back = pickle.loads(pickle.dumps(sent))
    assert back == sent
    with pytest.raises(dataclasses.FrozenInstanceError):
        back.name = "c"


def test_what_is_not_frozen_is_pythons() -> None:
    @values.dataclass
    class Plain:
        name: str = "a"

    plain = Plain()
    plain.name = "b"
    assert plain == Plain("b")
    assert plain.__dict__


def test_others_inherit_from_one_as_from_any_that_is_frozen() -> None:
    base, _ = made(values.dataclass)

    @dataclasses.dataclass(frozen=True)
    class Child(base):  # type: ignore[misc, valid-type]
        pet: str = "cat"

    child = Child("Ada")
    assert (child.name, child.count, child.pet) == ("Ada", 3, "cat")
    for name in ("name", "pet"):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(child, name, "other")
    with pytest.raises(TypeError, match="cannot inherit non-frozen"):
        dataclasses.dataclass(type("Loose", (base,), {}))
