"""What a call gave: data where the server gave data, text otherwise.

Pictures, sound and files stay where they are; a sentence says what was left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from agentkit.errors import ToolError, human_bytes
from agentkit.toolservers.plain import line, plain

if TYPE_CHECKING:
    from mcp.types import CallToolResult, ContentBlock

MAX_TEXT = 4_000_000
"""Characters of a result; of a longer text the rest is left out."""
MAX_CHECKED = 20_000
"""Characters of data that are checked: a server chooses both the data and the schema, and the check
of much by a bad one takes for ever."""
MAX_WORDS = 2000
"""Characters of an error."""


def value_of(result: CallToolResult, check: Draft202012Validator | None, said: str) -> Any:
    """Data or text.  `said` begins the sentence of an error.

    Raises `ToolError` for what the server calls an error, for data that is too large, or that does
    not fit what the server had said it would give.
    """
    if result.is_error:
        words = plain(_text(result), MAX_WORDS)
        raise ToolError(f"{said}: {words}" if words else f"{said} that it failed, and no more")
    if result.structured_content is None:
        if check is not None:
            raise ToolError(f"{said} that its result is data, and gave none")
        return _text(result)
    data = result.structured_content
    size = len(json.dumps(data, ensure_ascii=False))
    if size > MAX_TEXT:
        raise ToolError(f"{said} too much: {human_bytes(size)} of data")
    if size <= MAX_CHECKED:
        _check(data, check, said)
    return data


def _check(data: Any, check: Draft202012Validator | None, said: str) -> None:
    fault = best_match(check.iter_errors(data)) if check else None
    if fault is not None:
        place = ".".join(str(part) for part in fault.absolute_path)
        about = f"{line(place, 100)}: " if place else ""
        raise ToolError(
            f"{said} what does not fit the schema that it declared: {about}"
            f"{line(fault.message, 300)}",
            hint="it may have changed since it was asked for its tools: start again",
        )


def _text(result: CallToolResult) -> str:
    text = "\n".join(_pieces(result.content))
    if len(text) > MAX_TEXT:
        left = human_bytes(len(text) - MAX_TEXT)
        text = f"{text[:MAX_TEXT]}\n[{left} more were left out]"
    return text


def _pieces(blocks: list[ContentBlock]) -> Iterator[str]:
    for block in blocks:
        if block.type == "text":
            yield block.text
        elif block.type == "image" or block.type == "audio":
            kind = "a picture" if block.type == "image" else "a recording"
            yield f"[{kind} was left out: {_size(block.data)} of {line(block.mime_type, 60)}]"
        elif block.type == "resource_link":
            yield f"[a link: {line(block.name, 100)}, {line(block.uri, 500)}]"
        else:
            held = block.resource
            text = getattr(held, "text", None)
            if text is not None:
                yield text
            else:
                size = _size(getattr(held, "blob", ""))
                yield f"[a file was left out: {size}, {line(held.uri, 500)}]"


def _size(base64: str) -> str:
    return human_bytes(len(base64) * 3 // 4)
