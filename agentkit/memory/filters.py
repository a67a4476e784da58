"""Conditions on entries, as SQL.

There are three ways to ask, and each is slow where another one is quick:

matching    all that fit: the entries that each condition fits are listed
holding     some, looked at one by one, however many others fit
beginning   all that fit: those that the narrowest condition fits are looked at one by one

`fewest` tells in a millisecond whether few fit, without looking for them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from sqlite3 import Connection

from agentkit.errors import UserError
from agentkit.ports import Condition, Scalar

COLUMNS = {"id": "key", "source": "source", "time": "time"}
"""What every entry has, by the names that conditions use; no metadata may be named so."""

OPERATORS = {"=": "=", "!=": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">=", "~": "GLOB"}

COUNTED = 10_000
"""So far each of several conditions is counted to find the narrowest: a millisecond for each."""


@dataclass(frozen=True, slots=True)
class _Rows:
    """The rows of the entries of which a condition holds; turned round, of which it does not."""

    turned: bool
    table: str
    entry: str  # the column that says which entry a row is of
    test: str
    parameters: list[Scalar]

    @property
    def _no(self) -> str:
        return "NOT " if self.turned else ""

    def holds(self, entry: str) -> str:
        """Whether the condition holds of one entry."""
        rows = f"SELECT 1 FROM {self.table} WHERE {self.test} AND {self.entry} = {entry}"  # noqa: S608
        return f"{self._no}EXISTS ({rows})"

    def listed(self, entry: str) -> str:
        """The same, from a list of all that have such a row."""
        return f"{entry} {self._no}IN (SELECT {self.entry} FROM {self.table} WHERE {self.test})"  # noqa: S608

    def count(self, connection: Connection, most: int) -> int:
        """How many there are, as far as that matters."""
        rows = f"SELECT 1 FROM {self.table} WHERE {self.test} LIMIT ?"  # noqa: S608
        counted = connection.execute(f"SELECT count(*) FROM ({rows})", [*self.parameters, most])  # noqa: S608
        return int(counted.fetchone()[0])


def matching(where: Sequence[Condition], entry: str = "entries.id") -> tuple[str, list[Scalar]]:
    """A condition on the number of an entry, and its parameters: to find all that fit.

    It is answered by indexes alone, without reading entries.  Raises `UserError` for an operator
    that does not exist or a time that is none.
    """
    found = [_rows(condition) for condition in where]
    return _all(rows.listed(entry) for rows in found), _parameters(found)


def holding(where: Sequence[Condition], entry: str) -> tuple[str, list[Scalar]]:
    """The same, to look at some entries one by one: it does not matter how many others fit."""
    found = [_rows(condition) for condition in where]
    return _all(rows.holds(entry) for rows in found), _parameters(found)


def beginning(
    connection: Connection, where: Sequence[Condition], table: str, entry: str
) -> tuple[str, str, list[Scalar]]:
    """What to select from, a condition and its parameters: to find all rows of a table that fit.

    What only says which entries do not fit cannot begin.
    """
    found = [_rows(condition) for condition in where]
    able = [rows for rows in found if not rows.turned]
    if not able:
        return table, *matching(where, entry)
    first = min(able, key=lambda rows: rows.count(connection, COUNTED))
    rest = [rows for rows in found if rows is not first]
    source = f"{first.table} CROSS JOIN {table} ON {entry} = {first.entry}"  # in this order
    tests = [first.test, *(rows.holds(entry) for rows in rest)]
    return source, _all(tests), _parameters([first, *rest])


def fewest(connection: Connection, where: Sequence[Condition], most: int) -> int:
    """How many entries fit the narrowest condition; `most` where it is as many, or not known."""
    found = [_rows(condition) for condition in where]
    return min((rows.count(connection, most) for rows in found if not rows.turned), default=most)


def _all(tests: Iterable[str]) -> str:
    return " AND ".join(["1", *tests])


def _parameters(found: Sequence[_Rows]) -> list[Scalar]:
    return [value for rows in found for value in rows.parameters]


def _rows(condition: Condition) -> _Rows:
    if condition.operator not in OPERATORS:
        raise UserError(f"{condition.operator!r} is none of {', '.join(OPERATORS)}")
    operator = OPERATORS[condition.operator]
    if column := COLUMNS.get(condition.key):
        test = f"entries.{column} {operator} ?"
        return _Rows(False, "entries", "entries.id", test, [_value(condition)])
    test, parameters = "metadata.key = ? AND metadata.value", [condition.key, condition.value]
    if condition.operator == "!=":
        return _Rows(True, "metadata", "metadata.entry", f"{test} = ?", parameters)
    kind = "'text'" if isinstance(condition.value, str) else "'integer', 'real'"
    test = f"{test} {operator} ? AND typeof(metadata.value) IN ({kind})"
    return _Rows(False, "metadata", "metadata.entry", test, parameters)


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
