"""How answers look that are not models of pydantic, for /openapi.json: their outermost fields.

Answers are written by hand, since a chunk of a stream has to be quick; what stands in their fields
is as in OpenAI's own description, and the official client is what the tests read it with.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Schema = Mapping[str, Any]

TEXT: Schema = {"type": "string"}
MAYBE_TEXT: Schema = {"type": ["string", "null"]}
NUMBER: Schema = {"type": "number"}
WHOLE: Schema = {"type": "integer"}
OBJECT: Schema = {"type": "object"}
MAYBE_OBJECT: Schema = {"type": ["object", "null"]}
OBJECTS: Schema = {"type": "array", "items": OBJECT}
BOOLEAN: Schema = {"type": "boolean"}


def _completion(kind: str) -> dict[str, Schema]:
    return {
        "id": TEXT,
        "object": {"const": kind},
        "created": WHOLE,
        "model": TEXT,
        "system_fingerprint": TEXT,
        "choices": OBJECTS,
        "usage": OBJECT,
    }


CHAT = _completion("chat.completion")
COMPLETION = _completion("text_completion")
RESPONSE: dict[str, Schema] = {
    "id": TEXT,
    "object": {"const": "response"},
    "created_at": WHOLE,
    "completed_at": WHOLE,
    "status": {"enum": ["completed", "incomplete"]},
    "error": {"type": "null"},
    "incomplete_details": MAYBE_OBJECT,
    "model": TEXT,
    "output": OBJECTS,
    "usage": OBJECT,
    "instructions": MAYBE_TEXT,
    "max_output_tokens": {"type": ["integer", "null"]},
    "metadata": OBJECT,
    "parallel_tool_calls": BOOLEAN,
    "previous_response_id": {"type": "null"},
    "reasoning": OBJECT,
    "store": {"const": False},
    "temperature": NUMBER,
    "text": OBJECT,
    "tool_choice": {"type": ["string", "object"]},
    "tools": OBJECTS,
    "top_logprobs": WHOLE,
    "top_p": NUMBER,
    "truncation": TEXT,
    "user": MAYBE_TEXT,
}
TRANSCRIPT: dict[str, Schema] = {
    "text": TEXT,
    "usage": OBJECT,
    "task": {"const": "transcribe"},
    "language": TEXT,
    "duration": NUMBER,
    "segments": OBJECTS,
    "words": OBJECTS,
}
OF_EACH = ("text", "usage")
"""What every transcript in JSON has; the rest is of `verbose_json`."""


def answers(fields: Mapping[str, Schema], *others: str, always: tuple[str, ...] = ()) -> Any:
    """What an operation answers: these fields, or a text of one of the `others` kinds.

    `always`: those that are there in any case; all, where nothing is said.
    """
    shape = {"type": "object", "properties": fields, "required": list(always or fields)}
    kinds = {"application/json": {"schema": shape}} | {key: {"schema": TEXT} for key in others}
    return {"200": {"content": kinds}}


STREAM = "text/event-stream"
