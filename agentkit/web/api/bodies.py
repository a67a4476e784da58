"""What requests have in common."""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict

DEEPEST = 50
"""Lists within lists: what is deeper is no data that a person had."""


def _proper(value: Any) -> Any:
    """JSON as the journal keeps it: whole characters, numbers that are some, not too deep."""
    try:
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError("has half of a character in it") from None
    if _depth(value) > DEEPEST:
        raise ValueError(f"is more than {DEEPEST} deep")
    return value


def _depth(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(_depth, inner), default=0)


Data = Annotated[dict[str, Any], AfterValidator(_proper)]
"""Names and values that become part of a run."""


def _absolute(path: str) -> str:
    if not path.startswith("/") or "\0" in path:
        raise ValueError("is no path from the root of this machine")
    return path


Place = Annotated[str, AfterValidator(_absolute)]
"""A file or folder of this machine, from its root."""


class Body(BaseModel):
    """A request with nothing in it that is not known."""

    model_config = ConfigDict(extra="forbid")
