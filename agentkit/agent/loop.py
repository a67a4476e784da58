"""THE loop: take the first task, work on it with tools, check the result, learn from a failure,
record, propose what is missing, order what is open, stop or go on.

It touches nothing concrete: it asks a `Mind`, acts through `Hands`, and yields events.  An event is
on record when the loop goes on, and only then it counts.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from agentkit import events as ev
from agentkit.agent import claims, guard
from agentkit.agent.budget import Budget, Spent, StopReason, limit_hit
from agentkit.agent.checks import Check
from agentkit.agent.hands import Seen
from agentkit.agent.mind import Garbled, Mind, Move
from agentkit.agent.report import write_report
from agentkit.agent.state import AgentState
from agentkit.agent.tasks import Similar, Task, by_words
from agentkit.agent.transcript import eased
from agentkit.errors import ModelError, Paused, PromptTooLong
from agentkit.letters import Letter
from agentkit.messages import ToolSchema

SHOWN = 0.2
"""How likely the model has to find that its own result was shown by the tools."""

COMPLETE = 0.5
"""How likely the model has to find the objective reached, for no more tasks to be asked for."""

CHANGING = 0.6
"""How likely a task has to be to change files, for an answer without a change to be too early."""

LESSONS = 3
"""The newest lessons stand in the prompt."""

OBJECTIONS = 1
"""How often a result is sent back within an attempt, before the attempt is given up."""

UNREADABLE = "garbled"
"""The status of a call that the model did not get written."""

NOT_DONE = ("retry", "failed", UNREADABLE)
"""Statuses of calls after which a result that claims something comes too early."""

CALL = re.compile(r'\{\s*"name"\s*:|</?tool_call>')
"""A call that a model wrote as text."""

REFUSED = "refused"
"""The status of a call that was not made."""

AGAIN: Mapping[guard.Advice, str] = {
    "warn": "You called {tool} like that before, and its result is above: do something else, or "
    "answer.",
    "refuse": "{tool} was not called, again: the result is above. Answer from it, or use another "
    "tool.",
}


class Hands(Protocol):
    """Makes calls, and knows which can be made now."""

    def schema(self, tool: str, done: set[str], said: Sequence[str]) -> ToolSchema | None:
        """A tool with what is possible now; None if it can do nothing new."""

    def first_look(self) -> tuple[str, Mapping[str, Any]] | None:
        """The call that shows what there is, if there is one."""

    def missing(self, text: str, seen: Sequence[str]) -> list[str]:
        """Files that a text names, and that neither are there nor were ever seen."""

    def changes(self, tool: str) -> bool:
        """Whether a tool may change files."""

    def new_call(self) -> str:
        """An id for a call."""

    def act(self, call: str, tool: str, arguments: Mapping[str, Any]) -> Seen:
        """Make a call."""

    def recall(self, call: str, tool: str, arguments: Mapping[str, Any]) -> Seen:
        """What came of a call that was begun before the process died."""


class Past(Protocol):
    """What earlier runs have to say."""

    def about(self, task: str) -> str:
        """What is known about a task; empty where nothing is."""

    def keep(self, lesson: str, task: str) -> None:
        """Remember a lesson for later runs."""


@dataclass
class Loop:
    """What stays the same while an agent works; `where` are run, step and item, for events."""

    mind: Mind
    hands: Hands
    tools: Sequence[str]
    budget: Budget
    where: Mapping[str, Any]
    checks: Sequence[Check] = ()
    schema: Mapping[str, Any] | None = None
    """Of the answer, if it is to be data."""
    past: Past | None = None
    similar: Similar = by_words
    letters: Callable[[], Sequence[Letter]] = tuple
    reflection: bool = True
    guarded: bool = True
    clock: Callable[[], float] = time.monotonic
    state: AgentState = field(default_factory=AgentState)
    _began: float = 0.0
    _summed_up: tuple[str, str] = ("", "")
    """What was done, and the answer that sums it up."""

    def run(self, state: AgentState) -> Iterator[ev.Event]:
        """Go on from a state to the end.

        Raises `Paused` when a person says so, `ApprovalNeeded` when one has to be asked,
        `Cancelled`, and what the model and the machine raise.
        """
        self.state, self._began = state, self.clock() - state.spent.seconds
        if not state.tasks.tasks:
            yield from self._add([state.objective], None, "the objective")
        yield from self._pending()
        yield from self._finish((yield from self._until_nothing_fits()))

    def _until_nothing_fits(self) -> Generator[ev.Event, None, StopReason]:
        try:
            return (yield from self._until_the_end())
        except PromptTooLong:
            return "context"

    def _until_the_end(self) -> Generator[ev.Event, None, StopReason]:
        """Work; returns why there is no more to do."""
        yield from self._left_open()
        while True:
            yield from self._listen()
            reason = self._limit() or self._stuck()
            if reason is not None:
                return reason
            task = self.state.current or self.state.tasks.next
            if task is not None:
                yield from self._work(task)
                continue
            fault = self._objective_fault()
            if fault and self.state.failed_checks < self.budget.attempts:
                yield from self._mend(fault)
                continue
            return "done" if not fault and self._all_done() else "nothing_left"

    # -- a task ----------------------------------------------------------------------------------

    def _work(self, task: Task) -> Iterator[ev.Event]:
        """One attempt at a task, or what is left of it after a crash."""
        if task.status != "running":
            recalled = self.past.about(task.text) if self.past else ""
            yield from self._start(task, task.attempts + 1, recalled)
        result = yield from self._steps(task)
        if self._limit() or not self._running(task):
            return
        result = result or self.mind.result(self.state)
        fault, remedy = self._fault(task, result)
        final = self.state.objections(task) >= OBJECTIONS
        if fault:
            yield from self._say(
                ev.CheckFailed,
                task=task.id,
                check="shown",
                fault=fault,
                result=result,
                final=final,
                tools=remedy,
            )
        if not fault or final:
            yield from self._end(task, result)

    def _end(self, task: Task, result: str) -> Iterator[ev.Event]:
        """The end of a task; after a rejection the next attempt, as long as there is one."""
        rejected, attempts = self.state.rejected, self.state.tasks[task.id].attempts
        if rejected and attempts < self.budget.attempts:
            yield from self._learn(task.id, task.text, rejected.fault)
            yield from self._start(task, attempts + 1)
            return
        yield from self._say(
            ev.TaskFinished,
            task=task.id,
            status="failed" if rejected else "done",
            result=result,
            evidence=self._evidence(task),
        )
        yield from self._what_is_missing(task)

    def _left_open(self) -> Iterator[ev.Event]:
        """What follows from the last decision, if the process died before it was on record."""
        rejected, over = self.state.rejected, self.state.unplanned
        if rejected and rejected.task:
            yield from self._end(self.state.tasks[rejected.task], rejected.result)
        elif rejected:
            yield from self._mended(rejected)
        elif over:
            yield from self._what_is_missing(self.state.tasks[over[0]])

    def _steps(self, task: Task) -> Generator[ev.Event, None, str]:
        """Calls, until the model answers or must not go on; its answer, or nothing."""
        while len(self.state.steps(task)) < self.budget.steps_per_task:
            yield from self._listen()
            yield from self._ease()
            steps = self.state.steps(task)
            if self._limit() or not self._running(task) or (self.guarded and guard.stuck(steps)):
                return ""
            if not steps:
                yield from self._look_around(task)
                steps = self.state.steps(task)
            schemas = self._possible(steps)
            must = self.state.objected is not None and any(schemas.values())
            try:
                move = self.mind.move(self.state, schemas, must=must)
            except Garbled as fault:
                yield from self._act(task, "answer", {}, unreadable=str(fault))
                continue
            if not move.tool:
                return move.answer
            advice = self._advice(steps, move)
            if advice == "answer" or (advice == "warn" and self._worked(steps, move)):
                return ""  # it has what it asks for
            yield from self._act(task, move.tool, move.arguments, advice=advice)
        return ""

    def _look_around(self, task: Task) -> Iterator[ev.Event]:
        """The first call is not the model's: what there is need not be guessed."""
        first = self.hands.first_look()
        again = self.state.tasks[task.id].attempts > 1  # what the last attempt saw is gone
        if first is not None and (again or not self.state.acts()):
            yield from self._act(task, *first)

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
        yield from self._say(ev.ActStarted, **about, arguments=dict(arguments))
        if unreadable:
            seen = Seen(UNREADABLE, f"Your answer was not used: {unreadable}")
        elif advice in AGAIN:
            seen = Seen(REFUSED, AGAIN[advice].format(tool=tool))
        else:
            seen = self.hands.act(call, tool, arguments)
        yield from self._acted(task.id, call, seen)

    def _acted(self, task: str, call: str, seen: Seen) -> Iterator[ev.Event]:
        yield from self._say(
            ev.ActFinished, task=task, call=call, status=seen.status, observation=seen.text
        )

    def _pending(self) -> Iterator[ev.Event]:
        """The call that was in flight when the process died."""
        begun = self.state.pending
        if begun is not None:
            seen = self.hands.recall(begun.call, begun.tool, begun.arguments)
            yield from self._acted(begun.task, begun.call, seen)

    def _possible(self, steps: Sequence[guard.Step]) -> dict[str, ToolSchema | None]:
        """The tools, each with what is possible of it now; None for one that was repeated."""
        done = set(guard.made(steps)) if self.guarded else set()
        out = guard.left_out(steps) if self.guarded else set()
        said = [self.state.objective, *(act.step.text for act in self.state.acts())]
        wanted = self.state.objected or self.tools
        offered = [name for name in self.tools if name in wanted and name not in out]
        return {name: self.hands.schema(name, done, said) for name in offered}

    def _worked(self, steps: Sequence[guard.Step], move: Move) -> bool:
        """Whether the same call gave something before."""
        same = guard.fingerprint(move.tool, move.arguments)
        return any(
            step.status == "returned" and guard.fingerprint(step.tool, step.arguments) == same
            for step in steps
        )

    def _advice(self, steps: Sequence[guard.Step], move: Move) -> guard.Advice:
        if not self.guarded or not move.tool:
            return "go"
        return guard.advice(steps, move.tool, move.arguments)

    def _start(self, task: Task, attempt: int, recalled: str = "") -> Iterator[ev.Event]:
        lessons = "\n".join(f"- {lesson}" for lesson in self.state.lessons[-LESSONS:])
        taught = f"What earlier attempts taught:\n{lessons}" if lessons else ""
        told = "\n\n".join(part for part in (recalled, taught) if part)
        yield from self._say(ev.TaskStarted, task=task.id, attempt=attempt, recalled=told)

    def _running(self, task: Task) -> bool:
        """Whether nobody dropped it meanwhile."""
        return self.state.tasks[task.id].status == "running"

    # -- checks ----------------------------------------------------------------------------------

    def _fault(self, task: Task, result: str) -> tuple[str, tuple[str, ...]]:
        """What is wrong with a result, as far as code and a question can tell, and the tools that
        can mend it, if only some can.
        """
        if not result:
            return "there is no result", ()
        if CALL.search(result):
            return "a call that is written into an answer is not made: make it", ()
        if claims.admits_nothing(result):
            return "", ()
        able = tuple(tool for tool in self.tools if self.hands.changes(tool))
        missing = self.hands.missing(task.text, [act.step.text for act in self.state.acts()])
        if missing and able:
            return f"there is no file {missing[0]} yet: write it", able
        steps = self.state.steps(task)
        if self._should_have_changed(task, able):
            return "nothing was written or changed yet", able
        if steps and steps[-1].status in NOT_DONE:
            return f"the last call did not work: make a better one of {steps[-1].tool}", ()
        looked = steps or self.state.tasks[task.id].attempts > 1  # what was rejected stays rejected
        unshown = claims.unshown(result, self._known()) if looked else []
        if unshown:
            return f"no tool has shown this: {', '.join(unshown[:5])}", ()
        if looked and self.mind.likely(self.state, "found", task=task.text, result=result) < SHOWN:
            return "the tools have not shown it", ()
        return "", ()

    def _should_have_changed(self, task: Task, able: Sequence[str]) -> bool:
        """Whether the task is to change files, and no call did."""
        did = any(a.step.tool in able and a.step.status == "returned" for a in self.state.acts())
        if not able or did:
            return False
        return self.mind.likely(self.state, "changing", task=task.text) >= CHANGING

    def _known(self) -> list[str]:
        """All that a result may rest on: what was asked, what was called, what came of it."""
        tasks = self.state.tasks.tasks
        said = [self.state.objective, *(task.text for task in tasks), *(t.result for t in tasks)]
        notes = [turn.text for turn in self.state.turns if turn.kind in ("note", "task")]
        acts = [
            part
            for act in self.state.acts()
            for part in (act.step.text, *map(str, act.step.arguments.values()))
        ]
        return [*said, *notes, *acts]

    def _evidence(self, task: Task) -> tuple[str, ...]:
        attempt = self.state.tasks[task.id].attempts
        return tuple(
            act.call
            for act in self.state.acts()
            if (act.task, act.attempt) == (task.id, attempt) and act.step.status == "returned"
        )

    def _objective_fault(self) -> tuple[str, str] | None:
        """The first check of the objective that fails, by name, and why."""
        if not self.checks:
            return None
        try:
            answer = self._answer()
        except Garbled as error:
            return "answer", str(error)
        for check in self.checks:
            fault = check.fault(answer)
            if fault:
                return check.name, fault
        return None

    def _mend(self, found: tuple[str, str]) -> Iterator[ev.Event]:
        """The objective is not reached yet: say why, think about it once, and go on."""
        check, fault = found
        yield from self._say(ev.CheckFailed, task="", check=check, fault=fault)
        assert self.state.rejected, "that is what was said"
        yield from self._mended(self.state.rejected)

    def _mended(self, rejected: ev.CheckFailed) -> Iterator[ev.Event]:
        yield from self._learn("", self.state.objective, rejected.fault)
        number = self.state.failed_checks
        text = f"Correct what is wrong ({number}): {rejected.fault}"
        yield from self._add([text], None, f"the check {rejected.check} failed")
        if not self.state.tasks.order:  # the list is full
            first = self.state.tasks.tasks[0]
            yield from self._start(first, first.attempts + 1)

    def _learn(self, task: str, about: str, fault: str) -> Iterator[ev.Event]:
        """Think about what went wrong, once."""
        if not self.reflection or self.state.taught:
            return
        lesson = self.mind.words(self.state, "lesson", task=about, fault=fault)
        yield from self._say(ev.LessonLearned, task=task, lesson=lesson)
        if self.past:
            self.past.keep(lesson, about)

    # -- the list --------------------------------------------------------------------------------

    def _what_is_missing(self, task: Task) -> Iterator[ev.Event]:
        """Propose tasks, unless the objective is reached, and put the open ones in order.

        The order is told in any case: then it is known that this was done.
        """
        state, most = self.state, self.state.tasks.limits.proposed
        before = state.unplanned[1] if state.unplanned else ()
        told = {"objective": state.objective, "done": self._done()}
        if self.mind.likely(state, "complete", **told) < COMPLETE:
            try:
                texts = self.mind.tasks(state, most, open=self._open(), **told)
            except Garbled:
                texts = []
            yield from self._add(texts, task.id, f"after {task.id}")
        order: Sequence[str] = self.state.tasks.order
        names = self.state.tasks.order
        if len(names) > 1 and names != before:
            listed = "\n".join(f"{name}: {self.state.tasks[name].text}" for name in names)
            order = self.mind.order(self.state, names, objective=state.objective, open=listed)
        yield from self._put(order)

    def _put(self, order: Sequence[str]) -> Iterator[ev.Event]:
        """Do the open tasks in this order, and drop those that are not in it."""
        for name in self.state.tasks.order:
            if name not in order:
                yield from self._drop(name, "it is not needed any more")
        yield from self._say(ev.TasksOrdered, order=tuple(order))

    def _drop(self, task: str, why: str) -> Iterator[ev.Event]:
        yield from self._say(ev.TaskFinished, task=task, status="dropped", result=why)

    def _add(self, texts: Sequence[str], parent: str | None, reason: str) -> Iterator[ev.Event]:
        taken, refused = self.state.tasks.considered(texts, parent, self.similar)
        for one in refused:
            yield from self._say(ev.TaskRefused, text=one.text, reason=one.reason)
        for task in taken:
            yield from self._say(
                ev.TaskAdded, task=task.id, text=task.text, parent=task.parent, reason=reason
            )

    def _done(self) -> str:
        lines = [f"- {t.text}: {t.result}" for t in self.state.tasks.tasks if t.over and t.attempts]
        return "\n".join(lines) or "nothing yet"

    def _open(self) -> str:
        return (
            "; ".join(self.state.tasks[name].text for name in self.state.tasks.order) or "nothing"
        )

    # -- what a person says ----------------------------------------------------------------------

    def _listen(self) -> Iterator[ev.Event]:
        """Read the letters; what cannot be done is answered with a refusal, on record.

        A pause comes last: what was said beside it is read by then, and would be lost.
        """
        for letter in sorted(self.letters(), key=lambda one: one.kind == "pause"):
            names = [name.strip() for name in letter.text.split(",") if name.strip()]
            open_ = self.state.tasks.order
            match letter.kind:
                case "pause":
                    raise Paused(self.where["run"])
                case "note":
                    yield from self._say(ev.NoteGiven, text=letter.text)
                case "add":
                    yield from self._add([letter.text], None, "a person added it")
                case "drop" if set(names) <= {*open_, *self._at_work()}:
                    for name in names:
                        yield from self._drop(name, "a person dropped it")
                case "order" if set(names) <= set(open_):
                    yield from self._put([*names, *(n for n in open_ if n not in names)])
                case "drop" | "order":
                    there = ", ".join(open_) or "none"
                    reason = f"a person named {letter.text}, and the open tasks are: {there}"
                    yield from self._say(ev.TaskRefused, text=letter.kind, reason=reason)

    def _at_work(self) -> list[str]:
        return [self.state.current.id] if self.state.current else []

    # -- the end ---------------------------------------------------------------------------------

    def _finish(self, reason: StopReason) -> Iterator[ev.Event]:
        """A report in every case: what was found, and why there is no more."""
        try:
            answer = self._answer()
        except ModelError as error:
            answer = f"No answer could be written: {error}\n\n{self._done()}"
        except PromptTooLong:
            answer = self._done()
        report = write_report(self.state, reason, answer)
        yield from self._say(ev.AgentFinished, reason=reason, answer=answer, report=report)

    def _answer(self) -> str:
        """The result of the only task, or a summary of all."""
        worked = [task for task in self.state.tasks.tasks if task.attempts]
        if len(worked) == 1 and worked[0].status == "done" and self.schema is None:
            return worked[0].result
        done = self._done()
        if self._summed_up[0] != done:
            told = {"objective": self.state.objective, "done": done}
            self._summed_up = done, self.mind.answer(self.state, self.schema, **told)
        return self._summed_up[1]

    def _all_done(self) -> bool:
        return all(task.status in ("done", "dropped") for task in self.state.tasks.tasks)

    def _stuck(self) -> StopReason | None:
        """Two tasks in a row that went round in circles."""
        over = [task for task in self.state.tasks.tasks if task.over and task.attempts]
        circles = [bool(guard.stuck(self.state.steps(task))) for task in over[-2:]]
        return "stuck" if self.guarded and len(circles) == 2 and all(circles) else None

    def _ease(self) -> Iterator[ev.Event]:
        shorter = eased(self.state, self.mind.size, self.mind.room)
        if shorter is not None:
            yield from self._say(
                ev.HistoryShortened,
                observations=shorter.short_observations,
                tasks=shorter.short_tasks,
            )

    def _limit(self) -> StopReason | None:
        spent = self.state.spent
        now = Spent(spent.tasks, spent.steps, spent.tokens, self.clock() - self._began)
        return limit_hit(self.budget, now)

    def _say(self, kind: Any, **details: Any) -> Iterator[ev.Event]:
        """Tell what happened, after what the questions before it have cost."""
        while self.mind.costs:
            phase, usage = self.mind.costs.pop(0)
            yield from self._tell(ev.ModelAsked(**self.where, phase=phase, usage=usage))
        yield from self._tell(kind(**self.where, **details))

    def _tell(self, event: ev.Event) -> Iterator[ev.Event]:
        yield event
        self.state = self.state.told(event)
