"""The journal: every run and step on disk as it happens.

`record` is a subscriber of the stream of events; when it returns, what it was told has reached the
disk (WAL with `synchronous=FULL`).  A run of which the process died stays `running` here.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, create_engine, event, select, update
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.exc import DatabaseError, OperationalError
from sqlalchemy.pool import ConnectionPoolEntry

from agentkit import events as ev
from agentkit.errors import MachineError, UnknownName, human_bytes
from agentkit.journal import tables as t
from agentkit.messages import Usage
from agentkit.records import ArtifactRecord, RunRecord, StepRecord

LONG = 2000
"""Strings of more characters are stored once, by digest."""

BUSY_SECONDS = 10


class Journal:
    """A SQLite file.  Thread-safe; several processes may use one file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._engine = create_engine(
            f"sqlite:///{path}", connect_args={"timeout": BUSY_SECONDS}, hide_parameters=True
        )
        event.listen(self._engine, "connect", _configure)
        with self._explained():
            t.migrate(self._engine)

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    # -- writing -----------------------------------------------------------------------------

    def record(self, happened: ev.Event) -> None:
        """Write an event and what it changes, in one transaction.

        Raises `MachineError` if the disk is full or the file cannot be written.
        """
        if isinstance(happened, ev.StepProgress):
            return  # for the eyes only
        with self._explained(), self._engine.begin() as connection:
            if isinstance(happened, ev.RunStarted):
                self._insert_run(connection, happened)
            connection.execute(
                t.events.insert().values(
                    run=happened.run,
                    time=happened.time.isoformat(),
                    kind=happened.kind,
                    data=_dump(connection, _summary(happened)),
                )
            )
            match happened:
                case ev.RunFinished():
                    self._finish_run(connection, happened)
                case ev.ArtifactMade():
                    self._insert_artifact(connection, happened)
                case ev.StepStarted():
                    self._put_step(connection, happened, action=happened.action, status="running",
                                   inputs=_dump(connection, happened.inputs))  # fmt: skip
                case ev.ForeachStarted():
                    self._put_step(connection, happened, action="foreach", status="running")
                case ev.StepSkipped():
                    self._put_step(connection, happened, action="", status="skipped",
                                   finished=happened.time.isoformat())  # fmt: skip
                case ev.StepFinished():
                    self._finish_step(connection, happened, status="succeeded",
                                      outputs=_dump(connection, happened.outputs),
                                      usage=_usage_text(happened.usage))  # fmt: skip
                case ev.StepFailed():
                    self._put_step(connection, happened, action="", status="running")
                    self._finish_step(connection, happened, status=happened.status,
                                      error=happened.error, detail=happened.detail)  # fmt: skip

    def _insert_run(self, connection: Connection, started: ev.RunStarted) -> None:
        connection.execute(
            t.runs.insert().values(
                id=started.run,
                workflow=started.workflow,
                source=started.source,
                definition=started.definition,
                status="running",
                started=started.time.isoformat(),
                inputs=_dump(connection, started.inputs),
            )
        )

    def _finish_run(self, connection: Connection, finished: ev.RunFinished) -> None:
        connection.execute(
            update(t.runs)
            .where(t.runs.c.id == finished.run)
            .values(
                status=finished.status,
                finished=finished.time.isoformat(),
                outputs=_dump(connection, finished.outputs),
                error=finished.error,
                usage=_usage_text(finished.usage),
            )
        )

    def _insert_artifact(self, connection: Connection, made: ev.ArtifactMade) -> None:
        values = {"step": made.step, "size": made.size, "sha256": made.sha256}
        connection.execute(
            insert(t.artifacts)
            .values(run=made.run, path=made.path, **values)
            .on_conflict_do_update(index_elements=["run", "path"], set_=values)
        )

    def _put_step(self, connection: Connection, about: ev.StepEvent, **values: Any) -> None:
        connection.execute(
            insert(t.steps)
            .values(
                run=about.run,
                step=about.step,
                key=_key(about),
                position=about.item if about.item is not None else -1,
                started=about.time.isoformat(),
                **values,
            )
            .on_conflict_do_nothing()
        )

    def _finish_step(self, connection: Connection, about: ev.StepEvent, **values: Any) -> None:
        connection.execute(
            update(t.steps)
            .where(
                t.steps.c.run == about.run,
                t.steps.c.step == about.step,
                t.steps.c.key == _key(about),
            )
            .values(finished=about.time.isoformat(), **values)
        )

    # -- reading -----------------------------------------------------------------------------

    def runs(self, *, limit: int = 20) -> list[RunRecord]:
        """The newest runs, newest first."""
        query = select(t.runs).order_by(t.runs.c.started.desc(), t.runs.c.id.desc()).limit(limit)
        with self._explained(), self._engine.connect() as connection:
            return [_run(connection, row) for row in connection.execute(query)]

    def run(self, name: str) -> RunRecord:
        """A run by id, by a unique beginning of it, or `last`.  Raises `UnknownName`."""
        with self._explained(), self._engine.connect() as connection:
            if name == "last":
                query = select(t.runs).order_by(t.runs.c.started.desc()).limit(1)
            else:
                query = select(t.runs).where(t.runs.c.id.startswith(name, autoescape=True)).limit(2)
            rows = list(connection.execute(query))
            if len(rows) == 1:
                return _run(connection, rows[0])
            known = list(connection.execute(select(t.runs.c.id)).scalars())
        if rows:
            raise UnknownName("single run", name, [], hint="give more of the id: agentkit runs list")
        raise UnknownName("run", name, known, hint="agentkit runs list")

    def definition(self, run: str) -> str:
        """The workflow file as it was when the run started."""
        query = select(t.runs.c.definition).where(t.runs.c.id == run)
        with self._explained(), self._engine.connect() as connection:
            return str(connection.execute(query).scalar_one())

    def steps(self, run: str) -> list[StepRecord]:
        """The steps of a run in the order in which they began; items follow their `foreach`."""
        query = (
            select(t.steps)
            .where(t.steps.c.run == run)
            .order_by(t.steps.c.started, t.steps.c.position)
        )
        with self._explained(), self._engine.connect() as connection:
            return [_step(connection, row) for row in connection.execute(query)]

    def artifacts(self, run: str) -> list[ArtifactRecord]:
        """The files that a run made."""
        query = select(t.artifacts).where(t.artifacts.c.run == run).order_by(t.artifacts.c.path)
        with self._explained(), self._engine.connect() as connection:
            return [
                ArtifactRecord(row.step, row.path, row.size, row.sha256)
                for row in connection.execute(query)
            ]

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """SQLite's errors as ours, with the file and the way out."""
        try:
            yield
        except (OperationalError, DatabaseError) as error:
            cause = str(error.orig)
            hint = "check that the disk has room and the folder can be written"
            if "malformed" in cause or "not a database" in cause:
                hint = f"move it away and go on with a new one: mv {self.path} {self.path}.damaged"
            elif "locked" in cause:
                hint = "another agentkit holds it for long; try again when that one is done"
            elif self.path.exists():
                hint += f" ({self.path} has {human_bytes(self.path.stat().st_size)})"
            raise MachineError(f"the journal {self.path}: {cause}", hint=hint) from None


