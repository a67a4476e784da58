"""What was kept is found again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from agentkit.errors import InvalidInput, ToolRetry

Call = Callable[..., Any]


def test_the_nearest_comes_first_with_its_source(call: Call, context: Any) -> None:
    context.memory.entries = [("a red door", ""), ("the blue door opens", "house.md")]

    assert call("memory_search", query=" blue door ") == (
        "the blue door opens\n[from house.md]\n\na red door\n[from an unknown source]"
    )


def test_no_more_than_asked_for(call: Call, context: Any) -> None:
    context.memory.entries = [(f"door {n}", "a") for n in range(9)]

    found = call("memory_search", query="door", limit=2).split("\n\n")
    assert found == ["door 0\n[from a]", "door 1\n[from a]"]
    assert len(call("memory_search", query="door").split("\n\n")) == 5


def test_nothing_is_said_to_be_nothing(call: Call) -> None:
    assert call("memory_search", query="doors") == "memory has nothing about 'doors'"


def test_a_query_that_asks_nothing(call: Call) -> None:
    with pytest.raises(ToolRetry, match="query is empty"):
        call("memory_search", query=" ")


@pytest.mark.parametrize("limit", [0, 51])
def test_the_limit_has_limits(call: Call, limit: int) -> None:
    with pytest.raises(InvalidInput, match="limit"):
        call("memory_search", query="door", limit=limit)
