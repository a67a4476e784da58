"""Page through the result of a tool that was too long to be shown whole.

Where such results lie and how long a page is, `agentkit.toolbox.output` says, which cuts them.
They are files of the run that tools gave to this model before, so reading them is no new effect.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from agentkit import ToolContext, tool
from agentkit.errors import ToolRetry, closest
from agentkit.toolbox.output import page as page_of


@tool
def read_more(
    id: Annotated[str, Field(max_length=20)], page: int = 1, *, context: ToolContext
) -> str:
    """Read the next page of a tool result that was cut.

    Args:
        id: As the cut result says it.
        page: From 1.
    """
    kept = sorted(path.stem for path in context.outputs.glob("*.txt"))
    if id not in kept:
        raise ToolRetry(_unknown(id, kept))
    text = context.files.read(context.outputs / f"{id}.txt").decode("utf-8", "replace")
    try:
        return page_of(text, page)
    except IndexError as error:
        pages = error.args[0]
        raise ToolRetry(f"{id} has the pages 1 to {pages}; there is no page {page}") from None


def _unknown(id: str, kept: list[str]) -> str:
    if not kept:
        return "no result was cut in this run: what you saw of it is all of it"
    near = closest(id, kept)
    told = f"did you mean {near!r}?" if near else f"there are: {', '.join(kept[-20:])}"
    return f"no result has the id {id!r}; {told}"
