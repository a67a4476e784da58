"""How long: `250ms`, `30s`, `5m`, `1h30m`, `2d`.

A bare number is refused: n8n means milliseconds by it, Dagu seconds, and GitHub minutes.
"""

from __future__ import annotations

import re

UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
"""In seconds."""

_PART = r"\d+(?:\.\d+)?(?:ms|s|m|h|d)"
PATTERN = rf"({_PART})+"
LONGEST = 366 * UNITS["d"]


def parse(text: str) -> float:
    """The duration in seconds.  Raises `ValueError` with a sentence."""
    written = "".join(text.split())
    if not re.fullmatch(PATTERN, written):
        raise ValueError(f"{text!r} is no duration: a number has a unit")
    parts = re.findall(r"([\d.]+)(ms|s|m|h|d)", written)
    total = sum(float(number) * UNITS[unit] for number, unit in parts)
    if total > LONGEST:
        raise ValueError(f"{text} is longer than a year")
    return total


def shown(length: float) -> str:
    """A number of seconds as a person would write it."""
    if length < 1:
        return f"{length * 1000:.0f} ms"
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if length >= size and length % size == 0:
            return f"{length / size:.0f} {unit}"
    return f"{length:g} s"
