"""Parts of an object that are made when they are first asked for, once, whoever asks."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cached_property
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class part(Generic[T]):
    """A `cached_property` for which threads may ask at the same moment.

    Since Python 3.12 the standard one has no lock, and each thread would make one of its own.
    """

    def __init__(self, make: Callable[[Any], T]) -> None:
        self.__doc__ = make.__doc__
        self._made = cached_property(make)
        self._making = threading.RLock()

    def __set_name__(self, owner: type, name: str) -> None:
        self._made.__set_name__(owner, name)

    def __get__(self, instance: Any, owner: type) -> T:
        with self._making:
            made: T = self._made.__get__(instance, owner)
        return made
