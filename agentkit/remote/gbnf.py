"""Patterns and choices as GBNF, the grammar that every llama-server takes.

Characters are written as sets of code points, so that nothing depends on what GBNF would take for
an operator.  `\\d`, `\\w` and `\\s` mean their ASCII characters; `.` is anything but a line feed.

The pattern is read by Python's own parser, private but unchanged for many years.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from re import _constants as op  # type: ignore[attr-defined, unused-ignore]
from re import _parser  # type: ignore[attr-defined, unused-ignore]
from typing import Any

from agentkit.errors import UserError

LAST = 0x10FFFF

UNSAYABLE = {
    op.ASSERT: "a lookaround",
    op.ASSERT_NOT: "a lookaround",
    op.AT: "an anchor in its middle",
    op.GROUPREF: "a back reference",
    op.SUBPATTERN: "a flag for a part of it",
}

Ranges = list[tuple[int, int]]
"""Code points, from first to last of each range."""

LETTERS = [(ord("0"), ord("9")), (ord("A"), ord("Z")), (ord("_"), ord("_")), (ord("a"), ord("z"))]
CATEGORIES: dict[Any, Ranges] = {
    op.CATEGORY_DIGIT: [(ord("0"), ord("9"))],
    op.CATEGORY_WORD: LETTERS,
    op.CATEGORY_SPACE: [(ord("\t"), ord("\r")), (ord(" "), ord(" "))],
}
OPPOSITES = {
    op.CATEGORY_NOT_DIGIT: op.CATEGORY_DIGIT,
    op.CATEGORY_NOT_WORD: op.CATEGORY_WORD,
    op.CATEGORY_NOT_SPACE: op.CATEGORY_SPACE,
}
BEGINNINGS = (op.AT_BEGINNING, op.AT_BEGINNING_STRING)
ENDS = (op.AT_END, op.AT_END_STRING)


def from_choices(options: Sequence[str]) -> str:
    """A grammar for one of these texts.

    >>> from_choices(["yes", "no"])
    'root ::= [y] [e] [s] | [n] [o]'
    """
    return "root ::= " + " | ".join(_literal(option) for option in options)


def from_regex(pattern: str) -> str:
    """A grammar for the texts that the pattern matches as a whole.

    Raises `UserError` for what a context-free grammar cannot say.

    >>> from_regex("a(b|[0-9]{2,})?")
    'root ::= [a] (([b] | ([0-9]){2,}))?'
    """
    try:
        parsed = _parser.parse(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise UserError(f"the pattern {pattern!r} is not valid: {error}") from None
    flags = parsed.state.flags & ~(re.UNICODE | re.DOTALL)
    if flags:
        raise _Unsayable(pattern, f"the flag {re.RegexFlag(flags)!s}")
    return "root ::= " + _Writer(pattern, bool(parsed.state.flags & re.DOTALL)).whole(parsed)


class _Unsayable(UserError):
    def __init__(self, pattern: str, what: str) -> None:
        super().__init__(
            f"the pattern {pattern!r} cannot be asked of this server: it uses {what}",
            hint="write it without, or check the answer yourself",
        )


class _Writer:
    """Writes one parsed pattern down."""

    def __init__(self, pattern: str, dot_matches_all: bool) -> None:
        self._pattern = pattern
        self._dot = [(0, LAST)] if dot_matches_all else _complement([(10, 10)])

    def whole(self, items: Any) -> str:
        """The pattern without the anchors at its ends: a grammar has them anyway."""
        nodes = list(items)
        if nodes and nodes[0][0] is op.AT and nodes[0][1] in BEGINNINGS:
            nodes.pop(0)
        if nodes and nodes[-1][0] is op.AT and nodes[-1][1] in ENDS:
            nodes.pop()
        return self._sequence(nodes)

    def _sequence(self, nodes: Iterable[tuple[Any, Any]]) -> str:
        return " ".join(self._node(kind, value) for kind, value in nodes) or '""'

    def _node(self, kind: Any, value: Any) -> str:
        if kind in (op.LITERAL, op.NOT_LITERAL, op.ANY, op.IN):
            return _set(self._characters(kind, value))
        if kind in (op.MAX_REPEAT, op.MIN_REPEAT):
            least, most, items = value
            return f"({self._sequence(items)}){_times(least, most)}"
        if kind is op.BRANCH:
            return "(" + " | ".join(self._sequence(branch) for branch in value[1]) + ")"
        if kind is op.SUBPATTERN and not value[1] and not value[2]:
            return self._sequence(value[3])
        raise _Unsayable(self._pattern, UNSAYABLE.get(kind, str(kind)))

    def _characters(self, kind: Any, value: Any) -> Ranges:
        if kind is op.ANY:
            return self._dot
        if kind is op.LITERAL:
            return [(value, value)]
        if kind is op.NOT_LITERAL:
            return _complement([(value, value)])
        if value[0][0] is op.NEGATE:
            return _complement(_union(value[1:]))
        return _union(value)


def _union(items: Iterable[tuple[Any, Any]]) -> Ranges:
    ranges: Ranges = []
    for kind, value in items:
        if kind is op.LITERAL:
            ranges.append((value, value))
        elif kind is op.RANGE:
            ranges.append(value)
        elif value in OPPOSITES:
            ranges += _complement(CATEGORIES[OPPOSITES[value]])
        else:
            ranges += CATEGORIES[value]
    return ranges


def _complement(ranges: Ranges) -> Ranges:
    free, start = [], 0
    for first, last in sorted(ranges):
        if first > start:
            free.append((start, first - 1))
        start = max(start, last + 1)
    return [*free, (start, LAST)] if start <= LAST else free


def _times(least: int, most: Any) -> str:
    shorthand = {(0, 1): "?", (0, op.MAXREPEAT): "*", (1, op.MAXREPEAT): "+"}
    upper = "" if most == op.MAXREPEAT else str(most)
    return shorthand.get((least, most)) or f"{{{least},{upper}}}"


def _literal(text: str) -> str:
    return " ".join(_set([(ord(character), ord(character))]) for character in text) or '""'


def _set(ranges: Ranges) -> str:
    return "[" + "".join(
        _point(first) if first == last else f"{_point(first)}-{_point(last)}"
        for first, last in ranges
    ) + "]"  # fmt: skip


def _point(code: int) -> str:
    character = chr(code)
    return character if character.isascii() and character.isalnum() else f"\\U{code:08X}"
