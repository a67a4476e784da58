"""What is said to the database for every step, in SQL.  `:name` is the value of that name."""

from __future__ import annotations

from collections.abc import Iterable

FRESH = 3600.0
"""Seconds for which a text is kept that nothing names."""

AT = ("run", "step", "key")
"""What names a step, or an item of it."""

ENDS = ("status", "finished", "outputs", "error", "detail", "usage")
BEGINS = (*ENDS, "position", "action", "started", "inputs")
"""Columns that change when a step ends, and when it begins: one that begins again begins anew."""


def insert(table: str, columns: Iterable[str]) -> str:
    """A row."""
    columns = list(columns)
    values = ", ".join(f":{name}" for name in columns)
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({values})"  # noqa: S608


def put(table: str, by: Iterable[str], columns: Iterable[str], new: Iterable[str]) -> str:
    """A row; where there is one of the same key, some of its columns change."""
    by = list(by)
    changed = ", ".join(f"{name} = excluded.{name}" for name in new)
    row = insert(table, [*by, *columns])
    return f"{row} ON CONFLICT ({', '.join(by)}) DO UPDATE SET {changed}"


def keep(table: str, columns: Iterable[str]) -> str:
    """A row, unless it is there."""
    return f"{insert(table, columns)} ON CONFLICT DO NOTHING"


EVENT = insert("events", ("run", "time", "kind", "data"))
# One that is named again counts as new, or it could be removed while that is written.
TEXT = f"""
    {put("texts", ("sha256",), ("text", "stored"), ("stored",))}
    WHERE texts.stored < excluded.stored - {FRESH / 2}
"""

BEGIN_STEP = put("steps", AT, BEGINS, BEGINS)
END_STEP = put("steps", AT, BEGINS, ENDS)

# PostgreSQL wants to be told what a value is that stands in two places.
BEGIN_ATTEMPT = """
    INSERT INTO attempts (run, step, key, number, status, started, error)
    VALUES (:run, :step, :key, 1 + (
        SELECT count(*) FROM attempts WHERE run = CAST(:run AS VARCHAR)
        AND step = CAST(:step AS VARCHAR) AND key = CAST(:key AS VARCHAR)
    ), 'running', :started, '')
"""
END_ATTEMPT = """
    UPDATE attempts SET status = :status, finished = :finished, error = :error
    WHERE run = :run AND step = :step AND key = :key AND status = 'running'
"""

BEGIN_CALL = keep(
    "calls", ("run", "id", "step", "key", "position", "tool", "arguments", "status", "started")
)
END_CALL = """
    UPDATE calls SET status = :status, seconds = :seconds, size = :size, outcome = :outcome
    WHERE run = :run AND id = :id
"""

BEGIN_RUN = keep("runs", (
    "id", "workflow", "source", "parent", "files", "definition", "status", "started", "inputs",
    "error",
))  # fmt: skip
END_RUN = """
    UPDATE runs SET status = :status, finished = :finished, outputs = :outputs, error = :error,
        usage = :usage
    WHERE id = :run
"""
RESUME_RUN = "UPDATE runs SET status = 'running', finished = NULL, error = '' WHERE id = :run"
REDEFINE_RUN = "UPDATE runs SET definition = :definition, files = :files WHERE id = :run"
BURY_ATTEMPTS = "UPDATE attempts SET status = 'died' WHERE run = :run AND status = 'running'"
END_OPEN_STEPS = """
    UPDATE steps SET status = :status, finished = :finished
    WHERE run = :run AND status = 'running'
"""

RESULT = put("results", ("digest",), ("run", "outputs", "stored"), ("run", "outputs", "stored"))
ARTIFACT = put("artifacts", ("run", "path"), ("step", "size", "sha256"), ("step", "size", "sha256"))

RENEW = """
    UPDATE leases SET boot = :boot, renewed = :renewed, wall = :wall
    WHERE run = :run AND fence = :fence
"""
