"""A line as tools show it: the name of its file and its number may stand in front."""

from __future__ import annotations

import re

_PLACE = re.compile(r"([^\s:]+):\d+:\s*")


def placed(line: str) -> tuple[str, str]:
    """The file that is named in front of a line, or an empty text; and the line by itself."""
    found = _PLACE.match(line)
    return (found[1], line[found.end() :]) if found else ("", line)
