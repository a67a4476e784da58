"""What can be wrong with an `output_schema`, and with an answer that has to fit it, in sentences.

A schema is checked further than JSON Schema itself would: a misspelt keyword is legal there and
does nothing, and a reference that leads nowhere is found only when it is followed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from agentkit import fitting
from agentkit.errors import closest, did_you_mean
from agentkit.validation import describe
from agentkit.values import dataclass
from agentkit.workflow.expressions import is_expression

if TYPE_CHECKING:
    from jsonschema import ValidationError

TYPES = ("string", "integer", "number", "boolean", "object", "array", "null")

KEYWORDS = frozenset(
    [
        "$anchor", "$comment", "$defs", "$dynamicAnchor", "$dynamicRef", "$id", "$ref", "$schema",
        "$vocabulary", "additionalProperties", "allOf", "anyOf", "const", "contains",
        "contentEncoding", "contentMediaType", "contentSchema", "default", "definitions",
        "dependentRequired", "dependentSchemas", "deprecated", "description", "else", "enum",
        "examples", "exclusiveMaximum", "exclusiveMinimum", "format", "if", "items", "maxContains",
        "maxItems", "maxLength", "maxProperties", "maximum", "minContains", "minItems", "minLength",
        "minProperties", "minimum", "multipleOf", "not", "oneOf", "pattern", "patternProperties",
        "prefixItems", "properties", "propertyNames", "readOnly", "required", "then", "title",
        "type", "unevaluatedItems", "unevaluatedProperties", "uniqueItems", "writeOnly",
    ]
)  # fmt: skip

_NAMED = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_LISTED = ("allOf", "anyOf", "oneOf", "prefixItems")
_SINGLE = (
    "items", "additionalProperties", "contains", "propertyNames", "not", "if", "then", "else",
    "unevaluatedItems", "unevaluatedProperties", "contentSchema",
)  # fmt: skip

SchemaPath = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class SchemaFault:
    """Something wrong, at a path within the schema or the answer."""

    path: SchemaPath
    message: str
    suggestion: str = ""
    rule: str = "bad-schema"
    at_key: bool = False


def faults(schema: Any) -> Iterator[SchemaFault]:
    """Everything that is wrong with a schema; what an expression computes is left out."""
    if not isinstance(schema, dict):
        return
    fixed = _without_expressions(schema)
    seen: set[SchemaPath] = set()
    for error in fitting.mistakes(fixed):
        fault = _meta_fault(error)
        if fault.path not in seen:
            seen.add(fault.path)
            yield fault
    for fault in _walk(fixed, (), fixed):
        if fault.path not in seen:
            yield fault


def misfits(answer: Any, schema: Mapping[str, Any]) -> Iterator[SchemaFault]:
    """Where an answer does not fit a schema; nothing for a schema that is itself wrong."""
    if any(faults(dict(schema))):
        return
    by_place: dict[SchemaPath, list[ValidationError]] = {}
    for error in fitting.misfits(answer, dict(schema)):
        by_place.setdefault(tuple(error.absolute_path), []).append(error)
    for path, errors in by_place.items():
        message = ", and ".join(_sentence(error) for error in errors)
        yield SchemaFault(path, message, next(filter(None, map(_near, errors)), ""))


def _meta_fault(error: ValidationError) -> SchemaFault:
    path = tuple(error.absolute_path)
    value = error.instance
    if "type" in path[-2:]:
        shown = json.dumps(value, default=str)
        known = ", ".join(TYPES)
        near = did_you_mean(value, TYPES).strip() if isinstance(value, str) else ""
        words = {"str": "string", "int": "integer", "float": "number", "bool": "boolean",
                 "dict": "object", "list": "array", "text": "string"}  # fmt: skip
        if isinstance(value, str) and value in words:
            near = f'did you mean "{words[value]}"?'
        return SchemaFault(path, f"{shown} is no type of JSON Schema", near or f"there is: {known}")
    key = next((part for part in reversed(path) if isinstance(part, str)), "a schema")
    message = _sentence(error)
    if path and path[-1] == key:
        message = f'"{key}" {message}'
    suggestion = ""
    if key == "required" and isinstance(value, bool):
        suggestion = "name the required properties beside properties: required: [a, b]"
    return SchemaFault(path, message, suggestion)


def _walk(schema: Any, path: SchemaPath, root: Any) -> Iterator[SchemaFault]:
    if not isinstance(schema, dict):
        return
    for key, value in schema.items():
        here = (*path, key)
        if key not in KEYWORDS:
            near = closest(key, KEYWORDS)
            if near:
                message = f'"{key}" is no keyword of JSON Schema and would do nothing'
                yield SchemaFault(here, message, f'did you mean "{near}"?', at_key=True)
        elif key == "$ref" and isinstance(value, str) and not _leads_somewhere(value, root):
            yield SchemaFault(here, f'"{value}" leads nowhere in this schema')
        elif key == "pattern" and isinstance(value, str):
            yield from _pattern(here, value)
        elif key == "required" and isinstance(value, list):
            yield from _required(schema, here, value)
        elif key in _NAMED and isinstance(value, dict):
            for name, item in value.items():
                yield from _walk(item, (*here, name), root)
        elif key in _LISTED and isinstance(value, list):
            for index, item in enumerate(value):
                yield from _walk(item, (*here, index), root)
        elif key in _SINGLE:
            yield from _walk(value, here, root)


def _required(schema: dict[str, Any], path: SchemaPath, names: list[Any]) -> Iterator[SchemaFault]:
    properties = schema.get("properties")
    if not isinstance(properties, dict) or schema.get("additionalProperties") is not False:
        return
    for index, name in enumerate(names):
        if isinstance(name, str) and name not in properties:
            message = f'"{name}" is required, but there is no such property'
            near = did_you_mean(name, properties).strip()
            yield SchemaFault((*path, index), message, near)


def _pattern(path: SchemaPath, pattern: str) -> Iterator[SchemaFault]:
    try:
        re.compile(pattern)
    except re.error as error:
        yield SchemaFault(path, f"not a regular expression: {error}", rule="bad-pattern")


def _leads_somewhere(reference: str, root: Any) -> bool:
    if not reference.startswith("#"):
        return False
    here = root
    for part in reference.removeprefix("#").split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(here, list) and name.isdigit() and int(name) < len(here):
            here = here[int(name)]
        elif isinstance(here, dict) and name in here:
            here = here[name]
        else:
            return False
    return isinstance(here, dict | bool)


_A_TYPE = {
    "string": "a string", "integer": "an integer", "number": "a number", "null": "null",
    "boolean": "true or false", "object": "a mapping", "array": "a list",
}  # fmt: skip


def _sentence(error: ValidationError) -> str:
    """jsonschema's message in our words, for what happens often."""
    value: Any = error.instance
    limit: Any = error.validator_value
    match error.validator:
        case "type":
            kinds = [limit] if isinstance(limit, str) else list(limit)
            names = " or ".join(_A_TYPE.get(kind, str(kind)) for kind in kinds)
            return f"must be {names}, not {describe(value)}"
        case "required":
            missing = [name for name in limit if name not in value]
            return "it lacks " + ", ".join(f'"{name}"' for name in missing)
        case "additionalProperties" if limit is False:
            known = error.schema.get("properties", {}) if isinstance(error.schema, Mapping) else {}
            extra = [name for name in value if name not in known]
            return "there is no property " + ", ".join(f'"{name}"' for name in extra)
        case "enum":
            return f"{json.dumps(value)} is not one of " + ", ".join(json.dumps(o) for o in limit)
        case "minimum":
            return f"must be {limit} or greater, not {json.dumps(value)}"
        case "maximum":
            return f"must be {limit} or less, not {json.dumps(value)}"
        case "maxLength":
            return f"has {len(value)} characters, {limit} are allowed"
        case "maxItems":
            return f"has {len(value)} entries, {limit} are allowed"
        case "minItems":
            return f"has {len(value)} entries, {limit} are needed"
        case "anyOf" | "oneOf" | "$ref" | "$dynamicRef":
            return f"{json.dumps(value, default=str)[:60]} does not fit"
    return str(error.message)


def _near(error: ValidationError) -> str:
    value: Any = error.instance
    limit: Any = error.validator_value
    if error.validator == "enum":
        return did_you_mean(str(value), map(str, limit)).strip()
    if error.validator == "additionalProperties" and isinstance(error.schema, Mapping):
        known = error.schema.get("properties", {})
        extra = next((name for name in value if name not in known), "")
        return did_you_mean(extra, known).strip()
    return ""


def _without_expressions(schema: Any) -> Any:
    """The schema with everything that is computed later left out."""
    if isinstance(schema, dict):
        return {k: _without_expressions(v) for k, v in schema.items() if not is_expression(v)}
    if isinstance(schema, list):
        return [_without_expressions(item) for item in schema if not is_expression(item)]
    return schema
