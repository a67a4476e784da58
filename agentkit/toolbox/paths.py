"""Where a path leads that a tool was given: one reading, for the check and for the opening."""

from __future__ import annotations

import os
from pathlib import Path

from agentkit.errors import ToolRetry


def full_path(folder: Path, path: Path | str) -> Path:
    """A path as it was given, in `folder` where it is relative.

    Raises `ToolRetry` for what cannot be a path.
    """
    try:
        if b"\0" in os.fsencode(path):
            raise ToolRetry("a path has no NUL character in it")
        return folder / Path(path).expanduser()
    except UnicodeEncodeError:
        raise ToolRetry(f"{str(path)!r} has half of a character in it") from None
    except RuntimeError:
        raise ToolRetry(f"{str(path)!r} names a user who is not known here") from None


def real_path(path: Path) -> Path:
    """With all links followed, as far as there is something; links in a circle stay as they are."""
    return Path(os.path.realpath(path))
