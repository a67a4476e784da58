"""What happens in a run, as frozen values.

Events are the only output of the core.  Terminal, journal, log and (later) web page subscribe to
one stream; a subscriber is called in order and before the run goes on, so what the journal has
written is never behind what the run has done.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from agentkit.messages import Usage

RunStatus = Literal["running", "succeeded", "failed", "cancelled", "parked"]
StepStatus = Literal["running", "succeeded", "failed", "skipped", "cancelled", "parked"]
CallStatus = Literal["running", "returned", "retry", "failed", "needs_approval", "cancelled"]


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Base: which run, and when (UTC)."""

    run: str
    time: datetime = field(default_factory=_now)

    @property
    def kind(self) -> str:
        """The name of the event, as the journal stores it."""
        return type(self).__name__

    def details(self) -> dict[str, Any]:
        """Everything but run and time, as plain data."""
        return {k: v for k, v in asdict(self).items() if k not in ("run", "time")}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted(Event):
    """`definition` is the text of the workflow file as it was when the run started."""

    workflow: str
    source: str
    definition: str
    inputs: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResumed(Event):
    """A run that ended early goes on; steps that were finished are not done again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepEvent(Event):
    """Base of what happens to one step; `item` is the position in a `foreach`, from 0, or None."""

    step: str
    item: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeachStarted(StepEvent):
    """A `foreach` knows now how many items it has."""

    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StepStarted(StepEvent):
    """`inputs` are the rendered arguments: of a tool its `with`, of a prompt the whole request."""

    action: str
    inputs: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepProgress(StepEvent):
    """How far a long step is; `total` None when the end is not known."""

    done: float
    total: float | None
    unit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StepWarned(StepEvent):
    """Something a reader of the result should know."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactMade(StepEvent):
    """A file that the run made."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCalled(StepEvent):
    """A tool is about to be called; `arguments` as they were given, text where a model wrote it."""

    call: str
    tool: str
    arguments: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolReturned(StepEvent):
    """A call ended: `outcome` is its value, or a sentence; `size` in bytes of JSON."""

    call: str
    tool: str
    status: CallStatus
    seconds: float
    size: int
    outcome: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFinished(StepEvent):
    """A step, one item of a `foreach`, or (with `item` None) the `foreach` as a whole."""

    outputs: Any
    seconds: float
    usage: Usage | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepSkipped(StepEvent):
    """Its `if` was false."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFailed(StepEvent):
    """`status` tells a failure from a cancel, and from a step that waits for a person's answer.

    `detail` is for a developer, maybe a traceback.
    """

    error: str
    seconds: float
    status: Literal["failed", "cancelled", "parked"] = "failed"
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFinished(Event):
    """The one recorded outcome of a run."""

    status: RunStatus
    outputs: Mapping[str, Any]
    seconds: float
    usage: Usage
    error: str = ""
