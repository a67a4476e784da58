"""Pictures that models see: what they are is told by how they begin, not by what somebody says."""

from __future__ import annotations

import re

from agentkit.messages import Image

KINDS = {
    "image/png": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "image/jpeg": re.compile(rb"\xff\xd8\xff"),
    "image/gif": re.compile(rb"GIF8[79]a"),
    "image/webp": re.compile(rb"RIFF....WEBP", re.DOTALL),
}
"""How files begin that servers take."""

KNOWN = ", ".join(kind.removeprefix("image/").upper() for kind in KINDS)

MOST_BYTES = 20_000_000
"""Of a picture; servers take no larger ones."""


def picture(data: bytes) -> Image | None:
    """What a file is, if models see it."""
    kind = next((kind for kind, begins in KINDS.items() if begins.match(data)), None)
    return None if kind is None else Image(data, kind)
