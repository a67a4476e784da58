"""What started workflows, and what is known of those that start by themselves.

A fire is here before its run begins, under what occurred: whoever writes it first has it, and a
second scheduler, a restart or a clock that was put back finds it there.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from agentkit.journal.database import Connection, Database, beginning, one_of
from agentkit.journal.rows import moment
from agentkit.journal.statements import keep, put
from agentkit.journal.texts import dump, parse, plain
from agentkit.records import Fire, RunEnd, ScheduleRecord

MARK = "schedule"
"""Up to when due times have been decided."""

BODY = "delivery sha256="
"""How the occurrence of a webhook begins whose sender signs no time."""

_ADD = keep("fires", (
    "workflow", "occurrence", "cause", "time", "decided", "status", "reason", "run", "owner",
    "given", "files", "moved",
))  # fmt: skip
_MARK = put("marks", ("name",), ("time",), ("time",))
_ANY_DUE = "SELECT 1 FROM fires WHERE status = 'due' LIMIT 1"
_BEGUN = """
    UPDATE fires SET status = 'begun', given = '{}'
    WHERE status = 'due' AND run IN (SELECT id FROM runs)
"""
_DUE = "SELECT * FROM fires WHERE status = 'due' ORDER BY decided, time"
_CLAIM = """
    UPDATE fires SET owner = :owner WHERE run = :run AND owner = :before AND status = 'due'
"""
_SETTLE = """
    UPDATE fires SET status = :status, given = '{}',
        reason = coalesce(nullif(CAST(:reason AS VARCHAR), ''), reason)
    WHERE run = :run AND status = 'due'
"""
_RECENT = """
    SELECT fires.*, runs.status AS outcome, runs.error AS error
    FROM fires LEFT JOIN runs ON runs.id = fires.run
    WHERE fires.workflow = :workflow AND fires.status <> 'known'
    ORDER BY fires.decided DESC, fires.time DESC LIMIT :count
"""
_ARRIVED = "SELECT occurrence, moved FROM fires WHERE workflow = :workflow AND moved <> ''"
_FORGET = """
    DELETE FROM fires WHERE decided < :before AND status <> 'due' AND moved = ''
        AND occurrence NOT LIKE :body ESCAPE '/'
