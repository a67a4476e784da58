"""What is kept for later."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from agentkit.errors import ToolRetry

Call = Callable[..., Any]


def test_a_text_is_kept_with_its_source(call: Call, context: Any) -> None:
    saved = call("memory_save", text=" The hall costs 80 euros.\n", source="offer.pdf")

    assert saved == {"id": "m0"}
    assert context.memory.entries == [("The hall costs 80 euros.", "offer.pdf")]


def test_the_same_text_is_kept_once(call: Call, context: Any) -> None:
    first = call("memory_save", text="The hall is free.")

    assert call("memory_save", text="The hall is free.") == first
    assert len(context.memory.entries) == 1


@pytest.mark.parametrize(
    ("text", "hint"),
    [(" \n", "text is empty"), ("x" * 1001, "too long for a note.*save facts one by one")],
)
def test_what_is_no_note_is_not_kept(call: Call, context: Any, text: str, hint: str) -> None:
    with pytest.raises(ToolRetry, match=hint):
        call("memory_save", text=text)
    assert context.memory.entries == []
