"""A JSON Schema that somebody else wrote, made harmless to check values against.

What could do harm, and what becomes of it:

- A `$ref` to another document would be fetched, by us: refused.
- Parts that refer to each other can make one check endless, or longer than the world is old, in a
  schema of a few hundred bytes: its cost is reckoned first.
- Python's `re` can take for ever, with the whole process standing still, and it does not know all
  patterns of JavaScript: patterns are told to the model, and checked by the server alone.
- `uniqueItems` compares each with each: left to the server, too.
- Depth, size and hidden text have bounds.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from agentkit.errors import human_bytes
from agentkit.toolservers.plain import plain

MAX_RAW = 1_000_000
"""Bytes of it as it came, with all its words."""
MAX_BYTES = 60_000
"""Bytes of what is left of it."""
MAX_DEPTH = 40
MAX_COST = 500
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
    "maxLength", "minItems", "maxItems", "minContains", "maxContains", "minProperties",
    "maxProperties", "deprecated", "readOnly", "writeOnly",
}  # fmt: skip
WORDS = {"title", "description"}

REFERENCES = {"$ref", "$dynamicRef", "$recursiveRef"}

SAME_VALUE = {"allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas"}
"""Keywords whose schemas look at the value that their parent looks at."""


class Unfit(Exception):
    """A schema that cannot be used: the rest of a sentence that begins with it."""


def harmless(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A schema that means the same, or accepts more.  Raises `Unfit`."""
    _check_size(schema, MAX_RAW)
    cleaner = _Cleaner()
    clean = cleaner.schema(schema, 0)
    assert isinstance(clean, dict)
    _check_size(clean, MAX_BYTES)
    _Reckoner(clean).check(cleaner.made)
    return clean


class _Cleaner:
    """Copies a schema, keyword by keyword; `made` are all the schemas in the copy."""

    def __init__(self) -> None:
        self.made: list[dict[str, Any]] = []

    def schema(self, given: Any, depth: int) -> dict[str, Any] | bool:
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
            part = self._keyword(key, value, depth + 1)
            if part is not None:
                made[key] = part
        if "patternProperties" in given:  # what they would allow, the rest must not forbid
            made["additionalProperties"] = True
            made.pop("unevaluatedProperties", None)
        if isinstance(given.get("pattern"), str):
            told = f"{made.get('description', '')} (pattern: {given['pattern']})"
            made["description"] = plain(told, MAX_WORDS)
        self.made.append(made)
        return made

    def _keyword(self, key: str, value: Any, depth: int) -> Any:
        """The value that a keyword keeps, None: the keyword goes."""
        if key in WORDS:
            return plain(value, MAX_WORDS) if isinstance(value, str) else None
        if key in DATA:
            _check_depth(value, MAX_DEPTH - depth)
            return value
        if key in ONE:
            return self.schema(value, depth)
        if key in LISTS and isinstance(value, list):
            return [self.schema(one, depth + 1) for one in value]
        if key in MAPS and isinstance(value, Mapping):
            return {name: self.schema(one, depth + 1) for name, one in value.items()}
        if key in LISTS | MAPS:
            raise Unfit(f"is none: {_shown(value)} stands under {key!r}")
        if key not in REFERENCES:
            return None
        if key != "$ref" or not isinstance(value, str) or not value.startswith("#"):
            raise Unfit(f"refers to another document: {_shown(value)}")
        return value


class _Reckoner:
    """How many parts of a schema look at one value, references followed."""

    def __init__(self, root: dict[str, Any]) -> None:
        self._root = root
        self._costs: dict[int, int] = {}
        self._open: set[int] = set()

    def check(self, parts: Iterable[dict[str, Any]]) -> None:
        """Raise `Unfit` for one that would take too long, or refers to what is not there."""
        for part in parts:
            if self._cost(part) > MAX_COST:
                raise Unfit("refers to its own parts so often that a check would never end")

    def _cost(self, part: Any) -> int:
        if not isinstance(part, dict):
            return 1
        key = id(part)
        if key in self._costs:
            return self._costs[key]
        if key in self._open or len(self._open) > MAX_CHAIN:
            raise Unfit("refers to itself, part after part, without end")
        self._open.add(key)
        cost = min(1 + sum(map(self._cost, self._of_the_same_value(part))), MAX_COST + 1)
        self._open.remove(key)
        self._costs[key] = cost
        return cost

    def _of_the_same_value(self, part: dict[str, Any]) -> Iterator[Any]:
        if "$ref" in part:
            yield self._target(part["$ref"])
        for key in SAME_VALUE & part.keys():
            inner = part[key]
            if key in LISTS:
                yield from inner
            elif key in MAPS:
                yield from inner.values()
            else:
                yield inner

    def _target(self, reference: str) -> Any:
        """What a reference leads to, by steps from schema to schema and by no others."""
        part: Any = self._root
        steps = iter(unquote(reference[1:]).split("/")[1:])
        if reference[1:2] not in ("", "/"):
            part = None
        for key in steps:
            if not isinstance(part, dict) or key not in part:
                part = None
                break
            part = part[key]
            if key in LISTS | MAPS:
                part = _at(part, next(steps, ""))
            elif key not in ONE:
                part = None
        if not isinstance(part, dict | bool):
            raise Unfit(f"refers to a part that it does not have: {_shown(reference)}")
        return part


def _at(parts: Any, step: str) -> Any:
    """A member of a list or a map, by a step of a JSON pointer."""
    if isinstance(parts, list):
        return parts[int(step)] if step.isdecimal() and int(step) < len(parts) else None
    return parts.get(step.replace("~1", "/").replace("~0", "~"))


def _check_size(schema: Mapping[str, Any], limit: int) -> None:
    size = len(json.dumps(schema, ensure_ascii=False).encode("utf-8", "replace"))
    if size > limit:
        raise Unfit(f"is too large: {human_bytes(size)} of JSON, {human_bytes(limit)} may be")


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
