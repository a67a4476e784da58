"""JSON Schemas as parts of a grammar, and what of them the grammar does not keep to.

An object of arguments that names its properties and does not speak of others gets no others: a
small model would go on inventing them, and most tokens of a closed object are forced.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

from agentkit.engine.conformance import check_schema, enforceable, in_one_line, unenforced
from agentkit.engine.grammar import STYLE
from agentkit.errors import UserError
from agentkit.messages import ToolSchema

COMBINED = frozenset("allOf anyOf oneOf not if then else $ref patternProperties".split())
"""Keywords that may speak of further properties elsewhere."""

Rule = tuple[str, tuple[str, ...]]
"""The body of a rule for one JSON value, and notes on what it does not enforce."""


def told(tool: ToolSchema) -> dict[str, Any]:
    """What a model is told of a tool, ready for JSON.  Raises `UserError` where it is not."""
    try:
        parameters = json.loads(json.dumps(tool.parameters, default=dict))
    except (TypeError, ValueError, RecursionError) as error:
        raise UserError(f"the parameters of the tool {tool.name!r} are not JSON: {error}") from None
    none = {"type": "object", "properties": {}}
    return {"name": tool.name, "description": tool.description, "parameters": parameters or none}


def answer_rule(schema: Mapping[str, Any]) -> Rule:
    """A schema as it stands.  Raises `UserError` for one that is not valid or has no grammar."""
    try:
        text = json.dumps(schema)
    except (TypeError, ValueError, RecursionError) as error:
        raise UserError(f"the schema is not valid: {error}") from None
    body, missing = _rule(text)
    return body, tuple(f"not enforced while decoding: {name}" for name in missing)


def arguments_rule(tool: ToolSchema) -> Rule:
    """The arguments of a tool; any object if its schema is of no use, which is noted.

    Tools come from many places, and one odd schema must not keep a model from using the others.
    """
    bound = replace(tool, parameters=tool.allowed) if tool.allowed else tool
    schema = {"type": "object", **told(bound)["parameters"]}
    try:
        body, missing = _rule(json.dumps(closed(schema)))
    except UserError as error:
        body, missing = _rule('{"type": "object"}')[0], (str(error),)
    where = f"not enforced while decoding, in the arguments of {tool.name!r}"
    return body, tuple(f"{where}: {name}" for name in missing)


def closed(schema: Any) -> Any:
    """A schema whose plain objects have no other properties than those they name."""
    if not isinstance(schema, Mapping):
        return schema
    copy = dict(schema)
    if isinstance(copy.get("properties"), Mapping):
        copy["properties"] = {name: closed(part) for name, part in copy["properties"].items()}
        if not COMBINED & copy.keys():
            copy.setdefault("additionalProperties", False)
    if isinstance(copy.get("items"), Mapping):
        copy["items"] = closed(copy["items"])
    return copy


@lru_cache(maxsize=256)
def _rule(schema: str) -> Rule:
    from llguidance import LLMatcher

    check_schema(schema)
    style = {**STYLE, "lenient": True}
    body = f"%json {json.dumps({**json.loads(enforceable(schema)), 'x-guidance': style})}"
    refused, messages = LLMatcher.validate_grammar_with_warnings(f"start: {body}")
    if refused:
        raise UserError(f"the schema cannot be enforced: {in_one_line(messages[0])}")
    return body, unenforced(schema, messages)
