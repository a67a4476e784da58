"""JSON Schemas as parts of a grammar: as strictly as llguidance can, and it is said where it can't.

An object that names its properties and does not speak of others gets no others: a small model
would go on inventing them, and most tokens of a closed object are forced.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from agentkit.engine.grammar import STYLE
from agentkit.errors import UserError

COMBINED = frozenset("allOf anyOf oneOf not if then else $ref patternProperties".split())
"""Keywords that may speak of further properties elsewhere."""


def json_rule(schema: Mapping[str, Any], what: str) -> tuple[str, tuple[str, ...]]:
    """The body of a rule for one JSON value, and notes on what it cannot enforce.

    `what` names the schema in errors and notes.  Raises `UserError` for what is no JSON.
    """
    try:
        text = json.dumps(closed(schema))
    except (TypeError, ValueError, RecursionError) as error:
        raise UserError(f"the schema of {what} is not valid: {error}") from None
    body, faults = _enforceable(text)
    return body, tuple(f"{what}: {fault}" for fault in faults)


def closed(schema: Any) -> Any:
    """A schema whose plain objects have no other properties than those they name."""
    if not isinstance(schema, Mapping):
        return schema
    copy = dict(schema)
    properties = copy.get("properties")
    if isinstance(properties, Mapping):
        copy["properties"] = {name: closed(value) for name, value in properties.items()}
        if "additionalProperties" not in copy and not COMBINED & copy.keys():
            copy["additionalProperties"] = False
    if isinstance(copy.get("items"), Mapping):
        copy["items"] = closed(copy["items"])
    return copy


@lru_cache(maxsize=256)
def _enforceable(schema: str) -> tuple[str, tuple[str, ...]]:
    """Strictly, else without the keywords that llguidance lacks, else any value of the type."""
    strict = {**json.loads(schema), "x-guidance": STYLE}
    refused, faults = _validate(strict)
    if not refused:
        return _body(strict), ()
    lenient = {**strict, "x-guidance": {**STYLE, "lenient": True}}
    refused, ignored = _validate(lenient)
    if not refused:
        return _body(lenient), tuple(f"not enforced while decoding: {fault}" for fault in ignored)
    kind = {"type": strict["type"]} if strict.get("type") == "object" else {}
    anything = {**kind, "x-guidance": STYLE}
    return _body(anything), (f"not enforced while decoding: {faults[0].splitlines()[0]}",)


def _body(schema: Mapping[str, Any]) -> str:
    return f"%json {json.dumps(schema)}"


def _validate(schema: Mapping[str, Any]) -> tuple[bool, list[str]]:
    from llguidance import LLMatcher

    refused, messages = LLMatcher.validate_grammar_with_warnings(f"start: {_body(schema)}")
    return bool(refused), list(messages)
