"""What a grammar cannot see to: which keywords of a schema those are, and whether an answer fits.

llguidance leaves out some keywords of JSON Schema and says so, and handles a few others in a way
that lets wrong values through, without a word; random walks through its masks found those.  For
both there is jsonschema, after the fact.  It is given llguidance's idea of a pattern (no other
could read `\\p{L}`, and Python's may take for ever on one) and numbers as they were written (0.7 is
a multiple of 0.1, though not in floating point).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from decimal import Context, Decimal, InvalidOperation, localcontext
from functools import cache, lru_cache
from typing import Any

import referencing
from jsonschema import (
    Draft4Validator,
    Draft6Validator,
    Draft7Validator,
    Draft201909Validator,
    Draft202012Validator,
    SchemaError,
    ValidationError,
)
from jsonschema.exceptions import best_match
from jsonschema.validators import extend, validator_for
from referencing.exceptions import Unresolvable

from agentkit.errors import ModelError, UserError
from agentkit.messages import Choices, Constraint, JsonSchema

DIALECTS: tuple[Any, ...] = (
    Draft202012Validator,
    Draft201909Validator,
    Draft7Validator,
    Draft6Validator,
    Draft4Validator,
)
"""A schema that names none is read in the first of these in which it is valid."""

LONGEST_MESSAGE = 300
"""Characters of a fault; jsonschema likes to repeat the whole value."""

KEPT_VALIDATORS = 64

LARGEST_EXACT = 2**53
"""Up to here floating point has every whole number."""

LARGEST_EXPONENT = 5000
"""Numbers beyond 10 to this power are not divided; it would take too long."""

_NONE: Any = object()

_NAMED_PARTS = {"properties", "patternProperties", "$defs", "definitions", "dependentSchemas",
                "dependencies"}  # fmt: skip
_PARTS = {"allOf", "anyOf", "oneOf", "prefixItems", "items", "additionalItems", "contains", "not",
          "additionalProperties", "propertyNames", "unevaluatedItems", "unevaluatedProperties",
          "if", "then", "else"}  # fmt: skip
_IN_PLACE = {"allOf", "anyOf", "oneOf", "$ref", "const", "enum"}
_BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")


# -- schemas ---------------------------------------------------------------------------------------


def check_schema(schema: str) -> None:
    """Raise `UserError` for a schema (as JSON) that is not valid, or that nothing could check."""
    _validator(schema)
    for pointer, part in _parts(json.loads(schema)):
        for pattern in (part.get("pattern"), *part.get("patternProperties", {})):
            fault = isinstance(pattern, str) and _pattern_reader(pattern).get_error()
            if fault:
                raise UserError(
                    f"the schema is not valid{_at(pointer)}: {in_one_line(fault)}",
                    hint="patterns know no lookarounds and no back references",
                )
        for value in _numbers([part.get("const"), part.get("enum")]):
            if isinstance(value, int) and _is_large(value):
                raise UserError(
                    f"the schema cannot be enforced{_at(pointer)}: {value} is beyond 2**53",
                    hint="write it as a string",
                )


def enforceable(schema: str) -> str:
    """A schema (as JSON) without the bounds that llguidance refuses or rounds: the very large."""
    loose = json.loads(schema)
    for _, part in _parts(loose):
        for keyword in _BOUNDS:
            if _is_large(part.get(keyword)):
                del part[keyword]
    return json.dumps(loose)


def unenforced(schema: str, warnings: Sequence[str]) -> tuple[str, ...]:
    """The keywords of a schema (as JSON) that its grammar does not keep to, and where they are.

    `warnings` are those of llguidance, which name keywords, but no place.
    """
    ignored: set[str] = set()
    formats: set[str] = set()
    notes: list[str] = []
    for warning in warnings:
        subject, _, names = warning.partition(": ")
        if subject == "Unimplemented keys":
            ignored.update(json.loads(names))
        elif subject == "Unknown format":
            formats.add(names)
        elif warning.startswith("oneOf "):
            ignored.add("oneOf")
        elif warning.startswith("min/maxProperties "):
            ignored.update(("minProperties", "maxProperties"))
        else:
            notes.append(warning)
    checked = _validator(schema).format_checker.checkers
    for pointer, part in _parts(json.loads(schema)):
        keywords = [keyword for keyword in part if keyword in ignored and _matters(part, keyword)]
        notes += [f"{name}{_at(pointer)}" for name in dict.fromkeys([*keywords, *_lost(part)])]
        if part.get("format") in formats:
            beyond = "" if part["format"] in checked else ", which nothing checks"
            notes.append(f"format {json.dumps(part['format'])}{_at(pointer)}{beyond}")
    return tuple(dict.fromkeys(notes))


def _matters(part: Mapping[str, Any], keyword: str) -> bool:
    value = part[keyword]
    return not (value is False and keyword == "uniqueItems") and not (
        keyword == "oneOf" and len(value) == 1
    )


def _lost(part: Mapping[str, Any]) -> Iterator[str]:
    """Keywords that llguidance 1.9 handles wrongly without saying so."""
    least = part.get("minProperties", 0)
    if least > max(1, len(part.get("required", ()))):
        yield "minProperties"  # the same name may be written twice
    if "additionalItems" in part and "prefixItems" in part:
        yield "prefixItems"
    torn = bool(_IN_PLACE & part.keys())
    if torn and "additionalItems" in part and isinstance(part.get("items"), list):
        yield "additionalItems"
    for keyword in _BOUNDS:
        value = part.get(keyword)
        if _is_large(value) or (value is True and torn):  # true (draft 4) goes with `minimum`
            yield keyword


def _parts(schema: Any, pointer: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """A schema and all schemas within it, with their JSON pointers."""
    if not isinstance(schema, dict):
        return
    yield pointer, schema
    for keyword, value in schema.items():
        inner: Iterator[tuple[object, Any]] = iter(())
        if keyword in _NAMED_PARTS and isinstance(value, Mapping):
            inner = iter(value.items())
        elif keyword in _PARTS and isinstance(value, list):
            inner = iter(enumerate(value))
        elif keyword in _PARTS:
            yield from _parts(value, f"{pointer}/{keyword}")
        for name, part in inner:
            escaped = str(name).replace("~", "~0").replace("/", "~1")
            yield from _parts(part, f"{pointer}/{keyword}/{escaped}")


def _at(pointer: str) -> str:
    return f" at {pointer}" if pointer else ""


def _numbers(value: Any) -> Iterator[float]:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _numbers(item)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield value


def _is_large(value: Any) -> bool:
    """Whether it is a number that llguidance, which counts in floating point, may round."""
    return isinstance(value, int | float) and abs(value) > LARGEST_EXACT


def in_one_line(error: str) -> str:
    """llguidance's words without its drawings: what is wrong with a pattern stands below those."""
    first, *rest = error.split("\n")
    verdict = next((line[7:] for line in rest if line.startswith("error: ")), None)
    return f"{first.removesuffix(':')}: {verdict}" if verdict else first


