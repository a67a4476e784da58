"""Write a text file as a whole.  In the folder of the run it is kept as a result of the run."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from agentkit import ToolContext, tool
from agentkit.errors import ToolRetry
from agentkit.permissions import WritePath


@tool(effects=("writes",))
def write_file(path: WritePath, content: str, *, context: ToolContext) -> dict[str, Any]:
    """Write a new text file, or replace a whole one.

    Args:
        path: The file; missing folders are made.
        content: The whole text.
    """
    with suppress(OSError):  # a name that cannot be: writing says why
        if (context.folder / path.expanduser()).is_dir():
            inside = str(path / "NAME.txt")
            raise ToolRetry(f"{str(path)!r} is a folder: name a file in it, such as {inside!r}")
    try:
        written = content.encode("utf-8")
    except UnicodeEncodeError as error:
        half = content[error.start].encode("ascii", "backslashreplace").decode()
        raise ToolRetry(f"{half} in content is half of a character: write it whole") from None
    target = context.files.write(path, written)
    return {"path": _shown(target, context), "bytes": len(written)}


def _shown(target: Path, context: ToolContext) -> str:
    """Relative to the folder of the run, as the next call names it best."""
    folder = context.folder.resolve()
    return str(target.relative_to(folder) if target.is_relative_to(folder) else target)
