"""A JSON Schema that somebody else wrote, made harmless to check values against.

What could do harm, and what becomes of it:

- A `$ref` to another document would be fetched, by us: refused.
- Parts that refer to each other can make one check endless, or longer than the world is old, in a
  schema of a few hundred bytes: its cost is reckoned first.
- Python's `re` can take for ever, with the whole process standing still, and it does not know all
  patterns of JavaScript: patterns are told to the model, and checked by the server alone.
- Depth, size and hidden text have bounds.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from agentkit.errors import human_bytes
from agentkit.toolservers.plain import plain

MAX_BYTES = 60_000
MAX_DEPTH = 40
MAX_COST = 2_000
"""Parts of a schema that may look at one and the same value."""
MAX_CHAIN = 30
"""Parts that may refer to each other in a row."""
MAX_WORDS = 600
"""Characters of one description."""

MAPS = {"properties", "$defs", "definitions", "dependentSchemas"}
"""Keywords whose values are schemas by name."""
LISTS = {"allOf", "anyOf", "oneOf", "prefixItems"}
ONE = {
    "items", "additionalProperties", "unevaluatedItems", "unevaluatedProperties", "contains",
    "propertyNames", "not", "if", "then", "else",
}  # fmt: skip
DATA = {
    "type", "enum", "const", "default", "examples", "required", "dependentRequired", "format",
    "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength",
    "maxLength", "minItems", "maxItems", "uniqueItems", "minContains", "maxContains",
    "minProperties", "maxProperties", "deprecated", "readOnly", "writeOnly",
}  # fmt: skip
WORDS = {"title", "description"}

SAME_VALUE = ("allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas")
"""Keywords whose schemas look at the value that their parent looks at."""


class Unfit(Exception):
    """A schema that cannot be used: the rest of a sentence that begins with it."""


def harmless(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A schema that means the same, or accepts more.  Raises `Unfit`."""
    cleaner = _Cleaner()
    clean = cleaner.schema(schema, "", 0)
    assert isinstance(clean, dict)
    size = len(json.dumps(clean, ensure_ascii=False).encode("utf-8", "replace"))
    if size > MAX_BYTES:
        raise Unfit(f"is too large: {human_bytes(size)} of JSON, {human_bytes(MAX_BYTES)} may be")
    cleaner.check_references()
    _Reckoner(cleaner.places).check()
    return clean


class _Cleaner:
    """Copies a schema, keyword by keyword, and remembers the places where schemas are."""

    def __init__(self) -> None:
        self.places: dict[str, dict[str, Any]] = {}
        self._references: list[str] = []

    def schema(self, given: Any, place: str, depth: int) -> dict[str, Any] | bool:
        if isinstance(given, bool):
            return given
        if not isinstance(given, Mapping):
            raise Unfit(f"is none: {_shown(given)} stands where a schema should")
        if depth > MAX_DEPTH:
            raise Unfit(f"is nested more than {MAX_DEPTH} deep")
        made: dict[str, Any] = {}
        for key, value in given.items():
            if key == "items" and isinstance(value, list):
                key = "prefixItems"  # as it was called before 2020
            part = self._keyword(key, value, f"{place}/{_escaped(key)}", depth + 1)
            if part is not None:
                made[key] = part
        if "patternProperties" in given:  # what they would allow, the rest must not forbid
            made["additionalProperties"] = True
            made.pop("unevaluatedProperties", None)
        if isinstance(given.get("pattern"), str):
            told = f"{made.get('description', '')} (pattern: {given['pattern']})"
            made["description"] = plain(told, MAX_WORDS)
        self.places[place] = made
        return made

    def _keyword(self, key: str, value: Any, place: str, depth: int) -> Any:
        """The value that a keyword keeps, None: the keyword goes."""
        if key in WORDS:
            return plain(value, MAX_WORDS) if isinstance(value, str) else None
        if key in DATA:
            _check_depth(value, MAX_DEPTH - depth)
            return value
        if key in ONE:
            return self.schema(value, place, depth)
        if key in LISTS and isinstance(value, list):
            return [self.schema(one, f"{place}/{i}", depth + 1) for i, one in enumerate(value)]
        if key in MAPS and isinstance(value, Mapping):
            return {
                name: self.schema(one, f"{place}/{_escaped(name)}", depth + 1)
                for name, one in value.items()
            }
        if key in LISTS | MAPS:
            raise Unfit(f"is none: {_shown(value)} stands under {key!r}")
        if key in ("$ref", "$dynamicRef", "$recursiveRef"):
            return self._reference(key, value)
        return None

    def _reference(self, key: str, value: Any) -> str:
        if key != "$ref" or not isinstance(value, str) or not value.startswith("#"):
            raise Unfit(f"refers to another document: {_shown(value)}")
        self._references.append(value)
        return value

    def check_references(self) -> None:
        """Raise `Unfit` for one that leads to nothing, or to what is no schema."""
        for reference in self._references:
            if _target(reference) not in self.places:
                raise Unfit(f"refers to a part that it does not have: {_shown(reference)}")


class _Reckoner:
    """How many parts of a schema look at one value, references followed."""

    def __init__(self, places: Mapping[str, dict[str, Any]]) -> None:
        self._places = places
        self._known: dict[str, int] = {}
        self._open: set[str] = set()

    def check(self) -> None:
        """Raise `Unfit` for a schema that would take too long."""
        for place in self._places:
            if self._cost(place) > MAX_COST:
                raise Unfit("refers to its own parts so often that a check would never end")

    def _cost(self, place: str) -> int:
        if place in self._known:
            return self._known[place]
        if place in self._open or len(self._open) > MAX_CHAIN:
            raise Unfit("refers to itself, part after part, without end")
        self._open.add(place)
        cost = min(1 + sum(map(self._cost, self._below(place))), MAX_COST + 1)
        self._open.remove(place)
        self._known[place] = cost
        return cost

    def _below(self, place: str) -> Iterator[str]:
        schema = self._places[place]
        if "$ref" in schema:
            yield _target(schema["$ref"])
        for key in SAME_VALUE:
            inner = f"{place}/{key}"
            if isinstance(schema.get(key), list):
                parts = [f"{inner}/{number}" for number in range(len(schema[key]))]
            elif key in MAPS:
                parts = [f"{inner}/{_escaped(name)}" for name in schema.get(key, {})]
            else:
                parts = [inner]
            yield from (part for part in parts if part in self._places)


def _target(reference: str) -> str:
    return unquote(reference[1:])


def _escaped(name: str) -> str:
    """A name as a part of a JSON pointer."""
    return name.replace("~", "~0").replace("/", "~1")


def _check_depth(value: Any, left: int) -> None:
    if left < 0:
        raise Unfit(f"is nested more than {MAX_DEPTH} deep")
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            _check_depth(one, left - 1)


def _shown(value: Any) -> str:
    return repr(plain(value if isinstance(value, str) else json.dumps(value), 60))