# -- answers ---------------------------------------------------------------------------------------


def check_answer(constraint: Constraint, text: str) -> None:
    """Raise `ModelError` for a finished answer that does not fit, and say where and why.

    Patterns and grammars are enforced whole: there is nothing to check.
    """
    if isinstance(constraint, Choices) and text not in constraint.options:
        raise ModelError(f"the answer is none of the choices: {_short(json.dumps(text))}")
    if isinstance(constraint, JsonSchema):
        fault = _fault(_validator(json.dumps(constraint.schema)), text)
        if fault:
            raise ModelError(f"the answer does not fit the schema{fault}")


def _fault(validator: Any, text: str) -> str:
    """Where and why a text does not fit; empty if it does."""
    try:
        with localcontext(Context(prec=LARGEST_EXPONENT)):
            value = json.loads(text, parse_float=_exact)
            error = best_match(validator.iter_errors(value))
    except (ArithmeticError, RecursionError):
        return ": it has numbers or lists beyond all bounds"
    except ValueError as reason:
        return f": it is not JSON: {_short(str(reason))}"
    except Unresolvable as unresolved:
        raise UserError(f"the schema is not valid: {unresolved}") from None
    return f" at {error.json_path}: {_short(error.message)}" if error else ""


def _short(text: str) -> str:
    return text if len(text) <= LONGEST_MESSAGE else f"{text[:LONGEST_MESSAGE]}..."


