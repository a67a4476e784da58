"""THE loop: take the first task, work on it with tools, check the result, learn from a failure,
record, propose what is missing, order what is open, stop or go on.

It touches nothing concrete: it asks a `Mind`, acts through `Hands`, leaves results to a `Judge` and
the list to a `Planner`, and yields events.  An event is on record when the loop goes on, and only
then it counts.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

from agentkit import events as ev
from agentkit.agent import claims, guard
from agentkit.agent.account import Account
from agentkit.agent.budget import Budget, Spent, StopReason, limit_hit
from agentkit.agent.checks import Check, first_fault
from agentkit.agent.enough import Changing, Enough
from agentkit.agent.hands import Seen
from agentkit.agent.mind import Garbled, Move, OutOfTime
from agentkit.agent.planning import Planner
from agentkit.agent.report import write_report
from agentkit.agent.state import AgentState
from agentkit.agent.tasks import Kind, Task
from agentkit.agent.verdict import UNREADABLE, Able, Judge
from agentkit.errors import ModelError, PromptTooLong
from agentkit.letters import Letter
from agentkit.messages import ToolSchema

LESSONS = 3
"""The newest lessons stand in the prompt."""

OBJECTIONS = 1
"""How often a result is sent back within an attempt, before the attempt is given up."""

LAST_WORDS = 60.0
"""Seconds that the answer in a report may take, whatever limit struck."""

NO_TIME = 0.001
"""Seconds that are no time at all, for a question or a call that has to have some."""

REFUSED = "refused"
"""The status of a call that was not made."""

AGAIN: Mapping[guard.Advice, str] = {
    "warn": "You called {tool} like that before, and its result is above: do something else, or "
    "answer.",
    "refuse": "{tool} was not called, again: the result is above. Answer from it, or use another "
    "tool.",
}


class Hands(Able, Changing, Protocol):
    """Makes calls, and knows which can be made now."""

    def schema(
        self,
        tool: str,
        done: set[str],
        said: Sequence[str],
        kind: Callable[[], Kind],
        *,
        tested: bool = False,
    ) -> ToolSchema | None:
        """A tool with what is possible now, of a task of a kind, which a test may be for; None if
        it can do nothing new, or nothing that is asked for.
        """

    def first_looks(
        self, task: str, kind: Callable[[], Kind]
    ) -> Sequence[tuple[str, Mapping[str, Any]]]:
        """The calls that show what there is, or what has to do with a task; maybe none."""

    def tells(self, tool: str) -> bool:
        """Whether it shows what it has changed: what was read need not be read again."""

    def new_call(self) -> str:
        """An id for a call."""

    def act(self, call: str, tool: str, arguments: Mapping[str, Any], seconds: float) -> Seen:
        """Make a call, which is asked to stop after so many seconds."""

    def recall(self, call: str, tool: str, arguments: Mapping[str, Any], seconds: float) -> Seen:
        """What came of a call that was begun before the process died."""


class Past(Protocol):
    """What earlier runs have to say."""

    def about(self, task: str) -> str:
        """What is known about a task; empty where nothing is."""

    def keep(self, lesson: str, task: str) -> None:
        """Remember a lesson for later runs."""


@dataclass
class Loop:
    """What stays the same while an agent works, and (in the account) what does not."""

    account: Account
    hands: Hands
    judge: Judge
    planner: Planner
    tools: Sequence[str]
    budget: Budget
    checks: Sequence[Check] = ()
    schema: Mapping[str, Any] | None = None
    """Of the answer, if it is to be data."""
    past: Past | None = None
    letters: Callable[[], Iterable[Letter]] = tuple
    reflection: bool = True
    guarded: bool = True
    clock: Callable[[], float] = time.monotonic
    _began: float = 0.0
    _summed_up: tuple[str, str] = ("", "")
    """What was done, and the answer that sums it up."""

    @property
    def state(self) -> AgentState:
        """All that the next step depends on."""
        return self.account.state

    @property
    def enough(self) -> Enough:
        """When a task has had enough calls."""
        return Enough(self.account, self.hands, self.judge)

    def run(self) -> Iterator[ev.Event]:
        """Go on from where the account is to the end.

        Raises `Paused` when a person says so, `ApprovalNeeded` when one has to be asked,
        `Cancelled`, and what the model and the machine raise.
        """
        self._began = self.clock() - self.state.spent.seconds
        if not self.state.tasks.tasks:
            yield from self.planner.add([self.state.objective], None, "the objective")
        yield from self._pending()
        yield from self._finish((yield from self._until_nothing_fits()))

    def _until_nothing_fits(self) -> Generator[ev.Event, None, StopReason]:
        try:
            return (yield from self._until_the_end())
        except PromptTooLong:
            return "context"
        except OutOfTime:
            return "seconds"

    def _until_the_end(self) -> Generator[ev.Event, None, StopReason]:
        """Work; returns why there is no more to do."""
        yield from self._left_open()
        while True:
            yield from self.planner.heed(self.letters())
            task = self.state.current or self.state.tasks.next
            reason = self._stuck() or self._limit()
            if reason is not None and (reason == "stuck" or task or not self._all_done()):
                return reason
            if task is not None:
                yield from self._work(task)
                continue
            fault = yield from self._objective_fault()
            if not fault and self._all_done():
                return "done"  # with the last of a budget, too
            if reason is None and fault and self.state.failed_checks < self.budget.attempts:
                yield from self._mend(fault)
                continue
            return reason or "nothing_left"

    # -- a task ----------------------------------------------------------------------------------

    def _work(self, task: Task) -> Iterator[ev.Event]:
        """One attempt at a task, or what is left of it after a crash."""
        if task.status != "running":
            recalled = self.past.about(task.text) if self.past else ""
            yield from self._start(task, task.attempts + 1, recalled)
        result = yield from self._steps(task)
        if self._limit() or not self._running(task):
            return
        if not result:
            yield from self.account.ease(task.text)
            result = self.account.mind.result(self.state)
        result = claims.as_meant(result)
        yield from self.account.ease(task.text, result)
        found = self.judge.verdict(task, result)
        result = found.instead or result
        final = self.state.objections(task) >= OBJECTIONS
        if found.fault:
            yield from self.account.say(
                ev.CheckFailed,
                task=task.id,
                check="shown",
                fault=found.fault,
                result=result,
                final=final,
                tools=found.tools,
            )
        if not found.fault or final:
            yield from self._end(task, result)

    def _end(self, task: Task, result: str) -> Iterator[ev.Event]:
        """The end of a task; after a rejection the next attempt, as long as there is one."""
        rejected, attempts = self.state.rejected, self.state.tasks[task.id].attempts
        if rejected and attempts < self.budget.attempts:
            yield from self._learn(task.id, task.text, rejected.fault)
            yield from self._start(task, attempts + 1)
            return
        yield from self.account.say(
            ev.TaskFinished,
            task=task.id,
            status="failed" if rejected else "done",
            result=result,
            evidence=self._evidence(task),
        )
        yield from self.planner.what_is_missing(task)

    def _left_open(self) -> Iterator[ev.Event]:
        """What follows from the last decision, if the process died before it was on record."""
        rejected, over = self.state.rejected, self.state.unplanned
        if rejected and rejected.task:
            yield from self._end(self.state.tasks[rejected.task], rejected.result)
        elif rejected:
            yield from self._mended(rejected)
        elif over:
            yield from self.planner.what_is_missing(self.state.tasks[over[0]])

    def _steps(self, task: Task) -> Generator[ev.Event, None, str]:
        """Calls, until the model answers or must not go on; its answer, or nothing."""
        while len(self.state.steps(task)) < self.budget.steps_per_task:
            yield from self.planner.heed(self.letters())
            steps = self.state.steps(task)
            if self._limit() or not self._running(task) or (self.guarded and guard.stuck(steps)):
                return ""
            if not steps:
                yield from self._look_around(task)
                steps = self.state.steps(task)
            yield from self.account.ease()
            schemas = self._possible(task, steps)
            must = self.enough.too_few(task) and any(schemas.values())
            missing = self.judge.missing(task.text)
            try:
                move = self.account.mind.move(self.state, schemas, must=must, missing=missing)
            except Garbled as fault:
                yield from self._act(task, "answer", {}, unreadable=str(fault))
                continue
            if not move.tool:
                return move.answer
            advice = self._advice(steps, move)
            there = advice == "warn" and guard.worked(steps, move.tool, move.arguments)
            if advice == "answer" or (there and not must):
                return ""  # it has what it asks for
            yield from self._act(task, move.tool, move.arguments, advice=advice)
            if (yield from self._reached(task)):
                return ""
        return ""

    def _look_around(self, task: Task) -> Iterator[ev.Event]:
        """The first calls are not the model's: what there is need not be guessed."""
        again = self.state.tasks[task.id].attempts > 1  # what the last attempt saw is gone
        if self.state.acts() and not again:
            return
        yield from self.account.ease(task.text)
        kind = partial(self.judge.kind, task)
        for tool, arguments in self.hands.first_looks(task.text, kind):
            yield from self._act(task, tool, arguments)

    def _act(
        self,
        task: Task,
        tool: str,
        arguments: Mapping[str, Any],
        *,
        advice: guard.Advice = "go",
        unreadable: str = "",
    ) -> Iterator[ev.Event]:
        """A call; on record before it is made."""
        call = self.hands.new_call()
        about = {"task": task.id, "call": call, "tool": tool}
        yield from self.account.say(ev.ActStarted, **about, arguments=dict(arguments))
        if unreadable:
            seen = Seen(UNREADABLE, f"Your answer was not used: {unreadable}")
        elif advice in AGAIN:
            seen = Seen(REFUSED, AGAIN[advice].format(tool=tool))
        else:
            seen = self.hands.act(call, tool, arguments, self._left())
        if self.guarded:
            text = guard.warned(self.state.steps(task), tool, seen.status, seen.text)
            seen = replace(seen, text=text)
        yield from self._acted(task.id, call, seen)

    def _acted(self, task: str, call: str, seen: Seen) -> Iterator[ev.Event]:
        yield from self.account.say(
            ev.ActFinished,
            task=task,
            call=call,
            status=seen.status,
            observation=seen.text,
            changed=seen.changed,
        )

    def _pending(self) -> Iterator[ev.Event]:
        """The call that was in flight when the process died."""
        begun = self.state.pending
        if begun is not None:
            seen = self.hands.recall(begun.call, begun.tool, begun.arguments, self._left())
            yield from self._acted(begun.task, begun.call, seen)

    def _possible(self, task: Task, steps: Sequence[guard.Step]) -> dict[str, ToolSchema | None]:
        """The tools, each with what is possible of it now; None for one that is not needed."""
        known = [replace(s, changes=s.changes and not self.hands.tells(s.tool)) for s in steps]
        done = set(guard.made(known)) if self.guarded else set()
        out = guard.left_out(steps) if self.guarded else set()
        said = [self.state.objective, *(act.step.text for act in self.state.acts())]
        wanted = self.state.objected or self.tools
        offered = [name for name in self.tools if name in wanted and name not in out]
        tested, kind = self.judge.test(task) is not None, partial(self.judge.kind, task)
        return {name: self.hands.schema(name, done, said, kind, tested=tested) for name in offered}

    def _reached(self, task: Task) -> Generator[ev.Event, None, bool]:
        """Whether the last call did all that was to be changed; where the task names a test, the
        test says so.
        """
        if not self.enough.changed(task):
            return False
        test = self.judge.test(task)
        if test:
            yield from self._act(task, *test)
            return self.state.steps(task)[-1].status == "returned"
        yield from self.account.ease(task.text)
        return self.enough.all_of_it(task)

    def _advice(self, steps: Sequence[guard.Step], move: Move) -> guard.Advice:
        if not self.guarded or not move.tool:
            return "go"
        return guard.advice(steps, move.tool, move.arguments)

    def _start(self, task: Task, attempt: int, recalled: str = "") -> Iterator[ev.Event]:
        lessons = "\n".join(f"- {lesson}" for lesson in self.state.lessons[-LESSONS:])
        taught = f"What earlier attempts taught:\n{lessons}" if lessons else ""
        told = "\n\n".join(part for part in (recalled, taught) if part)
        yield from self.account.say(ev.TaskStarted, task=task.id, attempt=attempt, recalled=told)

    def _running(self, task: Task) -> bool:
        """Whether nobody dropped it meanwhile."""
        return self.state.tasks[task.id].status == "running"

    # -- checks ----------------------------------------------------------------------------------

    def _evidence(self, task: Task) -> tuple[str, ...]:
        attempt = self.state.tasks[task.id].attempts
        return tuple(
            act.call
            for act in self.state.acts()
            if (act.task, act.attempt) == (task.id, attempt) and act.step.status == "returned"
        )

    def _objective_fault(self) -> Generator[ev.Event, None, tuple[str, str] | None]:
        """The first check of the objective that fails, by name, and why."""
        if not self.checks:
            return None
        try:
            answer = yield from self._answer()
        except Garbled as error:
            return "answer", str(error)
        yield from self.account.ease(answer)
        return first_fault(self.checks, answer if self.schema is None else json.loads(answer))

    def _mend(self, found: tuple[str, str]) -> Iterator[ev.Event]:
        """The objective is not reached yet: say why, think about it once, and go on."""
        check, fault = found
        yield from self.account.say(ev.CheckFailed, task="", check=check, fault=fault)
        assert self.state.rejected, "that is what was said"
        yield from self._mended(self.state.rejected)

    def _mended(self, rejected: ev.CheckFailed) -> Iterator[ev.Event]:
        yield from self._learn("", self.state.objective, rejected.fault)
        number = self.state.failed_checks
        text = f"Correct what is wrong ({number}): {rejected.fault}"
        yield from self.planner.add([text], None, f"the check {rejected.check} failed")
        if not self.state.tasks.order:  # the list is full
            first = self.state.tasks.tasks[0]
            yield from self._start(first, first.attempts + 1)

    def _learn(self, task: str, about: str, fault: str) -> Iterator[ev.Event]:
        """Think about what went wrong, once."""
        if not self.reflection:
            return
        if not self.state.taught:
            yield from self.account.ease(about, fault)
            lesson = self.account.mind.words(self.state, "lesson", task=about, fault=fault)
            yield from self.account.say(ev.LessonLearned, task=task, lesson=lesson)
        if self.past:  # kept once more, where the process may have died before it was
            self.past.keep(self.state.lessons[-1], about)

    # -- the end ---------------------------------------------------------------------------------

    def _finish(self, reason: StopReason) -> Iterator[ev.Event]:
        """A report in every case: what was found, and why there is no more."""
        self.account.mind.patience = LAST_WORDS
        try:
            answer = yield from self._answer()
        except ModelError as error:
            answer = f"No answer could be written: {error}\n\n{self.account.done}"
        except PromptTooLong:
            answer = self.account.done
        report = write_report(self.state, reason, answer)
        yield from self.account.say(ev.AgentFinished, reason=reason, answer=answer, report=report)

    def _answer(self) -> Generator[ev.Event, None, str]:
        """The result of the only task, or a summary of all."""
        worked = [task for task in self.state.tasks.tasks if task.attempts]
        direct = self.schema is None and self.account.mind.strategy is None
        if len(worked) == 1 and worked[0].status == "done" and direct:
            return worked[0].result
        done, objective = self.account.done, self.state.objective
        if self._summed_up[0] != done:
            yield from self.account.ease(objective, self.account.least)
            told = {"objective": objective, "done": self.account.told(objective)}
            self._summed_up = done, self.account.mind.answer(self.state, self.schema, **told)
        return self._summed_up[1]

    def _all_done(self) -> bool:
        """Whether all that was asked for is done; what there was no room for is not."""
        tasks = self.state.tasks.tasks
        return not self.state.crowded and all(t.status in ("done", "dropped") for t in tasks)

    def _stuck(self) -> StopReason | None:
        """Two tasks in a row that went round in circles."""
        over = [task for task in self.state.tasks.tasks if task.over and task.attempts]
        circles = [bool(guard.stuck(self.state.steps(task))) for task in over[-2:]]
        return "stuck" if self.guarded and len(circles) == 2 and all(circles) else None

    def _left(self) -> float:
        """Seconds that are left."""
        return max(NO_TIME, self.budget.seconds - (self.clock() - self._began))

    def _limit(self) -> StopReason | None:
        spent = self.state.spent
        seconds = self.clock() - self._began
        self.account.mind.patience = max(NO_TIME, self.budget.seconds - seconds)
        return limit_hit(self.budget, Spent(spent.tasks, spent.steps, spent.tokens, seconds))
