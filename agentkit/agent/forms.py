"""What a task says about the form of a list that is written: each thing once, in order, one a line,
lines as they stand elsewhere.

A model that has written it finds that all of it is done.  Whether a line stands there twice is no
question for a model: it is looked up here.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator

from agentkit.agent.shown import placed

LISTS = (".txt", ".md", ".lst", ".list")
"""Ends of names of files whose lines are entries."""

ONCE = re.compile(
    r"\b(?:each|every)(?: \w+)? (?:only |just )?once\b|\bnothing twice\b|\bunique\b|\bdistinct\b"
    r"|\b(?:no|without|remove) (?:duplicates?|doubles|repetitions?)\b",
    re.IGNORECASE,
)
ORDERED = re.compile(r"\balphabetic(?:al(?:ly)?)?\b", re.IGNORECASE)
BACKWARDS = re.compile(r"\b(?:reverse|descending|backwards|by|z to a)\b", re.IGNORECASE)
"""Another order than that of the letters."""
SINGLE = re.compile(r"\bone(?: \w+)? (?:a|per|on each|in each|on every) line\b", re.IGNORECASE)

COPIED = re.compile(r"\b(?:collect|copy|extract|gather)\b[^.:;]*\blines\b", re.IGNORECASE)
SEVERAL, SHORT = 2, 4
"""Entries from which a line has several, and words that one of them has at most."""

LONG = 8
"""Characters of a line that another one may have in it: a brace is in many."""


def faults(task: str, name: str, text: str) -> Iterator[str]:
    """What of a file is not as the task says, with the first line that shows it."""
    lines = _entries(name, text)
    together = next(filter(_several, lines), None) if SINGLE.search(task) else None
    if together is not None:
        yield f"{name} has a line with several in it: {together!r}"
    twice = [line for line, count in Counter(lines).items() if count > 1]
    if twice and ONCE.search(task):
        yield f"{name} has a line more than once: {twice[0]!r}"
    sooner = _misplaced(lines) if ORDERED.search(task) and not BACKWARDS.search(task) else None
    if sooner is not None:
        yield f"{name} is not in alphabetical order: {sooner!r} comes too late"


def new_line(name: str, text: str, others: Iterable[str]) -> str:
    """The first line of a file that has none in it of some other texts; empty if all have one."""
    there = {placed(line.strip())[1] for other in others for line in other.splitlines()}
    long = [line for line in there if len(line) >= LONG]
    return next(
        (e for e in _entries(name, text) if e not in there and not any(one in e for one in long)),
        "",
    )


def _entries(name: str, text: str) -> list[str]:
    """The lines of a list; of another file none."""
    lines = [line.strip() for line in text.splitlines()]
    return [line for line in lines if line] if name.endswith(LISTS) else []


def _several(line: str) -> bool:
    """Whether a line is a list of short things, parted by commas."""
    parts = [part.split() for part in line.split(",")]
    return len(parts) >= SEVERAL and all(0 < len(part) <= SHORT for part in parts)


def _misplaced(lines: list[str]) -> str | None:
    """The first line that stands after one which it should stand before; in whatever case."""
    if lines == sorted(lines):
        return None
    keys = [line.casefold() for line in lines]
    pairs = zip(keys, keys[1:], lines[1:], strict=False)
    return next((line for before, after, line in pairs if after < before), None)