def _configure(connection: sqlite3.Connection, record: ConnectionPoolEntry) -> None:
    del record
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _key(about: ev.StepEvent) -> str:
    return "" if about.item is None else str(about.item)


def _summary(happened: ev.Event) -> dict[str, Any]:
    """An event without what the tables of runs and steps hold anyway."""
    bulky = {"definition", "inputs", "outputs", "detail", "usage"}
    return {name: value for name, value in happened.details().items() if name not in bulky}


def _dump(connection: Connection, value: Any) -> str:
    """JSON in which long strings are replaced by `{"$text": digest}` and stored once."""

    def shrink(node: Any) -> Any:
        if isinstance(node, str) and len(node) > LONG:
            digest = hashlib.sha256(node.encode("utf-8", "surrogatepass")).hexdigest()
            row = {"sha256": digest, "text": node, "stored": time.time()}
            connection.execute(insert(t.texts).values(row).on_conflict_do_nothing())
            return {"$text": digest}
        if isinstance(node, dict):
            return {key: shrink(item) for key, item in node.items()}
        if isinstance(node, list | tuple):
            return [shrink(item) for item in node]
        return node

    return json.dumps(shrink(value), ensure_ascii=True)


def _parse(connection: Connection, text: str | None) -> Any:
    def grow(node: Any) -> Any:
        if isinstance(node, dict):
            if set(node) == {"$text"}:
                query = select(t.texts.c.text).where(t.texts.c.sha256 == node["$text"])
                return connection.execute(query).scalar_one_or_none()
            return {key: grow(item) for key, item in node.items()}
        if isinstance(node, list):
            return [grow(item) for item in node]
        return node

    return None if text is None else grow(json.loads(text))


def _usage_text(usage: Usage | None) -> str | None:
    return None if usage is None else json.dumps(asdict(usage))


def _usage(text: str | None) -> Usage | None:
    return None if text is None else Usage(**json.loads(text))


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _run(connection: Connection, row: Row[Any]) -> RunRecord:
    return RunRecord(
        id=row.id,
        workflow=row.workflow,
        source=row.source,
        status=row.status,
        started=datetime.fromisoformat(row.started),
        finished=_time(row.finished),
        inputs=_parse(connection, row.inputs),
        outputs=_parse(connection, row.outputs),
        error=row.error,
        usage=_usage(row.usage),
    )


def _step(connection: Connection, row: Row[Any]) -> StepRecord:
    return StepRecord(
        step=row.step,
        key=row.key,
        action=row.action,
        status=row.status,
        started=datetime.fromisoformat(row.started),
        finished=_time(row.finished),
        inputs=_parse(connection, row.inputs),
        outputs=_parse(connection, row.outputs),
        error=row.error,
        usage=_usage(row.usage),
    )
