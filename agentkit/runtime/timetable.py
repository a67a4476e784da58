"""What starts by itself, for people: looked at, explained, paused, started by hand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, Unpack

from agentkit.errors import AgentkitError, UnknownName, UserError
from agentkit.ports import Clock
from agentkit.records import Fire, ScheduleView
from agentkit.runtime import starting
from agentkit.runtime.root import Runtime
from agentkit.runtime.runs import new_run_id
from agentkit.runtime.scheduled import Scheduled
from agentkit.runtime.scheduling import Scheduling
from agentkit.runtime.starting import triggers
from agentkit.runtime.terms import How
from agentkit.schedule.planner import Entry, coming
from agentkit.schedule.scheduler import SystemClock

if TYPE_CHECKING:
    from agentkit.workflow.spec import Trigger


class Timetable:
    """May be used from any thread, in the process of the `scheduling` that looks, or in another."""

    def __init__(
        self, runtime: Runtime, scheduling: Scheduling | None = None, clock: Clock | None = None
    ) -> None:
        self._runtime = runtime
        self._fires = runtime.journal.fires
        self._clock = clock or SystemClock()
        self._scheduling = scheduling or Scheduling(runtime, clock=clock)

    @property
    def looked_after(self) -> bool:
        """Whether somebody starts what is due."""
        return self._scheduling.looked_after

    def list(self) -> Sequence[ScheduleView]:
        """All workflows with triggers."""
        known, paused = self._scheduling.known(), self._fires.paused()
        return [self._view(known[name], paused.get(name)) for name in sorted(known)]

    def _view(self, one: Scheduled, paused: datetime | None) -> ScheduleView:
        from agentkit.runtime.arrivals import trouble

        entries = [entry for entry, _ in starting.entries(one)]
        due = next(coming(entries, self._clock.now()), (None, None))[0]
        return ScheduleView(
            name=one.name,
            path=str(one.path),
            triggers=tuple(trigger.key for trigger in triggers(one)),
            next=None if paused else due,
            paused=paused,
            problem=one.problem or trouble(triggers(one)),
            last=next(iter(self._fires.recent(one.name, 1)), None),
        )

    def next(self, count: int = 10) -> Sequence[tuple[datetime, str, str]]:
        """What is due next: when, which workflow, which trigger."""
        known, paused = self._scheduling.known(), self._fires.paused()
        running = [one for name, one in known.items() if name not in paused]
        entries = [entry for one in running for entry, _ in starting.entries(one)]
        due = islice(coming(entries, self._clock.now()), count)
        return [(time, entry.workflow, entry.times.key) for time, entry in due]

    def pause(self, name: str) -> None:
        """Let nothing start a workflow by itself.  Raises `UnknownName`."""
        self._find(name)
        self._fires.pause(name, self._clock.now())
        self._scheduling.changed()

    def resume(self, name: str) -> None:
        """Let it be started again; nobody makes up for what passed meanwhile.

        Files that arrived wait, and start it now.  Raises `UnknownName`.
        """
        self._find(name)
        self._fires.resume(name, self._clock.now())
        self._scheduling.changed()

    def trigger(self, name: str, said: Mapping[str, Any] | None = None) -> Fire:
        """Start a workflow now: whoever looks after the schedule begins it.

        It is given what its first trigger with a time gives, and what is `said` beside it or
        instead.  Raises `UnknownName`, `InvalidInput`.
        """
        from agentkit.runtime.permits import handed
        from agentkit.workflow.inputs import bind

        one, now, said = self._find(name), self._clock.now(), said or {}
        if one.workflow is None:
            raise UserError(one.problem, hint=f"agentkit check {name}")
        timed = next((each for each in triggers(one) if each.times() is not None), None)
        usual = {} if timed is None else starting.given(name, timed, now, {})
        bound = bind(one.workflow.spec, {**usual, **said})
        of_a_person = {key: bound[key] for key in said}
        run = new_run_id()
        fire = Fire(
            workflow=name,
            occurrence=f"hand {run}",
            trigger="by hand",
            time=now,
            decided=now,
            status="due",
            reason="a person said so",
            run=run,
            given={**usual, **said},
            files=[str(path) for path in handed(one.workflow, of_a_person)],
        )
        self._fires.add([fire])
        self._scheduling.changed()
        return fire

    def begun_here(self, fire: Fire, **how: Unpack[How]) -> dict[str, Any]:
        """Carry out what `trigger` gave, where nobody looks after the schedule."""
        try:
            found = self._runtime.workflow(str(self._find(fire.workflow).path))
            return self._runtime.run(found, fire.given, fire.run, **how)
        except AgentkitError as error:
            if not self._runtime.journal.has(fire.run):
                self._fires.settle(fire.run, "refused", str(error))
            raise

    def why(self, name: str) -> Iterator[str]:
        """What will start a workflow, and what came of what did, in sentences."""
        from agentkit.runtime.arrivals import trouble

        one, paused = self._find(name), self._fires.paused()
        yield f"{name}: {one.path}"
        if one.problem:
            counts = "what it said before counts" if one.workflow else "it starts nothing"
            yield f"the file is wrong, and {counts}: {one.problem}"
        if away := trouble(triggers(one)):
            yield away
        if name in paused:
            yield f"paused since {_local(paused[name])}: agentkit schedule resume {name}"
        if not self._scheduling.looked_after:
            yield "nobody looks after the schedule: agentkit serve"
        timed = {trigger.key: entry for entry, trigger in starting.entries(one)}
        for trigger in triggers(one):
            yield self._what(trigger, timed.get(trigger.key))
        for fire in self._fires.recent(name):
            came = {"due": "waits to begin"}.get(fire.status, fire.status)
            came = f"run {fire.run} {fire.outcome or came}" if fire.run else came
            yield f"{_local(fire.time)}  {fire.trigger}: {came}: {fire.error or fire.reason}"

    def _what(self, trigger: Trigger, entry: Entry | None) -> str:
        if entry is None:
            return trigger.key
        due = entry.times.next(self._clock.now())
        if due is None:
            return f"{trigger.key}: never due again"
        return f"{trigger.key}: due next {_local(entry.wakes(due))}; catchup is {entry.catchup}"

    def _find(self, name: str) -> Scheduled:
        known = self._scheduling.known()
        if name not in known:
            hint = "agentkit schedule list"
            raise UnknownName("workflow with triggers", name, known, hint=hint)
        return known[name]


def _local(time: datetime) -> str:
    return f"{time.astimezone():%Y-%m-%d %H:%M:%S}"
