"""The schedule, put together: files say what starts, the journal what has, the planner what is due.

One look is one transaction: what was decided, and up to when.  Then what is on record and has no
run is begun.  A process may die between any two of these, and a second one may do the same.
"""

from __future__ import annotations

import gc
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from agentkit.errors import (
    AgentkitError,
    Fenced,
    HookRefused,
    MachineError,
    UserError,
)
from agentkit.ports import Clock
from agentkit.records import Fire, RunEnd, ScheduleRecord
from agentkit.runtime import hooked, starting
from agentkit.runtime.root import Runtime
from agentkit.runtime.scheduled import Scheduled, ScheduledFiles
from agentkit.runtime.starting import Happening, triggers
from agentkit.schedule.dispatch import Dispatch
from agentkit.schedule.files import Found, Watcher
from agentkit.schedule.planner import Standing, plan
from agentkit.schedule.scheduler import Scheduler, SystemClock

if TYPE_CHECKING:
    from agentkit.journal.leases import Lease
    from agentkit.runtime.arrivals import Inbox
    from agentkit.workflow.load import LoadedWorkflow
    from agentkit.workflow.spec import Trigger

log = logging.getLogger(__name__)

Start = Callable[..., object]
"""`start(workflow, given, run, profile="unattended")` begins a run and returns when it is on
record; it raises why it cannot begin, and `Busy` where it could later: `Background.begin`.
"""

Place = tuple[str, str]
"""Which trigger of which workflow."""

MARKED = 60.0
"""Seconds after which it is written down that nothing was due; a fire is written with its mark."""

RENEWED = 3
"""Signs of life within the time of a lease."""

LOOKED = 2.0
"""Seconds between two looks at the files, also where nobody says that one has changed."""

OVERLAP = timedelta(seconds=60)
"""Ends of runs are looked for once more for so long: one may be written down late."""

OWNERS = 8
"""Schedulers that one journal may have."""

ENDS = {"success": ("succeeded",), "failure": ("failed",)}
"""What `after.on` means; `end` is every end."""


