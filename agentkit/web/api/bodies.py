"""What requests have in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Body(BaseModel):
    """A request with nothing in it that is not known."""

    model_config = ConfigDict(extra="forbid")
