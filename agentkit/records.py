"""What the journal remembers of a run, as frozen values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from datetime import datetime
from functools import cached_property
from typing import Any, Literal

from agentkit.errors import human_bytes
from agentkit.events import AgentEvent, CallStatus, RunStatus, StepStatus
from agentkit.messages import Usage
from agentkit.values import dataclass


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One run; `usage` is the sum over its steps.  Times are UTC."""

    id: str
    workflow: str
    source: str
    status: RunStatus
    started: datetime
    finished: datetime | None
    inputs: dict[str, Any]
    outputs: dict[str, Any] | None
    error: str
    usage: Usage | None
    parent: str = ""
    """The run that it belongs to, if it belongs to one."""

    @property
    def seconds(self) -> float | None:
        """How long it took, None while it has not ended."""
        return (self.finished - self.started).total_seconds() if self.finished else None


@dataclass(frozen=True, slots=True)
class StepRecord:
    """One step, or one item of a `foreach` (`key` is its position as text, empty for the step)."""

    step: str
    key: str
    action: str
    status: StepStatus
    started: datetime
    finished: datetime | None
    inputs: Any
    outputs: Any
    error: str
    usage: Usage | None

    @property
    def seconds(self) -> float | None:
        """How long it took, None while it has not ended."""
        return (self.finished - self.started).total_seconds() if self.finished else None


STORED = "step-outputs"
"""Where values lie that are too large for the journal, in the folder of their run."""


class Stored(dict[str, Any]):
    """A large value that is a file of its run: `file` (its path there), `size` and `sha256`."""

    def __str__(self) -> str:
        return f"{human_bytes(self['size'])} in {self['file']}"


@dataclass(frozen=True)
class Later:
    """A value that is read when somebody asks for it."""

    read: Callable[[], Any]

    @cached_property
    def value(self) -> Any:
        """It; raises what reading raises."""
        return self.read()


@dataclass(frozen=True, slots=True)
class Settled:
    """What came of a step, for those that come after it; large `outputs` may come `Later`."""

    status: StepStatus
    outputs: Any
    error: str = ""

    @property
    def given(self) -> Any:
        """The outputs, now."""
        return self.outputs.value if isinstance(self.outputs, Later) else self.outputs


@dataclass(frozen=True, slots=True)
class Past:
    """What an earlier part of the same run left, by step and key of the item.

    `deaths` counts how often in a row the process died while a step was at work and came no
    further.  `ending` is why the run was cancelled, if it died while it did what always follows.
    """

    settled: Mapping[tuple[str, str], Settled] = field(default_factory=dict)
    deaths: Mapping[tuple[str, str], int] = field(default_factory=dict)
    began: datetime | None = None
    ending: str | None = None


@dataclass(frozen=True, slots=True)
class Cached:
    """A result that another run kept."""

    outputs: Any
    run: str


@dataclass(frozen=True, slots=True)
class ArtifactRecord:
    """A file that a run made; `path` is relative to the run's folder."""

    step: str
    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    """One beginning of a step, with `number` from 1.

    Its status is that of a step, `died` if the process did in the middle of it, or `forgotten` if a
    person said that deaths of it do not count.
    """

    step: str
    key: str
    number: int
    status: str
    started: datetime
    finished: datetime | None
    error: str


@dataclass(frozen=True, slots=True)
class EventRecord:
    """What happened, with its number in the journal; see `events` for the details of each kind."""

    number: int
    run: str
    kind: str
    time: datetime
    details: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class CallRecord:
    """A call of a tool; one that is `running` in a run that is not was interrupted.

    `size` in bytes of JSON; `outcome` is a value, or a sentence.
    """

    id: str
    step: str
    key: str
    tool: str
    arguments: Any
    status: CallStatus
    started: datetime
    seconds: float | None
    size: int | None
    outcome: Any


@dataclass(frozen=True, slots=True)
class ScheduleView:
    """A workflow with triggers, as people see it."""

    name: str
    path: str
    triggers: tuple[str, ...]
    next: datetime | None
    paused: datetime | None
    problem: str
    last: Fire | None


@dataclass(frozen=True, slots=True)
class RunDetails:
    """A run with all that is known of it; `tasks` are those of its agents: id, status, text."""

    run: RunRecord
    steps: list[StepRecord]
    attempts: list[AttemptRecord]
    calls: list[CallRecord]
    artifacts: list[ArtifactRecord]
    tasks: list[tuple[str, str, str]]


@dataclass(frozen=True, slots=True)
class AgentRecord:
    """What an agent knew when its process died, or when its run was parked.

    `calls` are status and outcome of its calls by id.
    """

    told: Sequence[AgentEvent] = ()
    calls: Mapping[str, tuple[str, Any]] = field(default_factory=dict)


FireStatus = Literal["due", "begun", "refused", "missed", "known"]


@dataclass(frozen=True, slots=True)
class Fire:
    """Something that started a workflow, or would have: once for each occurrence.

    `due` has been decided and its run is not on record yet; `begun` is; `refused` could not begin;
    `missed` are due times at which nobody was there, and `known` files that lay there before.
    """

    workflow: str
    occurrence: str
    trigger: str
    time: datetime
    """When it was due, or happened."""
    decided: datetime
    status: FireStatus
    reason: str = ""
    run: str = ""
    owner: str = ""
    """The lease of the scheduler that begins it."""
    given: Mapping[str, Any] = field(default_factory=dict)
    files: Sequence[str] = ()
    """Those that the run may read because they arrived."""
    moved: str = ""
    """What a file keeps where it gets another name."""
    outcome: str = ""
    """The status of its run, where that is on record."""
    error: str = ""
    """What that run says went wrong, or why it was skipped."""


@dataclass(frozen=True, slots=True)
class ScheduleRecord:
    """What is on record of a workflow with triggers.

    `definition` and `files` are those of its file when it was last right; `since` says when each
    trigger was first seen.
    """

    workflow: str
    source: str = ""
    definition: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    problem: str = ""
    paused: datetime | None = None
    since: Mapping[str, datetime] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RunEnd:
    """A run that ended, for those that wait for it."""

    run: str
    workflow: str
    status: RunStatus
    finished: datetime
