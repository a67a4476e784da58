"""Somebody else's words, without what a terminal or a model would obey.

Control characters move cursors; marks of direction, tags and zero widths hide text from people that
models read.  Neither has a place in a name, a description or an error.
"""

from __future__ import annotations

import unicodedata

UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn"}
"""Categories of characters that draw nothing."""


def plain(text: str, limit: int) -> str:
    """A text of at most `limit` characters in which all that is there can be seen."""
    text = text[: 4 * limit]  # what follows goes through it character by character
    seen = "".join(c for c in text if c in "\n\t" or unicodedata.category(c) not in UNSEEN)
    seen = seen.strip()
    return seen if len(seen) <= limit else seen[: limit - 1] + "…"


def line(text: str, limit: int) -> str:
    """The same on one line."""
    return plain(" ".join(text[: 4 * limit].split()), limit)
