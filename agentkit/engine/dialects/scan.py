"""An answer, unit by unit: a parser that reads ahead while the answer is still being written.

Parsers here are generators: `unit = yield from units.next()` waits until the model has written one
more character or marker.  They read as if the whole answer were there, and give the same result
however it is cut into pieces.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Collection, Generator
from typing import TypeVar

T = TypeVar("T")
Read = Generator[None, str, T]

SPACE = " \t\r\n"


class Token(str):
    """A marker that is one token; everything else comes character by character."""

    __slots__ = ()


END = Token("")
"""Comes last, and comes again whenever it is read."""


class Broken(Exception):
    """What is being read is not what it seemed; the unit that shows it has not been taken."""


class Units:
    """What the model has written and nobody has read yet; `taken` is what was read lately."""

    def __init__(self) -> None:
        self._ahead: deque[str] = deque()
        self.taken: list[str] = []

    def drive(self, parser: Read[None], units: Collection[str]) -> None:
        """Let a parser read on.  It has been started, and never ends."""
        self._ahead.extend(units)
        while self._ahead:
            unit = self._ahead.popleft()
            self.taken.append(unit)
            parser.send(unit)

    def begin(self, *units: str) -> None:
        """From here on, and from these units that were read last, `taken` is recorded."""
        self.taken = list(units)

    @property
    def at_end(self) -> bool:
        """Whether the answer is over, but for what was given `back`."""
        return bool(self._ahead) and self._ahead[0] is END

    def next(self) -> Read[str]:
        """The next unit."""
        return (yield)

    def back(self, *units: str) -> None:
        """Have the last units read again."""
        del self.taken[len(self.taken) - len(units) :]
        self._ahead.extendleft(reversed(units))

    # -- JSON ------------------------------------------------------------------------------------

    def after_space(self) -> Read[str]:
        """The next unit that is not white space."""
        while True:
            unit = yield
            if isinstance(unit, Token) or unit not in SPACE:
                return unit

    def expect(self, *wanted: str) -> Read[str]:
        """The next unit that is not white space, which is one of these."""
        unit = yield from self.after_space()
        if unit not in wanted or isinstance(unit, Token):
            self.back(unit)
            raise Broken
        return unit

    def word(self, text: str) -> Read[bool]:
        """Take this text if it comes next, as characters or as one token."""
        read: list[str] = []
        while "".join(read) != text:
            unit = yield
            read.append(unit)
            if isinstance(unit, Token) and [unit] == read and unit == text:
                return True
            if isinstance(unit, Token) or not text.startswith("".join(read)):
                self.back(*read)
                return False
        return True

    def string(self) -> Read[str]:
        """The text of a JSON string whose opening quote was read."""
        raw = ['"']
        yield from self._string(raw.append)
        try:
            text: str = json.loads("".join(raw), strict=False)
        except ValueError:
            raise Broken from None
        return text

    def value(self, first: str, write: Callable[[str], None]) -> Read[None]:
        """A JSON value that begins with the unit `first`, written out as it is read."""
        if first == '"':
            write(first)
            yield from self._string(write)
        elif first in ("{", "["):
            yield from self._nested(first, write)
        elif isinstance(first, Token) or first in ",:}]":
            self.back(first)
            raise Broken
        else:
            unit = first
            while not isinstance(unit, Token) and unit not in SPACE + ",:}]":
                write(unit)
                unit = yield
            self.back(unit)

    def _string(self, write: Callable[[str], None]) -> Read[None]:
        escaped = False
        while True:
            unit = yield
            if isinstance(unit, Token):
                self.back(unit)
                raise Broken
            write(unit)
            if unit == '"' and not escaped:
                return
            escaped = unit == "\\" and not escaped

    def _nested(self, first: str, write: Callable[[str], None]) -> Read[None]:
        write(first)
        open_ = [first]
        while open_:
            unit = yield
            closes = {"}": "{", "]": "["}.get(unit)
            if isinstance(unit, Token) or (closes and closes != open_[-1]):
                self.back(unit)
                raise Broken
            write(unit)
            if unit == '"':
                yield from self._string(write)
            elif unit in ("{", "["):
                open_.append(unit)
            elif closes:
                open_.pop()
