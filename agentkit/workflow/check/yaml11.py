"""What YAML 1.1 read otherwise, and many still write: `on` as a key, `yes`, `0755`, `1.10`.

This language is YAML 1.2: `yes` is text, and most of what 1.1 made of words and signs does not
happen.  What is left is told in words of its own: text where a boolean was meant, a number where a
text would have kept its zeros.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from agentkit.errors import Problem
from agentkit.yamlfile import Document, NodePath

RULE = "yaml-1.1"

BOOLEANS = {"yes": "true", "on": "true", "no": "false", "off": "false"}
"""Words of YAML 1.1, and what they are in 1.2."""

TRIGGERS = ("on", "true")
"""How a file begins its triggers for other tools, and what a program of YAML 1.1 makes of that."""

_LEADING_ZERO = re.compile(r"[-+]?0[0-9]+")
_TRAILING_ZERO = re.compile(r"[-+]?[0-9]+\.[0-9]*0")
_SEXAGESIMAL = re.compile(r"[0-9]+(:[0-5]?[0-9])+")


def leftovers(document: Document, problems: Iterable[Problem]) -> Iterator[Problem]:
    """All problems of a file: those that YAML 1.1 is the reason of in its words, and more such."""
    told = set()
    foreign = {
        key: document.place((key,), at_key=True) for key in TRIGGERS if (key,) in document.keys
    }
    at_foreign = {(place.line + 1, place.column + 1) for place in foreign.values()}
    scalars = {_place(document, path): (path, value) for path, value in _scalars(document.data, ())}
    for problem in problems:
        place = (problem.line, problem.column)
        if place in at_foreign and problem.rule == "unknown-key":
            continue  # it is told below
        path, value = scalars.get(place, ((), None))
        found = _reason(document.source(path), value, problem.message) if path else None
        if found is None:
            yield problem
            continue
        told.add(path)
        yield replace(problem, rule=RULE, message=found[0], suggestion=found[1])
    for key, where in foreign.items():
        message = f'"{key}" is no key here: what starts a workflow stands in "triggers"'
        yield document.problem((key,), RULE, message, 'did you mean "triggers"?', place=where)
    for path, value in scalars.values():
        if path not in told:
            yield from _zeros(document, path, value)


def _scalars(value: Any, path: NodePath) -> Iterator[tuple[NodePath, Any]]:
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _scalars(item, (*path, key))
    elif path:
        yield path, value


def _place(document: Document, path: NodePath) -> tuple[int, int]:
    place = document.place(path)
    return place.line + 1, place.column + 1


def _reason(written: str, value: Any, message: str) -> tuple[str, str] | None:
    """Message and suggestion, if a value is not what was wanted because of YAML 1.1."""
    wanted = message.partition("must be ")[2].partition(",")[0]
    boolean = BOOLEANS.get(written.lower())
    if boolean and wanted == "true or false":
        return f"{written} is text in YAML 1.2: a boolean is true or false", _meant(boolean)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if number and wanted in ("a string", "a path") and written != str(value):
        return f"YAML reads {written} as the number {value}", f'put it in quotes: "{written}"'
    if _SEXAGESIMAL.fullmatch(written) and wanted in ("a number", "an integer"):
        return f"{written} is text in YAML 1.2, and no number", _meant(str(_base_60(written)))
    return None


def _zeros(document: Document, path: NodePath, value: Any) -> Iterator[Problem]:
    """Numbers that lose a zero which somebody wrote."""
    written = document.source(path)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return
    quoted = f'put it in quotes if it is text: "{written}"'
    if _LEADING_ZERO.fullmatch(written):
        octal = int(written, 8) if re.fullmatch("[-+]?[0-7]+", written) else value
        other = f", and YAML 1.1 as {octal}" if octal != value else ""
        message = f"YAML reads {written} as the number {value}{other}"
        yield document.problem(path, RULE, message, f"{quoted}; else write {value}")
    elif "foreach" in path and "items" in path and _TRAILING_ZERO.fullmatch(written):
        message = f"YAML reads {written} as the number {value}"
        yield document.problem(path, RULE, message, f"{quoted}; else write {value}")


def _base_60(written: str) -> int:
    number = 0
    for part in written.split(":"):
        number = number * 60 + int(part)
    return number


def _meant(value: str) -> str:
    return f"did you mean {value}?"
