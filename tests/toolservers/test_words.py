"""Somebody else's words and results, as they are shown."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from mcp.types import CallToolResult

from agentkit.errors import ToolError
from agentkit.toolservers.offered import Listed, mended, read
from agentkit.toolservers.plain import line, plain
from agentkit.toolservers.results import value_of


def test_what_cannot_be_seen_is_left_out() -> None:
    assert (
        plain("  a\x00\x1b[31mb\x7f\u202ec\u200bd\ufeff\U000e0041e\r\n\tf  ", 100)
        == "a[31mbcde\n\tf"
    )
    assert plain("Grüße, 世界, 🙂", 100) == "Grüße, 世界, 🙂"


def test_what_is_long_ends_with_a_sign() -> None:
    assert plain("x" * 100, 10) == "xxxxxxxxx…"
    assert line("two\nlines  and\tmore", 100) == "two lines and more"


def told(**given: Any) -> Any:
    result = CallToolResult.model_validate({"content": [], **given})
    return value_of(result, None, "the server 'x' says")


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def test_texts_are_joined_and_data_is_kept() -> None:
    assert told(content=[text("one"), text("two")]) == "one\ntwo"
    assert told() == ""
    assert told(content=[text("as text")], structuredContent={"a": [1]}) == {"a": [1]}


def test_of_what_is_no_text_a_sentence_is_left() -> None:
    data = base64.b64encode(b"x" * 30_000).decode()
    blob = {"uri": "file:///a.bin", "blob": data}
    assert told(content=[
        {"type": "image", "data": data, "mimeType": "image/png"},
        {"type": "audio", "data": data, "mimeType": "audio/wav\x1b[2J"},
        {"type": "resource", "resource": blob},
        {"type": "resource", "resource": {"uri": "file:///a.txt", "text": "all of it"}},
        {"type": "resource_link", "name": "a file", "uri": "file:///b.txt"},
    ]).splitlines() == [
        "[a picture was left out: 30 kB of image/png]",
        "[a recording was left out: 30 kB of audio/wav[2J]",
        "[a file was left out: 30 kB, file:///a.bin]",
        "all of it",
        "[a link: a file, file:///b.txt]",
    ]  # fmt: skip


def test_an_error_is_raised_with_its_words() -> None:
    with pytest.raises(ToolError, match=r"^the server 'x' says: no such file$"):
        told(isError=True, content=[text("no such\x1b file")])
    with pytest.raises(ToolError, match="says that it failed, and no more"):
        told(isError=True)
    with pytest.raises(ToolError) as caught:
        told(isError=True, content=[text("no " * 10_000)])
    assert len(str(caught.value)) < 2100


def test_too_much_is_cut_or_refused() -> None:
    long = told(content=[text("x" * 5_000_000)])
    assert long.endswith("x\n[1 MB more were left out]")
    assert len(long) < 4_000_100
    with pytest.raises(ToolError, match="says too much: 5 MB of data"):
        told(structuredContent={"a": "x" * 5_000_000})


def test_of_a_list_what_is_no_tool_is_taken_out() -> None:
    good = {"name": "good", "inputSchema": {"type": "object"}}
    kept, refused = mended([
        good | {"annotations": 5, "icons": "no", "_meta": [], "title": 3, "description": None},
        good | {"outputSchema": {"type": "string"}},
        {"name": "bare"},
        {"name": "list\x1b", "inputSchema": {"type": "array"}},
        {"inputSchema": {"type": "object"}},
        "good",
        None,
    ])  # fmt: skip
    assert kept == [good, good]
    assert refused == {
        "bare": "has a schema that describes no object",
        "list": "has a schema that describes no object",
        "?": "is a tool without a name",
    }


def test_an_empty_list_offers_nothing() -> None:
    assert read(Listed([], {}, more=False)).tools == ()
