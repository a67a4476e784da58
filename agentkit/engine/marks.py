"""Texts that a chat template may look at and move about, but that never become scaffolding.

What a template prints is tokenised with control tokens; what a user, a tool or the model wrote must
not be.  So a template is handed each such text as a `Foreign` string: to every question (is it
empty, how does it begin, does it equal) it answers as the text would, every cut of it (a trim, a
slice, a piece of a split, its JSON) is foreign again, but what lands in the output is an opaque
mark.  The marks are random, other ones each time: no text can pose as one.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

OPAQUE = "\ufffc"
"""How tokens look to a template that asks for their text: one character, and no marker."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a prompt.

    `trusted` is scaffolding, in which markers are control tokens.  `static` is what comes of the
    system message and the tools.  `tokens` stand as they are, in place of the text.
    """

    text: str
    trusted: bool = False
    static: bool = False
    tokens: tuple[int, ...] | None = None


class Marks:
    """The foreign texts of one rendering."""

    def __init__(self) -> None:
        self._nonce = str(secrets.randbits(64))  # digits have no other case
        self._pattern = f"{self._nonce}-([0-9]+)-{self._nonce}"
        self._made: list[tuple[Piece, ...]] = []
        self._origins: list[frozenset[int]] = []  # the texts that a text was made of, by number

    def text(self, text: str, *, static: bool = False) -> Foreign:
        """A text that templates may cut."""
        return self._mark((Piece(text, static=static),), text)

    def sealed(self, pieces: Sequence[Piece]) -> Foreign:
        """Pieces that stay together, whatever a template does to them."""
        if len(pieces) == 1 and not pieces[0].trusted and pieces[0].tokens is None:
            return self.text(pieces[0].text, static=pieces[0].static)
        return self._mark(tuple(pieces), None)

    def value(self, value: Any, *, static: bool = False) -> Any:
        """A JSON value whose strings, keys included, are foreign."""
        if isinstance(value, str):
            return self.text(value, static=static)
        if isinstance(value, Mapping):
            return {
                self.value(key, static=static): self.value(item, static=static)
                for key, item in value.items()
            }
        if isinstance(value, list | tuple):
            return [self.value(item, static=static) for item in value]
        return value

    def pieces(self, rendered: str) -> Iterator[Piece]:
        """The output of a template, with the foreign texts in place of their marks."""
        parts = re.split(self._pattern, rendered)
        for scaffolding, index in zip(parts[::2], [*parts[1::2], None], strict=True):
            yield Piece(scaffolding, trusted=True)
            if index is not None:
                yield from self._made[int(index)]

    def all_in(self, rendered: str, texts: Iterable[Foreign]) -> bool:
        """Whether the output has each of these texts, or at least something made of it."""
        shown = re.findall(self._pattern, rendered)
        origins = frozenset[int]().union(*(self._origins[int(index)] for index in shown))
        return origins >= {text._number for text in texts}

    def _mark(
        self, pieces: tuple[Piece, ...], plain: str | None, origins: frozenset[int] | None = None
    ) -> Foreign:
        number = len(self._made)
        self._made.append(pieces)
        self._origins.append(frozenset([number]) if origins is None else origins)
        mark = Foreign(f"{self._nonce}-{number}-{self._nonce}")
        mark._marks, mark._number, mark._sealed = self, number, plain is None
        mark._plain = _reading(pieces) if plain is None else plain
        return mark


class Foreign(str):
    """A mark that behaves like the text it stands for."""

    _marks: Marks
    _number: int
    _plain: str
    _sealed: bool

    @property
    def _pieces(self) -> tuple[Piece, ...]:
        return self._marks._made[self._number]

    @property
    def _origins(self) -> frozenset[int]:
        return self._marks._origins[self._number]

    def __str__(self) -> str:
        return self

    def __iter__(self) -> Iterator[str]:
        return iter(self._cut(list(self._plain)))

    def _cut(self, part: Any) -> Any:
        """A part of this text, as foreign as the whole; what is sealed has no parts."""
        if isinstance(part, list | tuple):
            return [self] if self._sealed else [self._cut(one) for one in part]
        if self._sealed or part == self._plain:
            return self
        pieces = (replace(self._pieces[0], text=part),)
        return self._marks._mark(pieces, part, self._origins)


def _reading(pieces: Sequence[Piece]) -> str:
    return "".join(piece.text if piece.tokens is None else OPAQUE for piece in pieces)


def plain(value: Any) -> Any:
    """A value with the texts in place of foreign strings, also inside lists and dictionaries."""
    if isinstance(value, Foreign):
        return value._plain
    if isinstance(value, Mapping):
        return {plain(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def to_json(value: Any, **options: Any) -> str:
    """JSON text, foreign where anything in it is."""
    text = json.dumps(plain(value), **options)
    parts = list(_foreign(value))
    if not parts:
        return text
    static = all(piece.static for part in parts for piece in part._pieces)
    origins = frozenset[int]().union(*(part._origins for part in parts if not part._sealed))
    return parts[0]._marks._mark((Piece(text, static=static),), text, origins)


def _foreign(value: Any) -> Iterator[Foreign]:
    if isinstance(value, Foreign):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _foreign(key)
            yield from _foreign(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _foreign(item)


class Arguments(dict[Any, Any]):
    """The arguments of a call: a dictionary to templates that look inside, JSON text to others."""

    def __init__(self, marks: Marks, arguments: Mapping[str, Any]) -> None:
        super().__init__(marks.value(arguments))
        self._text = marks.text(json.dumps(arguments, ensure_ascii=False))

    def __str__(self) -> str:
        return self._text

    def __add__(self, other: str) -> str:
        return self._text + other

    def __radd__(self, other: str) -> str:
        return other + self._text


CUTS = (
    "strip lstrip rstrip lower upper capitalize title casefold swapcase replace removeprefix "
    "removesuffix split rsplit splitlines partition rpartition "
    "__getitem__ __mul__ __rmul__ __repr__"
).split()
"""Methods that make texts out of a text."""

QUESTIONS = (
    "startswith endswith find rfind index rindex count isdigit isalpha isalnum isspace islower "
    "isupper isnumeric isdecimal isidentifier __contains__ __len__ __hash__ __eq__ __ne__ __lt__ "
    "__le__ __gt__ __ge__"
).split()
"""Methods that only look."""


def _delegate(name: str, *, cuts: bool) -> Any:
    method = getattr(str, name)

    def delegated(self: Foreign, *arguments: Any, **named: Any) -> Any:
        answer = method(self._plain, *map(plain, arguments), **plain(named))
        return self._cut(answer) if cuts else answer

    return delegated


for _name in CUTS:
    setattr(Foreign, _name, _delegate(_name, cuts=True))
for _name in QUESTIONS:
    setattr(Foreign, _name, _delegate(_name, cuts=False))
