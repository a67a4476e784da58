"""Keep a text in memory, where `memory_search` finds it, also in later runs.

Memory belongs to agentkit, not to the world beyond it, so that this declares no effect; settings
can ask about it by name: `tools: {memory_save: ask}`.  What has no source is signed by the run.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from agentkit import ToolContext, tool
from agentkit.errors import ToolRetry, UserError


@tool
def memory_save(
    text: str, source: Annotated[str, Field(max_length=200)] = "", *, context: ToolContext
) -> dict[str, str]:
    """Save a fact or note to remember later.

    Args:
        text: The fact, as a sentence that can be understood alone.
        source: Where it is from, such as a URL or a file.
    """
    if not text.strip():
        raise ToolRetry("text is empty: write what should be remembered")
    try:
        return {"id": context.memory.save(text.strip(), source=source.strip())}
    except UserError as error:
        raise ToolRetry(f"{error}; save facts one by one, and long texts with write_file") from None
