"""Frozen dataclasses that are made in a third of the time.

For each frozen class Python's `dataclass` writes and compiles six methods (before 3.13 one by one),
and a run of one step makes two hundred such classes before it begins.  Five of the six are the same
for every class, and are written here once; `__init__` and all else is Python's own.
"""

from __future__ import annotations

import dataclasses
import reprlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

__all__ = ["dataclass"]

if TYPE_CHECKING:
    from dataclasses import dataclass
else:

    def dataclass(own: type | None = None, /, **how: bool) -> Any:
        """As Python's; what a class defines itself is left as it is."""
        if not (how.get("frozen") and how.get("slots")):
            return dataclasses.dataclass(own, **how)

        def made(own: type) -> type:
            with _said_of_bases(own, frozen=False):
                value = dataclasses.dataclass(own, **{**how, **_NOT_WRITTEN})
            value.__dataclass_params__.frozen = True
            fields = dataclasses.fields(value)
            value._compared = tuple(one.name for one in fields if one.compare)
            value._shown = tuple(one.name for one in fields if one.repr)
            for name, method in _SHARED.items():
                if name not in own.__dict__:
                    setattr(value, name, method)
            return value

        return made


@contextmanager
def _said_of_bases(own: type, *, frozen: bool) -> Iterator[None]:
    """What Python reads about the classes that one inherits from, which all have to be alike."""
    said = [base.__dict__.get("__dataclass_params__") for base in own.__mro__[1:]]
    before = [(one, one.frozen) for one in said if one is not None]
    for one, _ in before:
        one.frozen = frozen
    yield
    for one, was in before:
        one.frozen = was


_NOT_WRITTEN = {"frozen": False, "eq": False, "repr": False}


def _set_once(self: Any, name: str, value: Any) -> None:
    """`__init__` sets what nobody has set: there is nothing else to tell it from others by."""
    if hasattr(self, name):
        raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")
    object.__setattr__(self, name, value)


def _keep(self: Any, name: str) -> None:
    raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")


def _facts(self: Any) -> tuple[Any, ...]:
    return tuple(getattr(self, name) for name in self._compared)


def _equals(self: Any, other: object) -> bool:
    return _facts(self) == _facts(other) if type(other) is type(self) else NotImplemented


def _hashed(self: Any) -> int:
    return hash(_facts(self))


@reprlib.recursive_repr()
def _written(self: Any) -> str:
    values = ", ".join(f"{name}={getattr(self, name)!r}" for name in self._shown)
    return f"{type(self).__qualname__}({values})"


_SHARED = {
    "__setattr__": _set_once,
    "__delattr__": _keep,
    "__eq__": _equals,
    "__hash__": _hashed,
    "__repr__": _written,
}
