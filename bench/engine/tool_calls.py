"""A form is filled in twenty times: entries of a calendar, from what people say.

Keys, quotes and commas are known beforehand; only what is left has to be written by the model.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from typing import Any

import jsonschema

from agentkit.messages import ChatRequest, JsonSchema, Message
from bench.engine import texts
from bench.engine.measure import Bench, Outcome, Row, compare, one_by_one

TITLE = "20 JSON tool calls of one shape"

CALL: dict[str, Any] = {
    "type": "object",
    "properties": {
        "tool": {"const": "add_event"},
        "arguments": {
            "type": "object",
            "properties": {
                "title": {"type": "string", "maxLength": 60},
                "date": {"type": "string", "pattern": "^2025-[0-9]{2}-[0-9]{2}$"},
                "start": {"type": "string", "pattern": "^[0-9]{2}:[0-9]{2}$"},
                "minutes": {"type": "integer", "minimum": 0, "maximum": 1440},
                "place": {"type": "string", "maxLength": 40},
                "people": {
                    "type": "array",
                    "items": {"type": "string", "maxLength": 30},
                    "maxItems": 6,
                },
                "remind_minutes_before": {"type": "integer", "minimum": 0, "maximum": 10080},
            },
            "required": [
                *("title", "date", "start", "minutes"),
                *("place", "people", "remind_minutes_before"),
            ],
            "additionalProperties": False,
        },
    },
    "required": ["tool", "arguments"],
    "additionalProperties": False,
}


def run(bench: Bench) -> list[Row]:
    """Seconds for all calls, one after the other."""
    system = Message("system", texts.text("add_event.md"))
    requests = [
        ChatRequest(
            (system, Message("user", said)),
            max_tokens=160,
            constraint=JsonSchema(CALL),
        )
        for said in texts.lines("requests.txt")
    ]
    setup = bench.setup(context=4 * 1024, slots=4)
    ours, server = bench.alternate(setup, partial(one_by_one, requests=requests))
    return [compare(TITLE, ours, server, limit=0.6, notes=quality(ours[-1], server[-1]))]


def quality(ours: Outcome, theirs: Outcome) -> Sequence[str]:
    """Speed that costs quality would be none: what is valid, and what is the same."""
    mine, other = calls(ours), calls(theirs)
    both = len(mine)
    same = sum(one is not None and one == two for one, two in zip(mine, other, strict=True))
    share = ours.total("forced") / ours.total("written")
    return (
        f"forced {share:.0%} of our tokens",
        f"valid {both - mine.count(None)} / {both - other.count(None)} of {both}, "
        f"the same on both sides {same}",
    )


def calls(outcome: Outcome) -> list[Any]:
    """The calls as values; None in place of those that do not fit the schema."""
    return [parsed(reply.text) for reply in outcome.replies]


def parsed(text: str) -> Any:
    """A call as a value, or None."""
    try:
        value = json.loads(text)
        jsonschema.validate(value, CALL)
    except (ValueError, jsonschema.ValidationError):
        return None
    return value
