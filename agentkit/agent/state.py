"""What an agent knows: nothing but the sum of the events that it told.

Each event is in the journal before it counts here, so a process that dies loses the step in flight
and no more; a run that goes on is built again from its events.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from agentkit import events as ev
from agentkit.agent.budget import Spent
from agentkit.agent.guard import Step
from agentkit.agent.tasks import Limits, Task, TaskList

CHANGING = frozenset(["writes", "executes", "network"])
"""Effects of tools after which reading again may tell something new."""


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


@dataclass(frozen=True, slots=True)
class AgentState:
    """Everything that the next step depends on."""

    objective: str = ""
    tasks: TaskList = field(default_factory=TaskList)
    turns: tuple[Turn, ...] = ()
    lessons: tuple[str, ...] = ()
    shortened: int = 0
    spent: Spent = Spent()
    finished: ev.AgentFinished | None = None
    changing: frozenset[str] = frozenset()
    """The tools that may change something."""

    @property
    def current(self) -> Task | None:
        """The task that is being worked on."""
        return next((task for task in self.tasks.tasks if task.status == "running"), None)

    def steps(self, task: Task) -> list[Step]:
        """What was done in the running attempt at a task."""
        return [
            turn.act.step
            for turn in self.turns
            if turn.act and (turn.task, turn.attempt) == (task.id, task.attempts)
        ]

    def acts(self) -> list[Act]:
        """All steps, in order."""
        return [turn.act for turn in self.turns if turn.act]

    def told(self, event: ev.Event) -> AgentState:
        """The state after an event; events that are none of an agent's change nothing."""
        match event:
            case ev.AgentStarted():
                return replace(self, objective=event.objective)
            case ev.TaskAdded():
                task = Task(event.task, event.text, event.parent, event.reason)
                return replace(self, tasks=self.tasks.added(task))
            case ev.TaskStarted():
                return self._started(event)
            case ev.TaskActed():
                return self._acted(event)
            case ev.TaskFinished():
                return self._over(event)
            case ev.TasksOrdered():
                return replace(self, tasks=self.tasks.ordered(event.order))
            case ev.LessonLearned():
                return replace(self, lessons=(*self.lessons, event.lesson))
            case ev.NoteGiven():
                return self._plus(Turn("note", event.text))
            case ev.HistoryShortened():
                return replace(self, shortened=event.count)
            case ev.ModelAsked():
                read = event.usage.prompt_tokens - event.usage.cached_tokens
                tokens = self.spent.tokens + read + event.usage.completion_tokens
                return replace(self, spent=replace(self.spent, tokens=tokens))
            case ev.AgentFinished():
                return replace(self, finished=event)
        return self

    def _started(self, event: ev.TaskStarted) -> AgentState:
        task = replace(self.tasks[event.task], status="running", attempts=event.attempt)
        text = task.text if not event.recalled else f"{task.text}\n\n{event.recalled}"
        state = replace(self, tasks=self.tasks.changed(task))
        return state._plus(Turn("task", text, task.id, event.attempt))

    def _acted(self, event: ev.TaskActed) -> AgentState:
        step = Step(
            event.tool,
            dict(event.arguments),
            event.status,
            event.observation,
            event.tool in self.changing,
        )
        attempt = self.tasks[event.task].attempts
        act = Act(event.task, attempt, event.call, step)
        spent = replace(self.spent, steps=self.spent.steps + 1)
        return replace(self, spent=spent)._plus(
            Turn("act", event.observation, event.task, attempt, act)
        )

    def _over(self, event: ev.TaskFinished) -> AgentState:
        task = replace(
            self.tasks[event.task],
            status=event.status,
            result=event.result,
            evidence=tuple(event.evidence),
        )
        spent = replace(self.spent, tasks=self.spent.tasks + 1)
        state = replace(self, tasks=self.tasks.changed(task), spent=spent)
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


def plain(event: ev.Event) -> dict[str, Any]:
    """An event as the journal stores it, with its kind."""
    return {"kind": event.kind, **event.details()}
