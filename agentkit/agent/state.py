"""What an agent knows: nothing but the sum of the events that it told.

Each event is in the journal before it counts here, so a process that dies loses the step in flight
and no more; a run that goes on is built again from its events.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime

from agentkit import events as ev
from agentkit.agent.budget import Spent
from agentkit.agent.guard import Step
from agentkit.agent.tasks import Limits, Task, TaskList
from agentkit.messages import Usage


@dataclass(frozen=True, slots=True)
class Act:
    """A step, and the attempt that it belongs to."""

    task: str
    attempt: int
    call: str
    step: Step


@dataclass(frozen=True, slots=True)
class Turn:
    """Something that stays in the history: of a task or a person, in order."""

    kind: str
    text: str
    task: str = ""
    attempt: int = 0
    act: Act | None = None
    tools: tuple[str, ...] = ()
    """Those that can mend what was rejected, if only some can."""


@dataclass(frozen=True, slots=True)
class AgentState:
    """Everything that the next step depends on.

    `pending` is a call that was begun and of which no outcome is known, `rejected` a result of
    which nothing was made yet (`taught`: but a lesson), `unplanned` a task that is over and after
    which nobody asked yet what is missing, with the order of that moment, `crowded` whether there
    was no room for what was.
    """

    objective: str = ""
    tasks: TaskList = field(default_factory=TaskList)
    turns: tuple[Turn, ...] = ()
    lessons: tuple[str, ...] = ()
    recalled: tuple[str, ...] = ()
    """What was told with tasks when they began."""
    pending: ev.ActStarted | None = None
    rejected: ev.CheckFailed | None = None
    taught: bool = False
    unplanned: tuple[str, tuple[str, ...]] | None = None
    crowded: bool = False
    short_observations: int = 0
    short_tasks: int = 0
    short_results: int = 0
    failed_checks: int = 0
    spent: Spent = field(default_factory=Spent)
    usage: Usage = field(default_factory=Usage)
    finished: ev.AgentFinished | None = None
    changing: frozenset[str] = frozenset()
    """The tools that may change something."""
    last: datetime | None = None

    @property
    def current(self) -> Task | None:
        """The task that is being worked on."""
        return next((task for task in self.tasks.tasks if task.status == "running"), None)

    def steps(self, task: Task) -> list[Step]:
        """What was done in the running attempt at a task."""
        return [
            act.step
            for act in self.acts()
            if (act.task, act.attempt) == (task.id, self.tasks[task.id].attempts)
        ]

    def acts(self) -> list[Act]:
        """All steps, in order."""
        return [turn.act for turn in self.turns if turn.act]

    def told(self, event: ev.Event) -> AgentState:
        """The state after an event; events that are none of an agent's change nothing."""
        if not isinstance(event, ev.AgentEvent):
            return self
        return self._after(event)._at(event)

    def _after(self, event: ev.AgentEvent) -> AgentState:
        match event:
            case ev.AgentStarted():
                return replace(self, objective=event.objective)
            case ev.AgentResumed():
                return replace(self, finished=None)  # it was cancelled, or it failed
            case ev.TaskRefused(reason=self.tasks.limits.full):
                return replace(self, crowded=True)
            case ev.TaskAdded():
                task = Task(event.task, event.text, event.parent, event.reason)
                return replace(self, tasks=self.tasks.added(task), rejected=None)
            case ev.TaskStarted():
                return self._started(event)
            case ev.ActStarted():
                return replace(self, pending=event)
            case ev.ActFinished():
                return self._acted(event)
            case ev.TaskFinished():
                return self._over(event)
            case ev.TasksOrdered():
                return replace(self, tasks=self.tasks.ordered(event.order), unplanned=None)
            case ev.CheckFailed():
                return self._rejected(event)
            case ev.LessonLearned():
                return replace(self, lessons=(*self.lessons, event.lesson), taught=True)
            case ev.NoteGiven():
                return self._plus(Turn("note", event.text))
            case ev.HistoryShortened():
                return replace(
                    self,
                    short_observations=event.observations,
                    short_tasks=event.tasks,
                    short_results=event.results,
                )
            case ev.ModelAsked():
                read = event.usage.prompt_tokens - event.usage.cached_tokens
                tokens = self.spent.tokens + read + event.usage.completion_tokens
                usage = self.usage + event.usage
                return replace(self, spent=replace(self.spent, tokens=tokens), usage=usage)
            case ev.AgentFinished():
                return replace(self, finished=event)
        return self

    def _at(self, event: ev.AgentEvent) -> AgentState:
        """With the time that passed; what lies before a resumption is none."""
        before = event.time if self.last is None else self.last
        idle = isinstance(event, ev.AgentStarted | ev.AgentResumed)
        passed = 0.0 if idle else max(0.0, (event.time - before).total_seconds())
        spent = replace(self.spent, seconds=self.spent.seconds + passed)
        return replace(self, spent=spent, last=event.time)

    def _started(self, event: ev.TaskStarted) -> AgentState:
        task = replace(self.tasks[event.task], status="running", attempts=event.attempt)
        text = task.text if not event.recalled else f"{task.text}\n\n{event.recalled}"
        recalled = (*self.recalled, event.recalled) if event.recalled else self.recalled
        tasks = self.tasks.changed(task)
        state = replace(self, tasks=tasks, recalled=recalled, rejected=None)
        return state._plus(Turn("task", text, task.id, event.attempt))

    def _acted(self, event: ev.ActFinished) -> AgentState:
        begun = self.pending
        if begun is None or begun.call != event.call:
            raise ValueError(f"the call {event.call} ended, and it never began")
        step = Step(
            begun.tool,
            dict(begun.arguments),
            event.status,
            event.observation,
            begun.tool in self.changing if event.changed is None else event.changed,
        )
        attempt = self.tasks[event.task].attempts
        act = Act(event.task, attempt, event.call, step)
        spent = replace(self.spent, steps=self.spent.steps + 1)
        state = replace(self, spent=spent, pending=None)
        return state._plus(Turn("act", event.observation, event.task, attempt, act))

    def _rejected(self, event: ev.CheckFailed) -> AgentState:
        if event.final:
            failed = self.failed_checks + (event.task == "")
            return replace(self, failed_checks=failed, rejected=event, taught=False)
        attempt = self.tasks[event.task].attempts
        return self._plus(Turn("result", event.result, event.task, attempt))._plus(
            Turn("fault", event.fault, event.task, attempt, tools=event.tools)
        )

    @property
    def objected(self) -> tuple[str, ...] | None:
        """The tools that may be called after a result was not accepted, if only some; None: it was,
        or a call was made since.
        """
        last = self.turns[-1] if self.turns else None
        return last.tools if last and last.kind == "fault" else None

    def objections(self, task: Task) -> int:
        """How often a result of the running attempt was rejected, and the attempt went on."""
        attempt = self.tasks[task.id].attempts
        return sum(
            turn.kind == "fault" and (turn.task, turn.attempt) == (task.id, attempt)
            for turn in self.turns
        )

    def _over(self, event: ev.TaskFinished) -> AgentState:
        task = replace(
            self.tasks[event.task],
            status=event.status,
            result=event.result,
            evidence=tuple(event.evidence),
        )
        spent = replace(self.spent, tasks=self.spent.tasks + 1)
        tasks = self.tasks.changed(task)
        state = replace(self, tasks=tasks, spent=spent)
        if event.status != "dropped":
            unplanned = (task.id, tasks.order)
            state = replace(state, rejected=None, unplanned=unplanned, crowded=False)
        return state._plus(Turn("result", event.result, task.id, task.attempts))

    def _plus(self, turn: Turn) -> AgentState:
        return replace(self, turns=(*self.turns, turn))


def rebuilt(
    events: Iterable[ev.Event], *, changing: Iterable[str] = (), limits: Limits | None = None
) -> AgentState:
    """The state that some events lead to."""
    tasks = TaskList(limits=limits or Limits())
    state = AgentState(tasks=tasks, changing=frozenset(changing))
    for event in events:
        state = state.told(event)
    return state