"""

_KNOWN = ("source", "definition", "files", "problem", "since")
_KEEP = put("schedules", ("workflow",), _KNOWN, _KNOWN)
_PAUSE = put("schedules", ("workflow",), ("paused",), ("paused",))
_RESUME = "UPDATE schedules SET paused = NULL, since = :since WHERE workflow = :workflow"


class Fires:
    """Those of one journal.  May be used from any thread, and by several processes at once."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # -- fires -----------------------------------------------------------------------------------

    def add(self, fires: Sequence[Fire], mark: datetime | None = None) -> list[Fire]:
        """Put fires on record, and up to when all was decided; those that were not there yet."""
        with self._database.write() as connection:
            if mark is not None:
                connection.execute(_MARK, {"name": MARK, "time": mark.isoformat()})
            return [
                one for one in fires if connection.execute(_ADD, _row(connection, one)).rowcount
            ]

    def due(self) -> list[Fire]:
        """Fires whose run is not on record, the oldest first; those whose run is are `begun`."""
        with self._database.read() as connection:
            if connection.execute(_ANY_DUE).fetchone() is None:
                return []
        with self._database.write(lasting=False) as connection:
            connection.execute(_BEGUN)
            return [_fire(connection, row) for row in connection.execute(_DUE).fetchall()]

    def claim(self, fire: Fire, owner: str) -> bool:
        """Take a fire over from a scheduler that is dead; False if somebody was faster."""
        claim = {"run": fire.run, "before": fire.owner, "owner": owner}
        with self._database.write() as connection:
            return bool(connection.execute(_CLAIM, claim).rowcount)

    def settle(self, run: str, status: str, reason: str = "") -> None:
        """Say what became of a fire that was due; that it began could be found out again."""
        said = {"run": run, "status": status, "reason": plain(reason)}
        with self._database.write(lasting=status != "begun") as connection:
            connection.execute(_SETTLE, said)

    def of(self, run: str) -> Fire | None:
        """What started a run; None: nothing did by itself."""
        with self._database.read() as connection:
            query = "SELECT * FROM fires WHERE run = :run"
            row = connection.execute(query, {"run": run}).fetchone()
            return None if row is None else _fire(connection, row)

    def recent(self, workflow: str, limit: int = 10) -> list[Fire]:
        """The fires of a workflow, the newest first, without files that lay there before."""
        with self._database.read() as connection:
            about = {"workflow": workflow, "count": limit}
            return [_fire(connection, row) for row in connection.execute(_RECENT, about).fetchall()]

    def arrived(self, workflow: str) -> tuple[set[str], set[str]]:
        """The files that are on record: by occurrence, and by what they keep when moved."""
        with self._database.read() as connection:
            rows = connection.execute(_ARRIVED, {"workflow": workflow}).fetchall()
        return {row.occurrence for row in rows}, {row.moved for row in rows}

    def forget(self, before: datetime) -> None:
        """Forget old fires, but those that could come again then: of files, and of bodies of
        webhooks.
        """
        about = {"before": before.isoformat(), "body": beginning(BODY)}
        with self._database.write() as connection:
            connection.execute(_FORGET, about)

    # -- workflows with triggers -----------------------------------------------------------------

    def schedules(self) -> dict[str, ScheduleRecord]:
        """All that are known, by name."""
        with self._database.read() as connection:
            rows = connection.execute("SELECT * FROM schedules").fetchall()
        return {row.workflow: _schedule(row) for row in rows}

    def keep(self, records: Iterable[ScheduleRecord], lying: Sequence[Fire] = ()) -> None:
        """Write down what is known of workflows; whether they are paused stays as it is.

        `lying` are files that lay there when a trigger was first seen: that it was, and what lay
        there, is known together or not at all.
        """
        with self._database.write() as connection:
            for fire in lying:
                connection.execute(_ADD, _row(connection, fire))
            for one in records:
                known = {
                    "workflow": one.workflow,
                    "source": plain(one.source),
                    "definition": plain(one.definition),
                    "files": json.dumps(dict(one.files)),
                    "problem": plain(one.problem),
                    "since": json.dumps({key: at.isoformat() for key, at in one.since.items()}),
                }
                connection.execute(_KEEP, known)

    def pause(self, workflow: str, now: datetime) -> None:
        """Let nothing start it any more."""
        with self._database.write() as connection:
            connection.execute(_PAUSE, {"workflow": workflow, "paused": now.isoformat()})

    def resume(self, workflow: str, now: datetime) -> None:
        """Let it be started again, by what happens from now on."""
        with self._database.write(alone=True) as connection:
            query = "SELECT since FROM schedules WHERE workflow = :workflow"
            row = connection.execute(query, {"workflow": workflow}).fetchone()
            if row is not None:
                since = json.dumps(dict.fromkeys(json.loads(row.since), now.isoformat()))
                connection.execute(_RESUME, {"workflow": workflow, "since": since})

    def paused(self) -> dict[str, datetime]:
        """Who is paused, and since when."""
        query = "SELECT workflow, paused FROM schedules WHERE paused IS NOT NULL"
        with self._database.read() as connection:
            rows = connection.execute(query).fetchall()
        return {row.workflow: datetime.fromisoformat(row.paused) for row in rows}

    # -- up to when, and what others wait for ----------------------------------------------------

    def mark(self) -> datetime | None:
        """Up to when due times have been decided; None: nobody ever looked."""
        with self._database.read() as connection:
            query = "SELECT time FROM marks WHERE name = :name"
            row = connection.execute(query, {"name": MARK}).fetchone()
            return None if row is None else datetime.fromisoformat(row.time)

    def ended(self, workflows: Iterable[str], after: datetime) -> list[RunEnd]:
        """Runs of some workflows that ended after a moment, in order."""
        chosen, named = one_of("workflow", workflows)
        query = f"""
            SELECT id, workflow, status, finished FROM runs
            WHERE finished > :after AND parent = '' AND {chosen}
                AND status IN ('succeeded', 'failed', 'cancelled')
            ORDER BY finished
        """  # noqa: S608
        with self._database.read() as connection:
            rows = connection.execute(query, {"after": after.isoformat(), **named}).fetchall()
        return [
            RunEnd(row.id, row.workflow, row.status, datetime.fromisoformat(row.finished))
            for row in rows
        ]


def _row(connection: Connection, fire: Fire) -> Mapping[str, Any]:
    return {
        "workflow": fire.workflow,
        "occurrence": fire.occurrence.encode("utf-8", "backslashreplace").decode(),
        "cause": plain(fire.trigger),
        "time": fire.time.isoformat(),
        "decided": fire.decided.isoformat(),
        "status": fire.status,
        "reason": plain(fire.reason),
        "run": fire.run,
        "owner": fire.owner,
        "given": dump(connection, fire.given),
        "files": json.dumps(list(fire.files)),
        "moved": fire.moved,
    }


def _fire(connection: Connection, row: Any) -> Fire:
    return Fire(
        workflow=row.workflow,
        occurrence=row.occurrence,
        trigger=row.cause,
        time=datetime.fromisoformat(row.time),
        decided=datetime.fromisoformat(row.decided),
        status=row.status,
        reason=row.reason,
        run=row.run,
        owner=row.owner,
        given=parse(connection, row.given) or {},
        files=tuple(json.loads(row.files)),
        moved=row.moved,
        outcome=getattr(row, "outcome", None) or "",
        error=getattr(row, "error", None) or "",
    )


def _schedule(row: Any) -> ScheduleRecord:
    since = json.loads(row.since)
    return ScheduleRecord(
        workflow=row.workflow,
        source=row.source,
        definition=row.definition,
        files=json.loads(row.files),
        problem=row.problem,
        paused=moment(row.paused),
        since={key: datetime.fromisoformat(at) for key, at in since.items()},
    )
