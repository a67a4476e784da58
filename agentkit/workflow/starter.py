"""The workflow that `agentkit new` writes."""

from __future__ import annotations

import re
from pathlib import Path

_TEXT = Path(__file__).with_name("starter.yaml")


def text(name: str, file: str) -> str:
    """It, under a name, and with commands for the file that it goes into."""
    named = re.sub(r"\bNAME\b", name, _TEXT.read_text("utf-8"), count=2)
    return re.sub(r"\bFILE\b", lambda _: file, named)
