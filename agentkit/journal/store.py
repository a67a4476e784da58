"""The journal: every run and step on disk as it happens, and read again.

`record` is a subscriber of the stream of events; when it returns, what it was told is on record
(see `Database.write` for what that means in a power cut).  A run of which the process died stays
`running` here.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from agentkit import events as ev
from agentkit.errors import UnknownName
from agentkit.journal import ledger, rows
from agentkit.journal.database import Database, beginning, one_of
from agentkit.journal.desk import JournalDesk
from agentkit.journal.fires import Fires
from agentkit.journal.leases import SECONDS, Lease, Leases, check
from agentkit.journal.mailbox import JournalMailbox
from agentkit.journal.texts import forget_unnamed, parse
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

_NEWEST = "SELECT * FROM runs WHERE parent = '' {} ORDER BY started DESC, id DESC LIMIT :limit"

_DIED = """
    SELECT step, key, started FROM attempts
    WHERE run = :run AND status IN ('running', 'died') ORDER BY step, key, number
"""
_BEGAN = "SELECT started FROM runs WHERE id = :run"
_LAST_TURN = """
    SELECT kind, data FROM events WHERE run = :run AND kind IN ('RunEnding', 'RunFinished')
    ORDER BY number DESC LIMIT 1
"""
_FIRST = "SELECT data FROM events WHERE run = :run AND kind = 'RunStarted' ORDER BY number LIMIT 1"
_FORGET_STEP = "DELETE FROM steps WHERE run = :run AND step = :step AND key = :key"
_FORGET_ATTEMPTS = """
    UPDATE attempts SET status = 'forgotten'
    WHERE run = :run AND step = :step AND key = :key AND status IN ('running', 'died')
