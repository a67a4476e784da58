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
    """A condition on the number of an entry, and its parameters: to find all that fit.

    It is answered by indexes alone, without reading entries.  Raises `UserError` for an operator
    that does not exist or a time that is none.
    """
    found = [_one(condition) for condition in where]
    parts = [f"{entry} {no} IN (SELECT {number} FROM {rows})" for no, number, rows, _ in found]  # noqa: S608
    return " AND ".join(["1", *parts]), [value for *_, values in found for value in values]


def holding(where: Sequence[Condition], entry: str) -> tuple[str, list[Scalar]]:
    """The same, to look at some entries one by one: it does not matter how many others fit."""
    found = [_one(condition) for condition in where]
    parts = [
        f"{no} EXISTS (SELECT 1 FROM {rows} AND {number} = {entry})"  # noqa: S608
        for no, number, rows, _ in found
    ]
    return " AND ".join(["1", *parts]), [value for *_, values in found for value in values]


def _one(condition: Condition) -> tuple[str, str, str, list[Scalar]]:
    """Whether it is turned round, what is the number of an entry, in which rows, parameters."""
    if condition.operator not in OPERATORS:
        raise UserError(f"{condition.operator!r} is none of {', '.join(OPERATORS)}")
    operator = OPERATORS[condition.operator]
    if column := COLUMNS.get(condition.key):
        return "", "entries.id", f"entries WHERE {column} {operator} ?", [_value(condition)]
    parameters = [condition.key, condition.value]
    if condition.operator == "!=":
        rows = "metadata WHERE metadata.key = ? AND value = ?"
        return "NOT", "metadata.entry", rows, parameters
    kind = "'text'" if isinstance(condition.value, str) else "'integer', 'real'"
    rows = f"metadata WHERE metadata.key = ? AND value {operator} ? AND typeof(value) IN ({kind})"
    return "", "metadata.entry", rows, parameters


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
