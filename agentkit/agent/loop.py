"""THE loop: take the first task, work on it with tools, check the result, learn from a failure,
record, propose what is missing, order what is open, stop or go on.

It touches nothing concrete: it asks a `Mind`, acts through `Hands`, and yields events.  Whoever
drives it writes an event down and hands the state that follows back before the next one comes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from agentkit import events as ev
from agentkit.agent import guard
from agentkit.agent.budget import Budget, Spent, StopReason, limit_hit
from agentkit.agent.mind import FINISH, Mind
from agentkit.agent.report import write_report
from agentkit.agent.state import AgentState
from agentkit.agent.tasks import Similar, Task, by_words
from agentkit.agent.transcript import to_shorten
from agentkit.errors import ModelError
from agentkit.messages import ToolSchema

SURE = 0.5
"""How likely a result has to be shown by the tools, in the model's own opinion, to count."""


class Hands(Protocol):
    """Makes calls, and knows which can be made now."""

    def schema(self, tool: str, refused: set[str]) -> ToolSchema | None:
        """A tool with what is possible now; None if it can do nothing new."""

    def act(self, tool: str, arguments: dict[str, Any]) -> tuple[str, str, str]:
        """Make a call: its id, its status, and what the model sees of its outcome."""

    def refuse(self, tool: str, reason: str) -> tuple[str, str, str]:
        """Do not make a call, and say why."""


Check = Callable[[AgentState, str], str]
"""What is wrong with a result; empty if nothing is."""


