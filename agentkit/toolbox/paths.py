"""Where a path leads that a tool was given: one reading, for the check and for the opening."""

from __future__ import annotations

import os
from pathlib import Path

from agentkit.errors import ToolRetry

LONGEST = 4000
"""Bytes; Linux takes no path of 4096 at once."""


def full_path(folder: Path, path: Path | str) -> Path:
    """A path as it was given, in `folder` where it is relative.

    Raises `ToolRetry` for what cannot be a path.
    """
    try:
        raw = os.fsencode(path)
        full = folder / Path(path).expanduser()
    except UnicodeEncodeError:
        raise ToolRetry(f"{str(path)!r} has half of a character in it") from None
    except RuntimeError:
        raise ToolRetry(f"{str(path)!r} names a user who is not known here") from None
    if b"\0" in raw:
        raise ToolRetry("a path has no NUL character in it")
    if len(os.fsencode(full)) > LONGEST:
        raise ToolRetry(f"'{str(path)[:60]}...' is longer than a path can be")
    return full


def real_path(path: Path) -> Path:
    """With all links followed, as far as there is something; links in a circle stay as they are.

    Raises `ToolRetry` for a link that goes while it is followed.
    """
    try:
        return Path(os.path.realpath(path))
    except OSError:
        raise ToolRetry(f"{str(path)!r} has changed while it was looked at") from None
