"""Write a file into the run's own folder, where it is kept as a result of the run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from agentkit import ToolContext, tool
from agentkit.errors import ToolError


@tool(effects=("writes",))
def write_file(path: str, content: str, *, context: ToolContext) -> dict[str, Any]:
    """Write text to a file in the folder of the run.

    Args:
        path: Where, relative to that folder.
        content: The text.
    """
    folder = context.folder.resolve()
    target = (folder / path).resolve()
    if not target.is_relative_to(folder) or target == folder:
        raise ToolError(f"{path!r} leads out of the folder of the run: give a relative path in it")
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.with_name(target.name + ".part")
    aside.write_text(content, encoding="utf-8")
    aside.replace(target)
    context.artifact(target)
    return {"path": str(Path(path)), "bytes": target.stat().st_size}
