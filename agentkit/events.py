"""What happens in a run, as frozen values.

Events are the only output of the core.  Terminal, journal, log and (later) web page subscribe to
one stream; a subscriber is called in order and before the run goes on, so what the journal has
written is never behind what the run has done.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, field, fields
from datetime import UTC, datetime
from typing import Any, Literal

from agentkit.messages import Usage
from agentkit.values import dataclass

RunStatus = Literal["running", "succeeded", "failed", "cancelled", "parked", "skipped"]
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
        """Everything but run and time, as plain data; what is large is not copied."""
        names = [one.name for one in fields(self) if one.name not in ("run", "time")]
        values = {name: getattr(self, name) for name in names}
        return {k: asdict(v) if isinstance(v, Usage) else v for k, v in values.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted(Event):
    """`definition` is the text of the workflow file as it was when the run started.

    `files` are those that it names, by their names; `parent` is the run of which this is a step.
    `terms` say on whose behalf it is done, and what that person granted it.
    """

    parent: str = ""
    workflow: str
    source: str
    definition: str
    files: Mapping[str, str] = field(default_factory=dict)
    inputs: Mapping[str, Any]
    terms: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResumed(Event):
    """A run that ended early goes on; steps that were finished are not done again.

    `definition` and `files` are those of an edited workflow that it goes on with; empty: its own.
    Where a person retries it, `again` says why steps are done again, and `kept` names the others.
    """

    definition: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    again: Mapping[str, str] = field(default_factory=dict)
    kept: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StepEvent(Event):
    """Base of what happens to one step, or to one item of a `foreach`.

    `item` is the position in the innermost `foreach`, from 0, or None; `name` is what the item is
    called where its file names it (its `key`, behind those of the loops around it).
    """

    step: str
    item: int | None = None
    name: str = ""

    @property
    def key(self) -> str:
        """Which item, as checkpoints are found by it; empty for a step that has none."""
        return self.name or ("" if self.item is None else str(self.item))


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
class StepPlaced(StepEvent):
    """The attempt that begins now is made on another machine."""

    machine: str


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
class StepReasoned(StepEvent):
    """A strategy found an answer, by these thoughts; `votes` of `candidates` say the same."""

    strategy: str
    thoughts: Sequence[str]
    votes: int
    candidates: int


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
class StepRetried(StepEvent):
    """An attempt failed, and there will be another one after `wait` seconds."""

    attempt: int
    error: str
    wait: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFinished(StepEvent):
    """A step, one item of a `foreach`, or (with `item` None) the `foreach` as a whole.

    `cache` is the digest under which its outputs are kept for other runs; `cached` names the run
    that they were taken from.
    """

    outputs: Any
    seconds: float
    usage: Usage | None = None
    cache: str = ""
    cached: str = ""


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
class RunEnding(Event):
    """A run was cancelled, and what always follows comes now: nothing else will."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFinished(Event):
    """The one recorded outcome of a run."""

    status: RunStatus
    outputs: Mapping[str, Any]
    seconds: float
    usage: Usage
    error: str = ""


# -- agents ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentEvent(StepEvent):
    """Base of what an agent decides and learns: the sum of these is all that it knows.

    They are in the journal as a whole, and are read again when a run goes on.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentStarted(AgentEvent):
    """An agent begins: what it is to reach, with which model and tools, within which limits."""

    objective: str
    model: str
    tools: tuple[str, ...]
    budget: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentResumed(AgentEvent):
    """It goes on after a pause, or after its process died; what lies before is not work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskAdded(AgentEvent):
    """A task is on the list, at the end of the order."""

    task: str
    text: str
    parent: str | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRefused(AgentEvent):
    """A proposed task was not taken."""

    text: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskStarted(AgentEvent):
    """Work on a task begins, with `attempt` from 1; `recalled` is what memory had to say."""

    task: str
    attempt: int
    recalled: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActStarted(AgentEvent):
    """A step of a task: this call is about to be made."""

    task: str
    call: str
    tool: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ActFinished(AgentEvent):
    """What came of the call: `observation` is what the model sees of it.

    `status` is that of a call, `refused` for one that was not made, or `unverified` for one of
    which nobody knows what it did, because the process died in the middle of it.  `changed` is
    whether it left something behind; None: as its tool may do.
    """

    task: str
    call: str
    status: str
    observation: str
    changed: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFinished(AgentEvent):
    """A task is over; `evidence` are the calls that its result rests on."""

    task: str
    status: Literal["done", "failed", "dropped"]
    result: str
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TasksOrdered(AgentEvent):
    """The open tasks, in the order in which they will be done."""

    order: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckFailed(AgentEvent):
    """What a task or the whole objective (no task) has to be was not so, and why.

    `result` is what was rejected; `final` False: the same attempt goes on, with a call of one of
    `tools`, if any are named.
    """

    task: str
    check: str
    fault: str
    result: str = ""
    final: bool = True
    tools: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LessonLearned(AgentEvent):
    """What a failed check taught; the next attempt knows it."""

    task: str
    lesson: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteGiven(AgentEvent):
    """A person said something to the running agent."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryShortened(AgentEvent):
    """How much of the history is shown in short from now on, from the oldest on.

    `observations` are cut to a preview; of `tasks` only the result is left, of `results` a preview
    of that.
    """

    observations: int
    tasks: int = 0
    results: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelAsked(AgentEvent):
    """A question to the model, and what it cost."""

    phase: str
    usage: Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentFinished(AgentEvent):
    """An agent stops: why, its answer, and the report as Markdown.

    It is its one end, unless it was cancelled or failed: such a run can be gone on with, and what
    follows is `AgentResumed`.
    """

    reason: str
    answer: str
    report: str


AGENT_EVENTS: Mapping[str, type[AgentEvent]] = {
    kind.__name__: kind
    for kind in (
        AgentStarted, AgentResumed, TaskAdded, TaskRefused, TaskStarted, ActStarted, ActFinished,
        TaskFinished, TasksOrdered, CheckFailed, LessonLearned, NoteGiven, HistoryShortened,
        ModelAsked, AgentFinished,
    )
}  # fmt: skip


def agent_event(kind: str, run: str, time: datetime, details: Mapping[str, Any]) -> AgentEvent:
    """An event of an agent again, from its `details` as the journal stored them."""
    values: dict[str, Any] = {
        name: tuple(v) if isinstance(v, list) else v for name, v in details.items()
    }
    if "usage" in values:
        values["usage"] = Usage(**values["usage"])
    return AGENT_EVENTS[kind](run=run, time=time, **values)