"""


_NOT_AGAIN = "UPDATE fires SET status = 'begun', given = '{}' WHERE run = :run AND status = 'due'"
"""What started a run that is forgotten does not start it anew."""


class Journal:
    """A SQLite file, or a database of PostgreSQL by its URL.

    Thread-safe; several processes may use one.
    """

    def __init__(self, place: Path | str, lease: float = SECONDS) -> None:
        self._database = Database(place)
        self.desk = JournalDesk(self._database)
        self.mailbox = JournalMailbox(self._database)
        self.fires = Fires(self._database)
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
        lasting = any(map(ledger.lasting, happened))
        with self._database.write(lasting=lasting) as connection:
            if lease is not None:
                check(connection, lease)
            for one in happened:
                ledger.write(connection, one)

    # -- reading -----------------------------------------------------------------------------

    def runs(self, *, limit: int = 20, status: str | None = None) -> list[RunRecord]:
        """The newest runs, newest first, without those that belong to others."""
        query = _NEWEST.format("" if status is None else "AND status = :status")
        about = {"limit": limit, "status": status}
        with self._database.read() as connection:
            return [rows.run_record(connection, row) for row in connection.execute(query, about)]

    def count(self) -> int:
        """How many runs there are."""
        with self._database.read() as connection:
            return int(connection.execute("SELECT count(*) FROM runs").fetchone()[0])

    def run(self, name: str) -> RunRecord:
        """A run by id, by a unique beginning of it, or `last`.  Raises `UnknownName`."""
        with self._database.read() as connection:
            if name == "last":
                found = connection.execute(_NEWEST.format(""), {"limit": 1}).fetchall()
            else:
                query = "SELECT * FROM runs WHERE id LIKE :begins ESCAPE '/' ORDER BY id LIMIT 2"
                found = connection.execute(query, {"begins": beginning(name)}).fetchall()
            if len(found) == 1 or (found and found[0].id == name):
                return rows.run_record(connection, found[0])
            known = [one for (one,) in connection.execute("SELECT id FROM runs")]
        if found:
            raise UnknownName(
                "single run", name, [], hint="give more of the id: agentkit runs list"
            )
        raise UnknownName("run", name, known, hint="agentkit runs list")

    def has(self, run: str) -> bool:
        """Whether a run has begun, by its whole id."""
        with self._database.read() as connection:
            found = connection.execute("SELECT 1 FROM runs WHERE id = :run", {"run": run})
            return found.fetchone() is not None

    def definition(self, run: str) -> str:
        """The workflow file as it was when the run started."""
        query = "SELECT definition FROM runs WHERE id = :run"
        with self._database.read() as connection:
            return str(connection.execute(query, {"run": run}).fetchone().definition)

    def files(self, run: str) -> dict[str, str]:
        """The files that the workflow named, as they were when the run started."""
        query = "SELECT files FROM runs WHERE id = :run"
        with self._database.read() as connection:
            return parse(connection, connection.execute(query, {"run": run}).fetchone().files) or {}

    def past(self, run: str) -> Past:
        """What the run has finished, and where its process died."""
        settled = {
            (step.step, step.key): Settled(step.status, step.outputs, step.error)
            for step in self.steps(run)
            if step.status in ("succeeded", "skipped", "failed")
        }
        with self._database.read() as connection:
            died = connection.execute(_DIED, {"run": run}).fetchall()
            began = connection.execute(_BEGAN, {"run": run}).fetchone()
            turn = connection.execute(_LAST_TURN, {"run": run}).fetchone()
            cancelled = parse(connection, turn.data) if turn and turn.kind == "RunEnding" else None
        ending = cancelled["reason"] if cancelled else None
        deaths = self._deaths(run, died) if died else {}
        return Past(settled, deaths, rows.moment(began.started) if began else None, ending)

    def _deaths(self, run: str, died: Sequence[Any]) -> dict[tuple[str, str], int]:
        """How often in a row a process died in a step that came no further: of an agent those do
        not count after which a call of its was done.
        """
        further = {
            (event.step, event.key): event.time
            for event in self.agent_events(run)
            if isinstance(event, ev.ActFinished) and event.status == "returned"
        }
        deaths = Counter[tuple[str, str]]()
        for step, key, started in died:
            place = (step, key)
            last = further.get(place)
            deaths[place] = (
                1 if last and datetime.fromisoformat(started) <= last else deaths[place] + 1
            )
        return dict(deaths)

    def terms(self, run: str) -> Mapping[str, Any]:
        """On whose behalf a run is done: `events.RunStarted.terms`."""
        with self._database.read() as connection:
            row = connection.execute(_FIRST, {"run": run}).fetchone()
            about = parse(connection, row.data) if row else None
        terms: Mapping[str, Any] = (about or {}).get("terms", {})
        return terms

    def forget(self, run: str, steps: Mapping[str, Collection[str] | None]) -> None:
        """Let steps of a run be done again, as if they had never begun: these items, None: all."""
        with self._database.write() as connection:
            there = connection.execute("SELECT step, key FROM steps WHERE run = :run", {"run": run})
            for step, key in there.fetchall():
                keys = steps.get(step, ())
                if keys is not None and key not in keys:
                    continue
                place = {"run": run, "step": step, "key": key}
                connection.execute(_FORGET_STEP, place)
                connection.execute(_FORGET_ATTEMPTS, place)

    def events(self, run: str, after: int = 0, *, within: bool = False) -> list[EventRecord]:
        """What happened in a run, in order, from a number on; without what other tables hold.

        `within`: also in the runs that belong to it.
        """
        chosen = "(run = :run OR run LIKE :within ESCAPE '/')" if within else "run = :run"
        query = f"SELECT * FROM events WHERE {chosen} AND number > :after ORDER BY number"  # noqa: S608
        about = {"run": run, "within": beginning(f"{run}."), "after": after}
        with self._database.read() as connection:
            return [
                EventRecord(
                    row.number,
                    row.run,
                    row.kind,
                    datetime.fromisoformat(row.time),
                    parse(connection, row.data) or {},
                )
                for row in connection.execute(query, about)
            ]

    def remove(self, runs: Iterable[str], lease: Lease | None = None) -> None:
        """Forget runs with all that belongs to them, as the holder of a lease, which goes, too.

        Raises `Fenced` if the lease is somebody else's by now; nothing is gone then.
        """
        with self._database.write() as connection:
            if lease is not None:
                check(connection, lease)
            for run in runs:
                connection.execute(_NOT_AGAIN, {"run": run})
                those = {"run": run, "inner": beginning(f"{run}."), "item": beginning(f"{run}[")}
                for table, column in (("runs", "id"), ("leases", "run"), ("requests", "run")):
                    theirs = (f"{column} LIKE :{one} ESCAPE '/'" for one in ("inner", "item"))
                    chosen = " OR ".join((f"{column} = :run", *theirs))
                    connection.execute(f"DELETE FROM {table} WHERE {chosen}", those)  # noqa: S608

    def shrink(self, age: float) -> None:
        """Forget kept results and fires of that age, texts that nothing names; free their room."""
        self.fires.forget(datetime.now(UTC) - timedelta(seconds=age))
        oldest = time.time() - age
        with self._database.write() as connection:
            connection.execute("DELETE FROM results WHERE stored < :oldest", {"oldest": oldest})
        forget_unnamed(self._database)
        self._database.vacuum()

    def cached(self, digest: str, age: float | None) -> Cached | None:
        """What a step kept under a digest, at most so many seconds ago."""
        query = "SELECT * FROM results WHERE digest = :digest AND stored >= :oldest"
        about = {"digest": digest, "oldest": 0.0 if age is None else time.time() - age}
        with self._database.read() as connection:
            row = connection.execute(query, about).fetchone()
            return None if row is None else Cached(parse(connection, row.outputs), row.run)

    def attempts(self, run: str) -> list[AttemptRecord]:
        """The attempts at the steps of a run in the order in which they began."""
        query = "SELECT * FROM attempts WHERE run = :run ORDER BY started, number"
        with self._database.read() as connection:
            return [
                AttemptRecord(
                    row.step, row.key, row.number, row.status,
                    datetime.fromisoformat(row.started), rows.moment(row.finished), row.error,
                )
                for row in connection.execute(query, {"run": run})
            ]  # fmt: skip

    def steps(self, run: str) -> list[StepRecord]:
        """The steps of a run in the order in which they began; items follow their `foreach`."""
        query = "SELECT * FROM steps WHERE run = :run ORDER BY started, position"
        with self._database.read() as connection:
            found = connection.execute(query, {"run": run})
            return [rows.step_record(connection, row) for row in found]

    def calls(self, run: str) -> list[CallRecord]:
        """The tool calls of a run in the order in which they began."""
        query = "SELECT * FROM calls WHERE run = :run ORDER BY started"
        with self._database.read() as connection:
            found = connection.execute(query, {"run": run})
            return [rows.call_record(connection, row) for row in found]

    def told(self, run: str, step: str, key: str) -> list[ev.AgentEvent]:
        """All that the agent of a step has decided and learned so far, in order."""
        place = (step, key)
        return [one for one in self.agent_events(run) if (one.step, one.key) == place]

    def agent_events(self, run: str) -> list[ev.AgentEvent]:
        """All that the agents of a run have decided and learned so far, in order."""
        chosen, named = one_of("kind", ev.AGENT_EVENTS)
        query = f"SELECT * FROM events WHERE run = :run AND {chosen} ORDER BY number"  # noqa: S608
        with self._database.read() as connection:
            found = connection.execute(query, {"run": run, **named})
            told = [(row, parse(connection, row.data) or {}) for row in found]
        return [
            ev.agent_event(row.kind, run, datetime.fromisoformat(row.time), details)
            for row, details in told
        ]

    def artifacts(self, run: str) -> list[ArtifactRecord]:
        """The files that a run made."""
        query = "SELECT * FROM artifacts WHERE run = :run ORDER BY path"
        with self._database.read() as connection:
            return [
                ArtifactRecord(row.step, row.path, row.size, row.sha256)
                for row in connection.execute(query, {"run": run})
            ]