@dataclass
class Loop:
    """What stays the same while an agent works."""

    mind: Mind
    hands: Hands
    tools: Sequence[str]
    budget: Budget
    where: dict[str, Any]
    """Run, step and item, for events."""
    checks: Sequence[Check] = ()
    recall: Callable[[str], str] = lambda text: ""
    similar: Similar = by_words
    reflection: bool = True
    guarded: bool = True
    clock: Callable[[], float] = time.monotonic

    def run(self, state: AgentState) -> Iterator[ev.Event]:
        """Go on from a state to the end; each event yielded has to be sent back as a state."""
        self._state, self._began = state, self.clock() - state.spent.seconds
        reason: StopReason | None = None
        if not state.tasks.tasks:
            yield from self._plan()
        while reason is None:
            reason = limit_hit(self.budget, self._spent()) or self._stuck()
            task = self._state.current or self._state.tasks.next
            if reason is None and task is None:
                reason = "done" if self._all_done() else "nothing_left"
            if reason is None and task is not None:
                yield from self._work(task)
        yield from self._finish(reason)

    def follow(self, state: AgentState) -> None:
        """The state after the last event, now that it is on record."""
        self._state = state

    # -- a task ----------------------------------------------------------------------------------

    def _work(self, task: Task) -> Iterator[ev.Event]:
        """One attempt at a task, or what is left of it after a crash."""
        if task.status != "running":
            yield self._event(
                ev.TaskStarted,
                task=task.id,
                attempt=task.attempts + 1,
                recalled=self.recall(task.text),
            )
        yield from self._steps(task)
        if limit_hit(self.budget, self._spent()):
            return
        result, sure = self.mind.result(self._state, task.text)
        fault = self._fault(result, sure)
        if fault:
            yield self._event(ev.CheckFailed, task=task.id, check="result", fault=fault)
            attempt = self._state.tasks[task.id].attempts
            if attempt < self.budget.attempts:
                yield from self._again(task, fault)
                return
        evidence = tuple(
            act.call
            for act in self._state.acts()
            if act.task == task.id and act.step.status == "returned"
        )
        yield self._event(
            ev.TaskFinished,
            task=task.id,
            status="failed" if fault else "done",
            result=result,
            evidence=evidence,
        )
        yield from self._what_is_missing(task)

    def _steps(self, task: Task) -> Iterator[ev.Event]:
        """Calls, until the model has what it needs or must not go on."""
        for _ in range(self.budget.steps_per_task):
            if limit_hit(self.budget, self._spent()):
                return
            yield from self._ease()
            steps = self._state.steps(self._state.tasks[task.id])
            if self.guarded and guard.stuck(steps):
                return
            refused = guard.forbidden(steps) if self.guarded else set()
            schemas = {name: self.hands.schema(name, refused) for name in self.tools}
            offered = [name for name, schema in schemas.items() if schema is not None]
            choice = self.mind.choose(self._state, task.text, offered, finish=bool(steps))
            schema = schemas.get(choice.tool)
            if choice.tool == FINISH or schema is None:
                return
            arguments = self.mind.call(self._state, task.text, schema)
            advice = guard.advice(steps, choice.tool, arguments) if self.guarded else "go"
            if advice != "go":
                arguments = self.mind.call(self._state, task.text, schema, again=True)
                advice = guard.advice(steps, choice.tool, arguments)
            if advice == "answer":
                return
            if advice == "refuse":
                call, status, seen = self.hands.refuse(
                    choice.tool, "the same call was made before and gave the same: do another one"
                )
            else:
                call, status, seen = self.hands.act(choice.tool, arguments)
            yield self._event(
                ev.TaskActed,
                task=task.id,
                call=call,
                tool=choice.tool,
                arguments=arguments,
                status=status,
                observation=seen,
            )

    def _fault(self, result: str, sure: float) -> str:
        for check in self.checks:
            fault = check(self._state, result)
            if fault:
                return fault
        return "" if sure >= SURE else "the tools have not shown it"

    def _again(self, task: Task, fault: str) -> Iterator[ev.Event]:
        """Think about what went wrong, once, and try again with that."""
        if self.reflection:
            lesson = self.mind.words(self._state, "lesson", task=task.text, fault=fault)
            yield self._event(ev.LessonLearned, task=task.id, lesson=lesson)
        attempt = self._state.tasks[task.id].attempts + 1
        lessons = "\n".join(f"- {lesson}" for lesson in self._state.lessons[-3:])
        recalled = f"What earlier attempts taught:\n{lessons}" if lessons else ""
        yield self._event(ev.TaskStarted, task=task.id, attempt=attempt, recalled=recalled)

    # -- the list --------------------------------------------------------------------------------

    def _plan(self) -> Iterator[ev.Event]:
        most = self._state.tasks.limits.proposed
        texts = self.mind.tasks(self._state, "plan", most, objective=self._state.objective)
        yield from self._add(texts or [self._state.objective], None, "the plan")

    def _what_is_missing(self, task: Task) -> Iterator[ev.Event]:
        state = self._state
        most = state.tasks.limits.proposed
        texts = self.mind.tasks(
            state, "more", most, objective=state.objective, done=self._done(), open=self._open()
        )
        yield from self._add(texts, task.id, f"after {task.id}")
        names = self._state.tasks.order
        if len(names) > 1 and texts:
            values = {"objective": state.objective, "open": self._open(lines=True)}
            yield self._event(
                ev.TasksOrdered, order=tuple(self.mind.order(self._state, names, **values))
            )

    def _add(self, texts: Sequence[str], parent: str | None, reason: str) -> Iterator[ev.Event]:
        taken, refused = self._state.tasks.considered(texts, parent, self.similar)
        for one in refused:
            yield self._event(ev.TaskRefused, text=one.text, reason=one.reason)
        for task in taken:
            yield self._event(
                ev.TaskAdded, task=task.id, text=task.text, parent=task.parent, reason=reason
            )

    def _done(self) -> str:
        lines = [f"- {t.text}: {t.result}" for t in self._state.tasks.tasks if t.over]
        return "\n".join(lines) or "nothing yet"

    def _open(self, *, lines: bool = False) -> str:
        texts = [
            f"{name}: {self._state.tasks[name].text}" if lines else self._state.tasks[name].text
            for name in self._state.tasks.order
        ]
        return ("\n" if lines else "; ").join(texts) or "nothing"

    # -- the end ---------------------------------------------------------------------------------

    def _finish(self, reason: StopReason) -> Iterator[ev.Event]:
        """A report in every case: what was found, and why there is no more."""
        try:
            answer = self.mind.words(
                self._state, "answer", objective=self._state.objective, done=self._done()
            )
        except ModelError as error:
            answer = f"No answer could be written: {error}"
        report = write_report(self._state, reason, answer)
        yield self._event(
            ev.AgentFinished,
            reason=reason,
            answer=answer,
            report=report,
            seconds=self.clock() - self._began,
        )

    def _all_done(self) -> bool:
        return all(task.status == "done" for task in self._state.tasks.tasks)

    def _stuck(self) -> StopReason | None:
        """Two tasks in a row that went round in circles."""
        over = [task for task in self._state.tasks.tasks if task.over]
        circles = [bool(guard.stuck(self._state.steps(task))) for task in over[-2:]]
        return "stuck" if self.guarded and len(circles) == 2 and all(circles) else None

    def _ease(self) -> Iterator[ev.Event]:
        count = to_shorten(self._state, self.mind.size, self.mind.room)
        if count is not None:
            yield self._event(ev.HistoryShortened, count=count)

    def _spent(self) -> Spent:
        spent = self._state.spent
        return Spent(spent.tasks, spent.steps, spent.tokens, self.clock() - self._began)

    def _event(self, kind: Any, **details: Any) -> ev.Event:
        event: ev.Event = kind(**self.where, **details)
        return event
