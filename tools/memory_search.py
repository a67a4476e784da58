"""Find in memory what was saved before, in this run or an earlier one.

Memory belongs to agentkit, not to the world beyond it, so that this declares no effect; settings
can ask about it by name: `tools: {memory_search: ask}`.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from agentkit import ToolContext, tool
from agentkit.errors import ToolRetry

UNKNOWN = "an unknown source"


@tool
def memory_search(
    query: str, limit: Annotated[int, Field(ge=1, le=50)] = 5, *, context: ToolContext
) -> str:
    """Find saved notes by their meaning.

    Args:
        query: What to look for.
        limit: How many notes at most.
    """
    if not query.strip():
        raise ToolRetry("query is empty: write a few words about what you look for")
    found = context.memory.search(query.strip(), limit=limit)
    if not found:
        return f"memory has nothing about {query.strip()!r}"
    return "\n\n".join(f"{entry.text}\n[from {entry.source or UNKNOWN}]" for entry in found)
