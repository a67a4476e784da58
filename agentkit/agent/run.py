"""An agent put together for one run: from an order, a model and a caller to an answer.

The loop says what happens; here it is written down, and at the end there is a report.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from agentkit import events as ev
from agentkit.agent.account import Account
from agentkit.agent.budget import BROKEN_OFF, Budget, StopReason
from agentkit.agent.checks import Answers, Check
from agentkit.agent.hands import ToolHands
from agentkit.agent.loop import Loop
from agentkit.agent.memory import Recall, by_meaning
from agentkit.agent.mind import Mind
from agentkit.agent.planning import Planner
from agentkit.agent.report import write_report
from agentkit.agent.state import AgentState, rebuilt
from agentkit.agent.strategies import Strategy
from agentkit.agent.tasks import Limits, by_words
from agentkit.agent.verdict import Judge
from agentkit.cancel import CancelToken
from agentkit.errors import Cancelled, Fenced, Parked
from agentkit.letters import Letter
from agentkit.messages import Usage
from agentkit.permissions import Effect
from agentkit.ports import ChatModel, Embedder
from agentkit.toolbox.answer import counter
from agentkit.toolbox.caller import Caller
from agentkit.toolbox.context import Report
from agentkit.toolbox.files import GrantedFiles
from agentkit.toolbox.grants import Grants
from agentkit.toolbox.paths import real_path

REPORT = "report.md"

OBSERVATION = 800
"""Tokens of a result that a model sees at most; on a CPU each costs 10 ms to read."""

SHARE = 6
"""And at most this part of its context."""

CHANGING: frozenset[Effect] = frozenset(["writes", "executes", "network"])
"""Effects of tools after which reading again may tell something new."""

Part = Literal["grammar", "guard", "reflection", "memory", "prefix"]
"""What can be left out, to see what it is good for."""


@dataclass(frozen=True, slots=True)
class Order:
    """What an agent is to do, with what, within which limits, and when it is done."""

    objective: str
    tools: tuple[str, ...]
    budget: Budget = field(default_factory=Budget)
    checks: tuple[Check | str, ...] = ()
    """A text is a question to the model."""
    schema: Mapping[str, Any] | None = None
    """Of the answer, if it is to be data."""
    strategy: Strategy | None = None
    """How the final answer is found."""
    without: frozenset[Part] = frozenset()


@dataclass(frozen=True, slots=True)
class Result:
    """What came of it; `usage` is the sum of all questions, in this process and before."""

    answer: str
    reason: StopReason
    report: str
    tasks: int
    steps: int
    seconds: float
    usage: Usage


class Journaling(Report, Protocol):
    """A report that also takes events of others, and knows whose they are."""

    @property
    def place(self) -> dict[str, Any]:
        """Run, step and item."""

    def tell(self, event: ev.Event) -> None:
        """Write it down."""


@dataclass(frozen=True)
class Surroundings:
    """What an agent is lent.

    `told` are its events from before the process died or the run was parked, `calls` what is on
    record of its calls: status and outcome by id.
    """

    model: ChatModel
    caller: Caller
    report: Journaling
    cancel: CancelToken
    embedder: Callable[[], Embedder]
    letters: Callable[[], Iterable[Letter]] = tuple
    told: Sequence[ev.AgentEvent] = ()
    calls: Mapping[str, tuple[str, Any]] = field(default_factory=dict)


def pursue(order: Order, around: Surroundings) -> Result:
    """Work on an objective to its end, or go on with it.

    Raises `Parked` when a person has to answer or said so, `Cancelled`, and what the model, the
    machine and the checks raise; but for a run that is parked, or is another process's by now, what
    there is so far is in the report, and the reason is on record.
    """
    place = around.report.place
    state = rebuilt(
        around.told,
        changing=_changing(order.tools, around.caller),
        limits=Limits(total=order.budget.tasks + len(order.checks)),
    )
    if state.finished is not None and state.finished.reason not in BROKEN_OFF:
        _save(state.finished.report, around)  # the process may have died before
        return _result(state, state.finished)
    if around.told:
        beginning: ev.AgentEvent = ev.AgentResumed(**place)
    else:
        beginning = ev.AgentStarted(
            **place,
            objective=order.objective,
            model=around.model.name,
            tools=order.tools,
            budget=asdict(order.budget),
        )
    around.report.tell(beginning)
    state = state.told(beginning)
    loop: Loop | None = None
    try:
        loop = _loop(order, around, state)
        for event in loop.run():
            around.report.tell(event)
    except (Parked, Fenced):
        raise
    except Exception as stop:
        if not around.cancel.parks:
            _broken_off(loop.state if loop else state, stop, around)
        raise
    finished = loop.state.finished
    assert finished is not None, "a loop that is not stopped ends with a report"
    _save(finished.report, around)
    return _result(loop.state, finished)


def _broken_off(state: AgentState, stop: Exception, around: Surroundings) -> None:
    """Leave what there is so far; what stopped the run may stop this, too, and counts for more.

    That an agent has finished for such a reason does not keep it from going on: see `BROKEN_OFF`.
    """
    reason: StopReason = "cancelled" if isinstance(stop, Cancelled) else "failed"
    found = [task.result for task in state.tasks.tasks if task.result]
    answer = "\n".join(found) or "Nothing was found yet."
    report = write_report(state, reason, answer)
    end = ev.AgentFinished(**around.report.place, reason=reason, answer=answer, report=report)
    with suppress(Exception):
        around.report.tell(end)
    with suppress(Exception):
        _save(report, around)


def _loop(order: Order, around: Surroundings, state: AgentState) -> Loop:
    caller, model = around.caller, around.model
    source = f"run {around.report.place['run']}"
    hands = ToolHands(
        caller,
        order.tools,
        around.report,
        around.cancel,
        counter(model),
        min(OBSERVATION, model.context_tokens // SHARE),
        around.calls,
    )
    mind = Mind(
        model,
        hands.schemas(),
        around.cancel,
        bound="grammar" not in order.without,
        shared="prefix" not in order.without,
        strategy=order.strategy,
    )
    remembers = "memory" not in order.without
    account = Account(mind, around.report.place, state)
    return Loop(
        account,
        hands,
        Judge(account, hands, hands.folder, order.tools),
        Planner(account, by_meaning(around.embedder) if remembers else by_words),
        order.tools,
        order.budget,
        [_check(check, account) for check in order.checks],
        schema=order.schema,
        past=Recall(caller.services.memory, source, around.report.warned) if remembers else None,
        letters=around.letters,
        reflection="reflection" not in order.without,
        guarded="guard" not in order.without,
    )


def _check(check: Check | str, account: Account) -> Check:
    """A check as the loop needs it: a question is put to the model that knows the conversation."""

    def likely(question: str, answer: str) -> float:
        return account.mind.likely(account.state, "check", question=question, answer=answer)

    return Answers(check, likely) if isinstance(check, str) else check


def _changing(tools: Iterable[str], caller: Caller) -> set[str]:
    return {name for name in tools if CHANGING & set(caller.tools[name].effects)}


def _result(state: AgentState, finished: ev.AgentFinished) -> Result:
    reason: Any = finished.reason
    spent = state.spent
    return Result(
        finished.answer, reason, finished.report, spent.tasks, spent.steps, spent.seconds,
        state.usage,
    )  # fmt: skip


def _save(report: str, around: Surroundings) -> None:
    """The report is a result of the run, in its own folder."""
    home: Path = around.caller.outputs.parent
    own = Grants(own_write=(real_path(home),))
    files = GrantedFiles(home, own, lambda path: around.report.artifact(path, home))
    files.write(REPORT, report.encode("utf-8", "replace"))
