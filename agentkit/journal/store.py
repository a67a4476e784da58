"""The journal: every run and step on disk as it happens.

`record` is a subscriber of the stream of events; when it returns, what it was told has reached the
disk (WAL with `synchronous=FULL`).  A run of which the process died stays `running` here.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path

from sqlalchemy import Connection, func, select, update

from agentkit import events as ev
from agentkit.errors import UnknownName
from agentkit.journal import rows
from agentkit.journal import tables as t
from agentkit.journal.database import Database
from agentkit.journal.desk import JournalDesk
from agentkit.journal.leases import SECONDS, Lease, Leases, check
from agentkit.journal.mailbox import JournalMailbox
from agentkit.journal.statements import statements
from agentkit.journal.texts import dump, forget_unnamed, parse, plain
from agentkit.records import (
    ArtifactRecord,
    AttemptRecord,
    Cached,
    CallRecord,
    EventRecord,
    Past,
    RunRecord,
    Settled,
    StepRecord,
)

_NEWEST = (
    select(t.runs)
    .where(t.runs.c.parent == "")
    .order_by(t.runs.c.started.desc(), t.runs.c.id.desc())
)


class Journal:
    """A SQLite file, or a database of PostgreSQL by its URL.

    Thread-safe; several processes may use one.
    """

    def __init__(self, place: Path | str, lease: float = SECONDS) -> None:
        self._database = Database(place)
        self.desk = JournalDesk(self._database)
        self.mailbox = JournalMailbox(self._database)
        self.leases = Leases(self._database, lease)

    def close(self) -> None:
        """Close all connections."""
        self._database.close()

    # -- writing -----------------------------------------------------------------------------

    def record(self, happened: ev.Event, lease: Lease | None = None) -> None:
        """Write an event and what it changes, in one transaction, as the holder of its run.

        Raises `MachineError` if the disk is full or the file cannot be written, and `Fenced` if the
        lease is somebody else's by now.
        """
        self.record_all([happened], lease)

    def record_all(self, happened: Sequence[ev.Event], lease: Lease | None = None) -> None:
        """The same for events between which nothing was done: all of them, or none."""
        lasting = [one for one in happened if not isinstance(one, ev.StepProgress)]
        if lasting:
            self._database.insist(partial(self._record, lasting, lease))

    def _record(self, happened: Sequence[ev.Event], lease: Lease | None) -> None:
        with self._database.write() as connection:
            if lease is not None:
                check(connection, lease)
            for one in happened:
                self._write(connection, one)

    def _write(self, connection: Connection, happened: ev.Event) -> None:
        say = statements(connection.dialect.name)
        if isinstance(happened, ev.RunStarted):
            self._insert_run(connection, happened)
        event = {
            "run": happened.run,
            "time": happened.time.isoformat(),
            "kind": happened.kind,
            "data": dump(connection, rows.summary(happened)),
        }
        connection.execute(say.event, event)
        match happened:
            case ev.RunResumed():
                self._resume_run(connection, happened)
            case ev.RunFinished():
                self._finish_run(connection, happened)
            case ev.ArtifactMade():
                self._insert_artifact(connection, happened)
            case ev.ForeachStarted():
                connection.execute(say.begin_step, rows.began(happened, action="foreach"))
            case ev.StepStarted():
                inputs = dump(connection, happened.inputs)
                began = rows.began(happened, action=happened.action, inputs=inputs)
                connection.execute(say.begin_step, began)
                connection.execute(say.begin_attempt, rows.attempt_begun(happened))
            case ev.StepSkipped():
                ended = happened.time.isoformat()
                skipped = rows.began(happened, status="skipped", finished=ended)
                connection.execute(say.begin_step, skipped)
            case ev.StepRetried():
                connection.execute(say.end_attempt, rows.attempt_ended(happened, "failed"))
            case ev.StepFinished():
                self._keep_result(connection, happened)
                outputs, usage = dump(connection, happened.outputs), rows.usage_text(happened.usage)
                done = rows.ended(happened, "succeeded", outputs=outputs, usage=usage)
                connection.execute(say.end_attempt, rows.attempt_ended(happened, "succeeded"))
                connection.execute(say.end_step, done)
            case ev.StepFailed():
                error, detail = plain(happened.error), plain(happened.detail)
                failed = rows.ended(happened, happened.status, error=error, detail=detail)
                connection.execute(say.end_attempt, rows.attempt_ended(happened, happened.status))
                connection.execute(say.end_step, failed)
            case ev.ToolCalled():
                arguments = dump(connection, happened.arguments)
                connection.execute(say.begin_call, rows.called(happened, arguments))
            case ev.ToolReturned():
                outcome = dump(connection, happened.outcome)
                connection.execute(say.end_call, rows.returned(happened, outcome))

    def _insert_run(self, connection: Connection, started: ev.RunStarted) -> None:
        connection.execute(
            self._database.insert(t.runs)
            .values(
                id=started.run,
                workflow=started.workflow,
                source=plain(started.source),
                parent=started.parent,
                files=dump(connection, started.files) if started.files else None,
                definition=plain(started.definition),
                status="running",
                started=started.time.isoformat(),
                inputs=dump(connection, started.inputs),
            )
            .on_conflict_do_nothing()  # written before, and the answer was lost on its way
        )

    def _resume_run(self, connection: Connection, resumed: ev.RunResumed) -> None:
        connection.execute(
            update(t.runs)
            .where(t.runs.c.id == resumed.run)
            .values(status="running", finished=None, error="")
        )
        if resumed.definition:
            files = dump(connection, resumed.files) if resumed.files else None
            connection.execute(
                update(t.runs)
                .where(t.runs.c.id == resumed.run)
                .values(definition=plain(resumed.definition), files=files)
            )
        died = (t.attempts.c.run == resumed.run) & (t.attempts.c.status == "running")
        connection.execute(update(t.attempts).where(died).values(status="died"))

    def _keep_result(self, connection: Connection, finished: ev.StepFinished) -> None:
        if not finished.cache or finished.cached:
            return
        values = {
            "run": finished.run,
            "outputs": dump(connection, finished.outputs),
            "stored": time.time(),
        }
        connection.execute(
            self._database.insert(t.results)
            .values(digest=finished.cache, **values)
            .on_conflict_do_update(index_elements=["digest"], set_=values)
        )

    def _finish_run(self, connection: Connection, finished: ev.RunFinished) -> None:
        connection.execute(
            update(t.runs)
            .where(t.runs.c.id == finished.run)
            .values(
                status=finished.status,
                finished=finished.time.isoformat(),
                outputs=dump(connection, finished.outputs),
                error=plain(finished.error),
                usage=rows.usage_text(finished.usage),
            )
        )
        # A foreach that was cancelled has no end of its own.
        left_open = (t.steps.c.run == finished.run) & (t.steps.c.status == "running")
        status = finished.status if finished.status in ("cancelled", "parked") else "failed"
        connection.execute(
            update(t.steps)
            .where(left_open)
            .values(status=status, finished=finished.time.isoformat())
        )

    def _insert_artifact(self, connection: Connection, made: ev.ArtifactMade) -> None:
        values = {"step": made.step, "size": made.size, "sha256": made.sha256}
        connection.execute(
            self._database.insert(t.artifacts)
            .values(run=made.run, path=made.path, **values)
            .on_conflict_do_update(index_elements=["run", "path"], set_=values)
        )

    # -- reading -----------------------------------------------------------------------------

    def runs(self, *, limit: int = 20, status: str | None = None) -> list[RunRecord]:
        """The newest runs, newest first, without those that belong to others."""
        query = _NEWEST if status is None else _NEWEST.where(t.runs.c.status == status)
        with self._database.read() as connection:
            return [
                rows.run_record(connection, row) for row in connection.execute(query.limit(limit))
            ]

    def count(self) -> int:
        """How many runs there are."""
        with self._database.read() as connection:
            return int(connection.execute(select(func.count()).select_from(t.runs)).scalar_one())

    def run(self, name: str) -> RunRecord:
        """A run by id, by a unique beginning of it, or `last`.  Raises `UnknownName`."""
        with self._database.read() as connection:
            if name == "last":
                query = _NEWEST.limit(1)
            else:
                begins = t.runs.c.id.startswith(name, autoescape=True)
                query = select(t.runs).where(begins).order_by(t.runs.c.id).limit(2)
            found = list(connection.execute(query))
            if len(found) == 1 or (found and found[0].id == name):
                return rows.run_record(connection, found[0])
            known = list(connection.execute(select(t.runs.c.id)).scalars())
        if found:
            raise UnknownName(
                "single run", name, [], hint="give more of the id: agentkit runs list"
            )
        raise UnknownName("run", name, known, hint="agentkit runs list")

    def definition(self, run: str) -> str:
        """The workflow file as it was when the run started."""
        query = select(t.runs.c.definition).where(t.runs.c.id == run)
        with self._database.read() as connection:
            return str(connection.execute(query).scalar_one())

    def files(self, run: str) -> dict[str, str]:
        """The files that the workflow named, as they were when the run started."""
        query = select(t.runs.c.files).where(t.runs.c.id == run)
        with self._database.read() as connection:
            return parse(connection, connection.execute(query).scalar_one()) or {}

    def past(self, run: str) -> Past:
        """What the run has finished, and where its process died."""
        settled = {
            (step.step, step.key): Settled(step.status, step.outputs, step.error)
            for step in self.steps(run)
            if step.status in ("succeeded", "skipped", "failed")
        }
        died = (
            select(t.attempts.c.step, t.attempts.c.key, func.count())
            .where(t.attempts.c.run == run, t.attempts.c.status.in_(("running", "died")))
            .group_by(t.attempts.c.step, t.attempts.c.key)
        )
        with self._database.read() as connection:
            deaths = {(step, key): count for step, key, count in connection.execute(died)}
        return Past(settled, deaths)

    def forget(self, run: str, steps: Iterable[str] | None = None) -> None:
        """Let steps of a run be done again, as if they had never begun; None: those that failed."""
        chosen = t.steps.c.status == "failed" if steps is None else t.steps.c.step.in_([*steps])
        with self._database.write() as connection:
            gone = select(t.steps.c.step, t.steps.c.key).where(t.steps.c.run == run, chosen)
            for step, key in connection.execute(gone).all():
                place = {"run": run, "step": step, "key": key}
                connection.execute(t.steps.delete().where(rows.at(t.steps, place)))
                past = rows.at(t.attempts, place) & (t.attempts.c.status.in_(("running", "died")))
                connection.execute(update(t.attempts).where(past).values(status="forgotten"))

    def events(self, run: str, after: int = 0, *, within: bool = False) -> list[EventRecord]:
        """What happened in a run, in order, from a number on; without what other tables hold.

        `within`: also in the runs that belong to it.
        """
        chosen = t.events.c.run == run
        if within:
            chosen |= t.events.c.run.startswith(f"{run}.", autoescape=True)
        query = (
            select(t.events).where(chosen, t.events.c.number > after).order_by(t.events.c.number)
        )
        with self._database.read() as connection:
            return [
                EventRecord(
                    row.number,
                    row.run,
                    row.kind,
                    datetime.fromisoformat(row.time),
                    parse(connection, row.data) or {},
                )
                for row in connection.execute(query)
            ]

    def remove(self, runs: Iterable[str]) -> None:
        """Forget runs with all that belongs to them."""
        with self._database.write() as connection:
            for run in runs:
                begins = t.runs.c.id.startswith(f"{run}.", autoescape=True)
                connection.execute(t.runs.delete().where((t.runs.c.id == run) | begins))
                begins = t.leases.c.run.startswith(f"{run}.", autoescape=True)
                connection.execute(t.leases.delete().where((t.leases.c.run == run) | begins))

    def shrink(self, age: float) -> None:
        """Forget kept results of that age, texts that nothing names, and give the room back."""
        oldest = time.time() - age
        with self._database.write() as connection:
            connection.execute(t.results.delete().where(t.results.c.stored < oldest))
            forget_unnamed(connection)
        self._database.vacuum()

    def cached(self, digest: str, age: float | None) -> Cached | None:
        """What a step kept under a digest, at most so many seconds ago."""
        query = select(t.results).where(t.results.c.digest == digest)
        if age is not None:
            query = query.where(t.results.c.stored >= time.time() - age)
        with self._database.read() as connection:
            row = connection.execute(query).first()
            return None if row is None else Cached(parse(connection, row.outputs), row.run)

    def attempts(self, run: str) -> list[AttemptRecord]:
        """The attempts at the steps of a run in the order in which they began."""
        query = select(t.attempts).where(t.attempts.c.run == run).order_by(
            t.attempts.c.started, t.attempts.c.number
        )  # fmt: skip
        with self._database.read() as connection:
            return [
                AttemptRecord(
                    row.step, row.key, row.number, row.status,
                    datetime.fromisoformat(row.started), rows.moment(row.finished), row.error,
                )
                for row in connection.execute(query)
            ]  # fmt: skip

    def steps(self, run: str) -> list[StepRecord]:
        """The steps of a run in the order in which they began; items follow their `foreach`."""
        query = (
            select(t.steps)
            .where(t.steps.c.run == run)
            .order_by(t.steps.c.started, t.steps.c.position)
        )
        with self._database.read() as connection:
            return [rows.step_record(connection, row) for row in connection.execute(query)]

    def calls(self, run: str) -> list[CallRecord]:
        """The tool calls of a run in the order in which they began."""
        query = select(t.calls).where(t.calls.c.run == run).order_by(t.calls.c.started)
        with self._database.read() as connection:
            return [rows.call_record(connection, row) for row in connection.execute(query)]

    def told(self, run: str, step: str, key: str) -> list[ev.AgentEvent]:
        """All that the agent of a step has decided and learned so far, in order."""
        place = (step, key)
        return [one for one in self.agent_events(run) if (one.step, one.key) == place]

    def agent_events(self, run: str) -> list[ev.AgentEvent]:
        """All that the agents of a run have decided and learned so far, in order."""
        query = (
            select(t.events)
            .where(t.events.c.run == run, t.events.c.kind.in_(ev.AGENT_EVENTS))
            .order_by(t.events.c.number)
        )
        with self._database.read() as connection:
            told = [(row, parse(connection, row.data) or {}) for row in connection.execute(query)]
        return [
            ev.agent_event(row.kind, run, datetime.fromisoformat(row.time), details)
            for row, details in told
        ]

    def artifacts(self, run: str) -> list[ArtifactRecord]:
        """The files that a run made."""
        query = select(t.artifacts).where(t.artifacts.c.run == run).order_by(t.artifacts.c.path)
        with self._database.read() as connection:
            return [
                ArtifactRecord(row.step, row.path, row.size, row.sha256)
                for row in connection.execute(query)
            ]
