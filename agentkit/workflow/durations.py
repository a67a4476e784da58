"""How long: `250ms`, `30s`, `5m`, `1h30m`, `2d`.

A bare number is refused: n8n means milliseconds by it, Dagu seconds, and GitHub minutes.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

from agentkit.workflow.node import problem

UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
"""In seconds."""

_PART = r"\d+(?:\.\d+)?(?:ms|s|m|h|d)"
PATTERN = rf"({_PART})+"
LONGEST = 366 * UNITS["d"]


def seconds(text: Any) -> float:
    """The duration in seconds.  Raises pydantic's error for what is none."""
    if isinstance(text, str):
        written = "".join(text.split())
        if re.fullmatch(PATTERN, written):
            parts = re.findall(r"([\d.]+)(ms|s|m|h|d)", written)
            total = sum(float(number) * UNITS[unit] for number, unit in parts)
            if total <= LONGEST:
                return total
            raise problem("bad-duration", f"{text} is longer than a year")
    bare = isinstance(text, int | float) and not isinstance(text, bool)
    hint = f'did you mean "{text:g}s"?' if bare else 'write it as "30s", "5m", "1h30m" or "2d"'
    raise problem("bad-duration", f"{text!r} is no duration: a number has a unit", hint)


def shown(length: float) -> str:
    """A number of seconds as a person would write it."""
    if length < 1:
        return f"{length * 1000:.0f} ms"
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if length >= size and length % size == 0:
            return f"{length / size:.0f} {unit}"
    return f"{length:g} s"


Duration = Annotated[
    float,
    BeforeValidator(seconds),
    WithJsonSchema({"type": "string", "pattern": f"^{PATTERN}$"}),
]
"""Seconds, written as `30s`."""
