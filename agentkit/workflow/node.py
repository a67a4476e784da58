"""What all parts of a workflow file have in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict
from pydantic_core import PydanticCustomError


def problem(rule: str, message: str, suggestion: str = "") -> PydanticCustomError:
    """A fault that pydantic reports with the place, and `check` with a rule and a way out."""
    context = {"suggestion": suggestion} if suggestion else None
    return PydanticCustomError(rule, message, context)


class Node(BaseModel):
    """Base: unknown keys are errors, values are not bent into other types."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        populate_by_name=True,
        frozen=True,
        defer_build=True,  # with the model that is validated: most are part of another one
    )
