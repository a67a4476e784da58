"""The tables of the journal, and the numbered migrations that make them.

A migration that has landed is never edited: append a new one.
"""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Engine,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    func,
    inspect,
    select,
)

from agentkit.errors import MachineError
from agentkit.journal.database import FORM

metadata = MetaData()

migrations = Table(
    "migrations",
    metadata,
    Column("number", Integer, primary_key=True),
)

runs = Table(
    "runs",
    metadata,
    Column("id", String, primary_key=True),
    Column("workflow", String, nullable=False),
    Column("source", String, nullable=False),
    Column("definition", Text, nullable=False),
    Column("files", Text),
    Column("parent", String, nullable=False, server_default="", index=True),
    Column("status", String, nullable=False, index=True),
    Column("started", String, nullable=False, index=True),
    Column("finished", String),
    Column("inputs", Text, nullable=False),
    Column("outputs", Text),
    Column("error", Text, nullable=False, default=""),
    Column("usage", Text),
)

steps = Table(
    "steps",
    metadata,
    Column("run", String, ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("step", String, primary_key=True),
    Column("key", String, primary_key=True),
    Column("position", Integer, nullable=False),
    Column("action", String, nullable=False),
    Column("status", String, nullable=False),
    Column("started", String, nullable=False),
    Column("finished", String),
    Column("inputs", Text),
    Column("outputs", Text),
    Column("error", Text, nullable=False, default=""),
    Column("detail", Text, nullable=False, default=""),
    Column("usage", Text),
)

artifacts = Table(
    "artifacts",
    metadata,
    Column("run", String, ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("path", String, primary_key=True),
    Column("step", String, nullable=False),
    Column("size", Integer, nullable=False),
    Column("sha256", String, nullable=False),
)

events = Table(
    "events",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("run", String, ForeignKey("runs.id", ondelete="CASCADE"), index=True),
    Column("time", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("data", Text, nullable=False),
)

texts = Table(
    "texts",
    metadata,
    Column("sha256", String, primary_key=True),
    Column("text", Text, nullable=False),
    Column("stored", Float, nullable=False),
)
"""Long strings, each stored once: a transcript is the prompt prefix of a hundred questions."""

calls = Table(
    "calls",
    metadata,
    Column("run", String, ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("id", String, primary_key=True),
    Column("step", String, nullable=False),
    Column("key", String, nullable=False),
    Column("position", Integer, nullable=False),
    Column("tool", String, nullable=False),
    Column("arguments", Text, nullable=False),
    Column("status", String, nullable=False),
    Column("started", String, nullable=False),
    Column("seconds", Float),
    Column("size", Integer),
    Column("outcome", Text),
)

requests = Table(
    "requests",
    metadata,
    Column("id", String, primary_key=True),
    Column("run", String, nullable=False),
    Column("tool", String, nullable=False),
    Column("arguments", Text, nullable=False),
    Column("key", String, nullable=False),
    Column("accesses", Text, nullable=False),
    Column("question", Text, nullable=False),
    Column("choices", Text, nullable=False),
    Column("asked", String, nullable=False),
    Column("answer", Text),
    Column("answered", String),
    Column("used", Boolean, nullable=False),
    Index("requests_of_a_run", "run", "key"),
)
"""Questions to a person.  They outlive their run, and some have none: no foreign key."""

rules = Table(
    "rules",
    metadata,
    Column("tool", String, primary_key=True),
    Column("effect", String, primary_key=True),
    Column("pattern", String, primary_key=True),
    Column("verdict", String, nullable=False),
    Column("made", String, nullable=False),
)
"""Answers that are remembered."""

letters = Table(
    "letters",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("run", String, ForeignKey("runs.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("kind", String, nullable=False),
    Column("text", Text, nullable=False),
    Column("sent", String, nullable=False),
    Column("taken", Boolean, nullable=False),
)
"""What people say to runs that are under way."""


attempts = Table(
    "attempts",
    metadata,
    Column("run", String, ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("step", String, primary_key=True),
    Column("key", String, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("status", String, nullable=False),
    Column("started", String, nullable=False),
    Column("finished", String),
    Column("error", Text, nullable=False, default=""),
)
"""Each beginning of a step, counted from 1; one that is `running` in a run that is not died."""

leases = Table(
    "leases",
    metadata,
    Column("run", String, primary_key=True),
    Column("fence", Integer, nullable=False),
    Column("owner", String, nullable=False),
    Column("boot", String, nullable=False),
    Column("renewed", Float, nullable=False),
    Column("wall", Float, nullable=False),
)
"""Who works on which run.  A lease is taken before its run is on record: no foreign key."""

results = Table(
    "results",
    metadata,
    Column("digest", String, primary_key=True),
    Column("run", String, nullable=False),
    Column("outputs", Text, nullable=False),
    Column("stored", Float, nullable=False),
)
"""What `cache:` keeps for other runs; they outlive the run that they came from."""


fires = Table(
    "fires",
    metadata,
    Column("workflow", String, primary_key=True),
    Column("occurrence", String, primary_key=True),
    Column("cause", String, nullable=False),
    Column("time", String, nullable=False),
    Column("decided", String, nullable=False),
    Column("status", String, nullable=False, index=True),
    Column("reason", Text, nullable=False, server_default=""),
    Column("run", String, nullable=False, server_default="", index=True),
    Column("owner", String, nullable=False, server_default=""),
    Column("given", Text, nullable=False),
    Column("files", Text, nullable=False),
    Column("moved", String, nullable=False, server_default=""),
    Index("fires_in_order", "workflow", "decided"),
)
"""What started workflows, each occurrence once; a fire outlives its run: no foreign key."""

schedules = Table(
    "schedules",
    metadata,
    Column("workflow", String, primary_key=True),
    Column("source", String, nullable=False, server_default=""),
    Column("definition", Text, nullable=False, server_default=""),
    Column("files", Text, nullable=False, server_default="{}"),
    Column("problem", Text, nullable=False, server_default=""),
    Column("paused", String),
    Column("since", Text, nullable=False, server_default="{}"),
)
"""Workflows with triggers: what their files said when they were last right, and who is paused."""

marks = Table(
    "marks",
    metadata,
    Column("name", String, primary_key=True),
    Column("time", String, nullable=False),
)
"""Up to when something was looked at."""


def _m001_first(connection: Connection) -> None:
    metadata.create_all(connection, tables=[runs, steps, artifacts, events, texts])


def _m002_calls_and_approvals(connection: Connection) -> None:
    metadata.create_all(connection, tables=[calls, requests, rules])


def _m003_letters(connection: Connection) -> None:
    metadata.create_all(connection, tables=[letters])


def _m004_attempts_and_cache(connection: Connection) -> None:
    metadata.create_all(connection, tables=[attempts, leases, results])
    there = {column["name"] for column in inspect(connection).get_columns(runs.name)}
    for column in (runs.c.files, runs.c.parent):
        if column.name not in there:  # a new database was made with them
            kind = column.type.compile(connection.dialect)
            default = " NOT NULL DEFAULT ''" if column is runs.c.parent else ""
            statement = f"ALTER TABLE {runs.name} ADD COLUMN {column.name} {kind}{default}"
            connection.exec_driver_sql(statement)


def _m005_schedule(connection: Connection) -> None:
    metadata.create_all(connection, tables=[fires, schedules, marks])
    connection.exec_driver_sql("CREATE INDEX IF NOT EXISTS runs_by_end ON runs (finished)")


MIGRATIONS = (
    _m001_first,
    _m002_calls_and_approvals,
    _m003_letters,
    _m004_attempts_and_cache,
    _m005_schedule,
)


assert len(MIGRATIONS) == FORM, "a database of the newest form is known by `database.FORM`"


def migrate(engine: Engine) -> None:
    """Bring a database to the newest form.  Safe to be called by two processes at once.

    Raises `MachineError` if the database was written by a newer agentkit.
    """
    with engine.connect() as connection:
        if _form(connection) == len(MIGRATIONS):
            return
    with engine.connect() as connection:
        alone(connection)  # whoever comes second sees what was done
        migrations.create(connection, checkfirst=True)
        for number in range(_form(connection) + 1, len(MIGRATIONS) + 1):
            MIGRATIONS[number - 1](connection)
            connection.execute(migrations.insert().values(number=number))
        connection.commit()


def alone(connection: Connection) -> None:
    """Let nobody else in until the transaction ends."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LOCK})")


LOCK = 7_061_989
"""A number that no other program on the server uses."""


def _form(connection: Connection) -> int:
    """The number of the last migration that was done."""
    if not inspect(connection).has_table(migrations.name):
        return 0
    form = connection.execute(select(func.max(migrations.c.number))).scalar() or 0
    if form > len(MIGRATIONS):
        raise MachineError(
            f"the journal has form {form}, this agentkit knows forms up to {len(MIGRATIONS)}",
            hint="pip install --upgrade agentkit",
        )
    return form