class _Exact(Decimal):
    """A number as it was written."""

    __repr__ = Decimal.__str__


def _exact(number: str) -> float | Decimal:
    try:
        return _Exact(number)
    except InvalidOperation:  # its exponent has 19 digits or more
        return float(number)


@lru_cache(KEPT_VALIDATORS)
def _validator(schema: str) -> Any:
    plain = json.loads(schema)
    dialect = _checking(_dialect(plain))
    return dialect(
        json.loads(schema, parse_float=_exact),
        registry=referencing.Registry(),
        format_checker=dialect.FORMAT_CHECKER,
    )


def _dialect(schema: Any) -> Any:
    """The validator class whose rules for schemas this one keeps."""
    named = schema.get("$schema")
    dialects = DIALECTS
    if named is not None:
        known = isinstance(named, str) and validator_for({"$schema": named}, default=_NONE)
        if known in (False, _NONE):
            raise UserError(
                f"the schema is not valid: its dialect {named!r} is not known",
                hint='for example: "$schema": "https://json-schema.org/draft/2020-12/schema"',
            )
        dialects = (known,)
    faults: list[SchemaError] = []
    for dialect in dialects:
        try:
            dialect.check_schema(schema, format_checker=None)
        except SchemaError as error:
            faults.append(error)
        else:
            return dialect
    place = "".join(f"/{step}" for step in faults[0].absolute_path)
    raise UserError(f"the schema is not valid{_at(place)}: {_short(faults[0].message)}")


@cache
def _checking(dialect: Any) -> Any:
    """A validator class that reads patterns and numbers as said at the top."""
    return extend(  # type: ignore[no-untyped-call]
        dialect,
        {
            "pattern": _check_pattern,
            "patternProperties": _check_pattern_properties,
            "additionalProperties": _check_additional_properties,
        },
        type_checker=dialect.TYPE_CHECKER.redefine("integer", _is_integer),
    )


def _is_integer(_: Any, value: Any) -> bool:
    if isinstance(value, Decimal):
        return value == value.to_integral_value()
    return isinstance(value, int) and not isinstance(value, bool)


def _check_pattern(validator: Any, pattern: str, value: Any, _: Any) -> Iterator[ValidationError]:
    if validator.is_type(value, "string") and not _matches(pattern, value):
        yield ValidationError(f"{value!r} does not match {pattern!r}")


def _check_pattern_properties(
    validator: Any, patterns: Mapping[str, Any], value: Any, _: Any
) -> Iterator[ValidationError]:
    if validator.is_type(value, "object"):
        for pattern, schema in patterns.items():
            for name, item in value.items():
                if _matches(pattern, name):
                    yield from validator.descend(item, schema, path=name, schema_path=pattern)


def _check_additional_properties(
    validator: Any, wanted: Any, value: Any, schema: Mapping[str, Any]
) -> Iterator[ValidationError]:
    if not validator.is_type(value, "object"):
        return
    named, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    for name, item in value.items():
        if name in named or any(_matches(pattern, name) for pattern in patterns):
            continue
        if wanted is False:
            yield ValidationError(f"the property {name!r} is not expected")
        else:
            yield from validator.descend(item, wanted, path=name)


def _matches(pattern: str, text: str) -> bool:
    """Whether a pattern is found in a text, by the same code that enforces it."""
    quoted = json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
    tokens = list(quoted.encode("utf-8", "replace"))
    reader = _pattern_reader(pattern).deep_copy()
    return bool(reader.validate_tokens(tokens) == len(tokens))


@lru_cache(256)
def _pattern_reader(pattern: str) -> Any:
    """Reads a JSON string, byte by byte, that the pattern is found in."""
    from llguidance import LLMatcher

    grammar = LLMatcher.grammar_from_json_schema({"type": "string", "pattern": pattern})
    return LLMatcher(_bytes(), grammar, log_level=0)


@cache
def _bytes() -> Any:
    """A tokenizer whose tokens are the 256 bytes."""
    from llguidance import LLTokenizer

    return LLTokenizer("byte")
