"""Between what a file says and what is planned: triggers as entries, what happened as fires."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from agentkit.records import Fire
from agentkit.runtime.runs import new_run_id
from agentkit.schedule.planner import Decision, Entry, digest

if TYPE_CHECKING:
    from agentkit.runtime.scheduled import Scheduled
    from agentkit.workflow.spec import Trigger

LETTERS = 8
"""In the id of a run: a thousand files may arrive in one second."""


def triggers(one: Scheduled | None) -> Sequence[Trigger]:
    """Those that count now."""
    return () if one is None or one.workflow is None else one.workflow.spec.triggers


def entries(one: Scheduled) -> Iterator[tuple[Entry, Trigger]]:
    """Those that are a matter of time, as the planner takes them."""
    timed = [(trigger, times) for trigger in triggers(one) if (times := trigger.times())]
    differ = len({repr(trigger.with_) for trigger, _ in timed}) > 1
    for trigger, times in timed:
        apart = digest(repr(trigger.with_)) if differ else ""
        window, jitter = trigger.catchup_window, trigger.jitter
        yield Entry(one.name, times, trigger.catchup, window, jitter, apart), trigger


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that starts a workflow: what it is on record, when, and what `with` reads of it."""

    occurrence: str
    time: datetime
    reason: str
    facts: Mapping[str, Any]


def fire(name: str, trigger: Trigger, what: Happening, now: datetime, owner: str) -> Fire:
    """One that is due, with what its run is given; what cannot be computed is refused."""
    from agentkit.workflow.expressions import ExpressionError

    made = Fire(
        workflow=name,
        occurrence=what.occurrence,
        trigger=trigger.key,
        time=what.time,
        decided=now,
        status="due",
        reason=what.reason,
        run=new_run_id(LETTERS),
        owner=owner,
    )
    try:
        return replace(made, given=given(name, trigger, what.time, what.facts))
    except ExpressionError as error:
        return replace(made, status="refused", run="", reason=f"with: {error}")


def given(
    name: str, trigger: Trigger, time: datetime, facts: Mapping[str, Any]
) -> Mapping[str, Any]:
    """What a run is given by its trigger.  Raises `ExpressionError`."""
    from agentkit.workflow.expressions import render

    about = {"name": name, "kind": trigger.kind, "time": time.isoformat(), **facts}
    rendered: Mapping[str, Any] = render(dict(trigger.with_), {"trigger": about})
    return rendered


def decided(decision: Decision, one: Scheduled, now: datetime, owner: str) -> Fire:
    """What becomes of a due time, as it goes on record."""
    planned, key = decision.entry, decision.entry.times.key
    if decision.verdict == "missed":
        return Fire(
            workflow=planned.workflow,
            occurrence=f"missed {key} {decision.due.isoformat()}",
            trigger=key,
            time=decision.due,
            decided=now,
            status="missed",
            reason=decision.reason,
        )
    trigger = next(trigger for entry, trigger in entries(one) if entry == planned)
    occurrence = planned.occurrence(decision.due)
    what = Happening(occurrence, decision.due, decision.reason, {})
    return fire(planned.workflow, trigger, what, now, owner)
