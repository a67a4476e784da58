"""Durations in a workflow file."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

from agentkit.durations import PATTERN, parse
from agentkit.workflow.node import problem


def seconds(text: Any) -> float:
    """The duration in seconds.  Raises pydantic's error for what is none."""
    bare = isinstance(text, int | float) and not isinstance(text, bool)
    try:
        if not isinstance(text, str):
            raise ValueError(f"{text!r} is no duration: a number has a unit")
        return parse(text)
    except ValueError as error:
        hint = f'did you mean "{text:g}s"?' if bare else 'write it as "30s", "5m", "1h30m" or "2d"'
        raise problem("bad-duration", str(error), hint) from None


DURATION = {"type": "string", "pattern": f"^{PATTERN}$"}
"""In the words of JSON Schema."""

Duration = Annotated[float, BeforeValidator(seconds), WithJsonSchema(DURATION)]
"""Seconds, written as `30s`."""
