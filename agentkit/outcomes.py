"""What can come of a tool call: four verdicts, and nothing else.

A tool gives back a value, or raises `ToolRetry` (with a hint that makes the next try better),
`ToolError` (a fact that trying again does not change); whether it may run at all is decided before.
"""

from __future__ import annotations

from dataclasses import field
from typing import Any, Literal

from agentkit.errors import AgentkitError
from agentkit.values import dataclass

Status = Literal["returned", "retry", "failed", "needs_approval"]


@dataclass(frozen=True, slots=True)
class Returned:
    """The tool did what it was asked; `value` is plain data, `made` whether it left files."""

    value: Any
    made: bool = field(default=False, compare=False)
    status: Status = "returned"


@dataclass(frozen=True, slots=True)
class Retry:
    """It did not, and the hint says what to do better: a name, an argument, another moment."""

    hint: str
    status: Status = "retry"


@dataclass(frozen=True, slots=True)
class Failed:
    """It did not, and asking again will not help; `cause` is the error behind it, if any."""

    reason: str
    cause: AgentkitError | None = None
    status: Status = "failed"


@dataclass(frozen=True, slots=True)
class NeedsApproval:
    """A person has to allow it first: `request` is the id of the question that is on record."""

    request: str
    reason: str
    status: Status = "needs_approval"


Outcome = Returned | Retry | Failed | NeedsApproval