class Scheduling:
    """May be used from any thread.  `look` is one look; `start` looks on a thread until `stop`."""

    def __init__(
        self, runtime: Runtime, start: Start | None = None, clock: Clock | None = None
    ) -> None:
        self._runtime = runtime
        self._start = start
        self._clock = clock or SystemClock()
        self._fires = runtime.journal.fires
        self._files = ScheduledFiles(
            runtime.settings.schedule_folders, runtime.library.find, runtime.library.read
        )
        self._scheduler = Scheduler(self._clock, self.look)
        self._watcher = Watcher(self.changed)
        self._dispatch = Dispatch(self._fires, self._me, runtime.journal.leases.held, self._begin)
        self._lock = threading.RLock()
        self._lease: Lease | None = None
        self._known: Mapping[str, Scheduled] = {}
        self._records: Mapping[str, ScheduleRecord] = {}
        self._paused: Mapping[str, datetime] = {}
        self._standing: dict[Place, Standing] = {}
        self._dropped: dict[Place, datetime] = {}
        self._inboxes: dict[Place, Inbox] = {}
        self._followed: dict[Place, datetime] = {}
        self._ready: dict[str, LoadedWorkflow] = {}
        """What is begun in one look, each read once."""
        self._hurry = True
        self._looked = self._marked = self._renewed = float("-inf")
        self._polled: datetime | None = None
        """Up to when ends of runs were looked for; None: nothing was looked at yet."""

    # -- the thread ------------------------------------------------------------------------------

    def start(self) -> None:
        """Look from now on."""
        assert self._start is not None, "a schedule that is only looked at begins nothing"
        self._scheduler.start()

    def stop(self) -> None:
        """Look no more; what was decided and not begun is begun by whoever comes next."""
        self._scheduler.stop()
        self._watcher.stop()
        if self._lease is not None:
            with suppress(MachineError):  # nobody renews it any more: it ends by itself
                self._runtime.journal.leases.give_back(self._lease)
            self._lease = None

    # -- one look --------------------------------------------------------------------------------

    def look(self) -> datetime | None:
        """Decide what is due, write it down, begin it; when something is due next."""
        with self._lock:
            self._hold()
            now, (hurry, self._hurry) = self._clock.now(), (self._hurry, False)
            self._see_who_is_paused()
            if self._polled is None:
                mark = min(self._fires.mark() or now, now)
                self._read_files(now, mark)
                self._polled = mark
                if self._scheduler.running:
                    set_apart()
            self._decide(now, hurry=hurry)
            if hurry or self._files.unsure or self._clock.steady() - self._looked >= LOOKED:
                self._read_files(now, now)
            wakes = [one.wakes for one in self._standing.values() if one.wakes is not None]
        self._ready.clear()
        self._dispatch.begin_due()
        return min(wakes, default=None)

    def _decide(self, now: datetime, *, hurry: bool) -> None:
        """What counts is on record before it counts here: a write that fails loses nothing."""
        decisions, after = plan(self._standing.values(), now)
        me = self._me()
        fires = [
            starting.decided(one, self._known[one.entry.workflow], now, me) for one in decisions
        ]
        ends = [*self._ends(now)]
        fires += [starting.fire(name, one, what, now, me) for name, one, what in ends]
        arrived = [*self._arrived(hurry=hurry)]
        fires += [self._arrival(inbox, found, now) for inbox, found in arrived]
        if fires or self._clock.steady() - self._marked >= MARKED:
            self._fires.add(fires, now)
            self._marked = self._clock.steady()
        self._standing = dict(zip(self._standing, after, strict=True))
        for inbox, found in arrived:
            inbox.record(found)
        recent = {key: at for key, at in self._followed.items() if now - at < 2 * OVERLAP}
        self._followed = recent | {(name, what.occurrence): now for name, _, what in ends}
        self._polled = now

    def _hold(self) -> None:
        """Keep the lease that says which of several schedulers this one is."""
        leases = self._runtime.journal.leases
        now = self._clock.steady()
        if self._lease is not None:
            if now - self._renewed < leases.seconds / RENEWED:
                return
            try:
                leases.renew(self._lease)
                self._renewed = now
                return
            except Fenced:  # it was stopped for so long that another one has it
                self._lease = None
        for number in range(1, OWNERS + 1):
            try:
                self._lease, self._renewed = leases.take(f"scheduler {number}"), now
                return
            except UserError:
                continue
        raise MachineError(f"{OWNERS} schedulers are at work on this journal")

    def _me(self) -> str:
        assert self._lease is not None
        return self._lease.run

    def _see_who_is_paused(self) -> None:
        """Somebody else may have said so, and nobody makes up for what passed meanwhile."""
        paused = self._fires.paused()
        if paused == self._paused:
            return
        self._paused, self._records, self._hurry = paused, self._fires.schedules(), True
        self._standing = {
            place: one._replace(paused=place[0] in paused) for place, one in self._standing.items()
        }

    # -- what happens ----------------------------------------------------------------------------

    def _ends(self, now: datetime) -> Iterator[tuple[str, Trigger, Happening]]:
        """Ends of runs that others follow."""
        following = [*self._of_kind("after")]
        if not following:
            return
        runs = {name: self._name_of(trigger) for name, trigger in following}
        assert self._polled is not None
        for end in self._fires.ended([*runs.values()], self._polled - OVERLAP):
            for name, trigger in following:
                occurrence = f"run {end.run} {end.finished.isoformat()}"
                known = name in self._paused or (name, occurrence) in self._followed
                since = self._records[name].since[trigger.key]
                if not known and end.finished > since and _follows(trigger, end, runs[name]):
                    yield name, trigger, self._end(end, occurrence)

    def _end(self, end: RunEnd, occurrence: str) -> Happening:
        outputs = self._runtime.journal.run(end.run).outputs
        facts = {"workflow": end.workflow, "run": end.run, "status": end.status, "outputs": outputs}
        said = f"the run {end.run} of {end.workflow} has ended: {end.status}"
        return Happening(occurrence, end.finished, said, facts)

    def _name_of(self, trigger: Trigger) -> str:
        """What runs of the workflow that is followed are called: its file may be called another."""
        assert trigger.after is not None
        found = self._known.get(trigger.after.workflow)
        if found is None or found.workflow is None:
            return trigger.after.workflow
        return found.workflow.spec.name

    def _arrived(self, *, hurry: bool) -> Iterator[tuple[Inbox, Found]]:
        for inbox in self._inboxes.values():
            if inbox.workflow not in self._paused:  # what arrives meanwhile waits
                for found in inbox.arrived(self._clock.steady(), hurry=hurry):
                    yield inbox, found

    def _arrival(self, inbox: Inbox, found: Found, now: datetime) -> Fire:
        what = Happening(found.occurrence, now, "it arrived", {"file": str(found.path)})
        fire = starting.fire(inbox.workflow, inbox.trigger, what, now, self._me())
        return replace(fire, files=(str(found.path),), moved=found.moved)

    # -- beginning -------------------------------------------------------------------------------

    def _begin(self, fire: Fire) -> None:
        """Begin a run with the file as it is now, or as it was when it was last right."""
        from agentkit.runtime.arrivals import same_file

        assert self._start is not None
        if fire.moved and not same_file(fire):
            raise UserError(f"{fire.files[0]} does not lie there any more as it arrived")
        self._start(self._to_start(fire.workflow), fire.given, fire.run, profile="unattended")

    def _to_start(self, name: str) -> LoadedWorkflow:
        found = self._known.get(name)
        if found is None or found.workflow is None:
            raise UserError(f"there is no workflow {name!r} with triggers any more")
        if name not in self._ready:
            try:
                self._ready[name] = self._runtime.workflow(str(found.path))
            except AgentkitError:
                self._ready[name] = found.workflow
        return self._ready[name]

    # -- the files -------------------------------------------------------------------------------

    def _read_files(self, now: datetime, seen: datetime) -> None:
        """Take over what files say; `seen` is up to when all has been decided already."""
        first, self._looked = not self._records, self._clock.steady()
        before = self._fires.schedules() if first else self._records
        found = self._files.look(before, self._looked)
        if found == self._known and not first:
            return
        same = {name for name, one in found.items() if one == self._known.get(name)}
        records = {
            name: before[name] if name in same else _kept(one, before.get(name), now)
            for name, one in found.items()
        }
        self._known = found
        inboxes, lying = self._open_inboxes(before, now)
        folders = {str(folder) for folder in self._runtime.settings.schedule_folders}
        records |= {
            name: replace(one, definition="", problem="")
            for name, one in before.items()
            if name not in found and str(Path(one.source).parent) in folders and one.definition
        }
        changed = [one for name, one in records.items() if before.get(name) != one]
        if changed or lying:
            self._fires.keep(changed, lying)
        self._records, self._inboxes = {**before, **records}, inboxes
        self._stand(seen, now)
        self._watch()

    def _open_inboxes(
        self, before: Mapping[str, ScheduleRecord], now: datetime
    ) -> tuple[dict[Place, Inbox], list[Fire]]:
        """Folders that are watched, and what lay in those that are new."""
        from agentkit.runtime.arrivals import Inbox

        inboxes: dict[Place, Inbox] = {}
        lying: list[Fire] = []
        for name, trigger in self._of_kind("watch"):
            place = (name, trigger.key)
            open_ = self._inboxes.get(place)
            if open_ is None or open_.trigger != trigger:
                open_ = Inbox(name, trigger, *self._fires.arrived(name))
                assert trigger.watch is not None
                known = name in before and trigger.key in before[name].since
                if not known and not trigger.watch.existing:
                    lying += open_.there(now)
            inboxes[place] = open_
        return inboxes, lying

    def _stand(self, seen: datetime, now: datetime) -> None:
        """What stands stays as it is, what is new begins, what is gone is dropped."""
        standing: dict[Place, Standing] = {}
        for name, one in self._known.items():
            for entry, _ in starting.entries(one):
                place = (name, f"{entry.times.key} {entry.apart}")
                stands = self._standing.get(place)
                if stands is None:
                    since = self._records[name].since[entry.times.key]
                    from_ = max(since, self._dropped.get(place, seen))
                    stands = Standing.of(entry, from_, paused=name in self._paused)
                elif stands.entry != entry:
                    stands = Standing.of(entry, stands.seen, paused=stands.paused)
                standing[place] = stands
        gone = dict.fromkeys(self._standing.keys() - standing, now)
        recent = {place: at for place, at in self._dropped.items() if now - at < OVERLAP}
        self._dropped = recent | gone  # a file that was only being edited has missed nothing
        self._standing = standing

    def _watch(self) -> None:
        if not self._scheduler.running:
            return
        folders = dict.fromkeys(self._runtime.settings.schedule_folders, False)
        for inbox in self._inboxes.values():
            folders[inbox.folder] = folders.get(inbox.folder, False) or inbox.deep
        self._watcher.watch(folders)

    def _of_kind(self, kind: str) -> Iterator[tuple[str, Trigger]]:
        for name, one in self._known.items():
            yield from ((name, trigger) for trigger in triggers(one) if trigger.kind == kind)

    # -- for others ------------------------------------------------------------------------------

    def known(self) -> Mapping[str, Scheduled]:
        """What files say, read here where nobody looks at them all the time."""
        if self._scheduler.running and self._polled is not None:
            return self._known
        with self._lock:
            return self._files.look(self._fires.schedules(), self._clock.steady())

    @property
    def looked_after(self) -> bool:
        """Whether a scheduler that lives looks after this journal."""
        held = self._runtime.journal.leases.held
        return any(held(f"scheduler {number}") for number in range(1, OWNERS + 1))

    def changed(self) -> None:
        """Look at once: something is not as it was."""
        self._hurry = True
        self._scheduler.wake()

    # -- webhooks --------------------------------------------------------------------------------

    def hook(self, name: str, headers: Mapping[str, str], body: bytes) -> str:
        """Take a webhook; the id of the run that it starts.

        Raises `HookRefused`: the sender is told no more than its sentence and `status`.
        """
        if self._polled is None:
            raise HookRefused("the service has only begun", status=503)
        if len(body) > hooked.LARGEST:
            raise HookRefused(f"a webhook has at most {hooked.LARGEST} bytes", status=413)
        one, now = self._known.get(name), self._clock.now()
        settings = self._runtime.settings
        trigger, delivery = hooked.genuine(triggers(one), headers, body, settings, now)
        if name in self._fires.paused():
            raise HookRefused(f"{name} is paused", status=503)
        facts = {"body": hooked.data(body), "id": delivery.id.partition(" ")[2]}
        what = Happening(delivery.id, now, "a webhook came", facts)
        fire = starting.fire(name, trigger, what, now, "")
        if not self._fires.add([fire]):
            raise HookRefused("this webhook was delivered before", status=409)
        if fire.status == "refused":
            raise HookRefused(f"the webhook does not fit: {fire.reason}", status=422)
        self._scheduler.wake()
        return fire.run


def set_apart() -> None:
    """Let Python's collector of garbage pass over what is there now: it stays.

    With thousands of schedules in memory each full collection would take longer than to plan them.
    """
    gc.collect()
    gc.freeze()


def _follows(trigger: Trigger, end: RunEnd, workflow: str) -> bool:
    assert trigger.after is not None
    return end.workflow == workflow and end.status in ENDS.get(trigger.after.on, (end.status,))


def _kept(one: Scheduled, before: ScheduleRecord | None, now: datetime) -> ScheduleRecord:
    """What is on record of a workflow from now on."""
    record = before or ScheduleRecord(one.name)
    since = {**{trigger.key: now for trigger in triggers(one)}, **record.since}
    if one.workflow is None or one.problem:
        return replace(record, problem=one.problem, since=since)
    return replace(
        record,
        source=str(one.workflow.path),
        definition=one.workflow.document.text,
        files=one.workflow.files,
        problem="",
        since=since,
    )
