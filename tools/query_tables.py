"""Ask tables in files (CSV, TSV) a question in SQL: SQLite's, in memory, and nothing is written.

A sum over rows is one line of SQL, and ten lines of a program: small models of code write the first
right, and forget the filter in the second.  A table has the name of its file.  Numbers are numbers
and empty fields are NULL, so that an average leaves them out.

A query comes from a model: it may read these tables and compute, and nothing else (SQLite asks for
each thing that a statement would do).  What would take too long or grow too large is ended.
"""

from __future__ import annotations

import csv
import io
import os
import re
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from agentkit import ToolContext, tool
from agentkit.errors import ToolError, ToolRetry, did_you_mean
from agentkit.permissions import ReadPath

ENDS = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
"""Ends of names of tables, and what parts their fields if nothing else is found out."""
PARTED = ",;\t|"
LARGEST = 50_000_000
"""Bytes of a file."""
MOST = 100
"""Tables of a folder; further ones are not looked at."""
LOOKED_AT = 20_000
"""Files of a folder that are looked at for tables."""
SHOWN = 50
"""Rows of an answer."""
WIDEST = 200
"""Characters of a value that is shown."""
LISTED = 12
"""Different values of a column that are named."""
SNIFFED = 4096
LONGEST = 1_000_000
"""Bytes of a value that a query makes."""
OFTEN = 10_000
"""Steps of SQLite's machine between two looks at the clock."""

ALLOWED = frozenset(
    (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE)
)
NUMBERS: Mapping[Callable[[str], float], re.Pattern[str]] = {
    int: re.compile(r"[-+]?(?:0|[1-9]\d{0,17})"),
    float: re.compile(r"[-+]?(?:0|[1-9]\d*)?(?:\.\d+)?(?:[eE][-+]?\d+)?(?<=[\d])"),
}
"""How numbers are written; what begins with a zero is a code of some kind, and stays a text."""
WORDS = frozenset(
    """ALTER CHECK CREATE DEFAULT DELETE DISTINCT DROP EXISTS FROM GROUP HAVING IN INDEX INSERT INTO
    JOIN LIMIT ORDER PRIMARY REFERENCES SELECT SET TABLE TO TRANSACTION UNION UNIQUE UPDATE USING
    VALUES WHEN WHERE""".split()
)
"""Words that are no name of a table in SQL, but may be one of a file."""
TEXT = re.compile(r"'((?:[^']|'')*)'")
"""A text in SQL."""


class Options(BaseModel):
    """What settings can say: `tools: {options: {query_tables: {seconds: 60}}}`."""

    model_config = ConfigDict(extra="forbid")

    seconds: float = Field(20.0, gt=0)


@tool(effects=("reads",))
def query_tables(sql: str, path: ReadPath = Path(), *, context: ToolContext) -> str:
    """Compute from CSV files with SQL: sums, counts, averages, groups, joins.

    Args:
        sql: One SELECT for SQLite; each file is a table, named without .csv.
        path: The folder, or one file.
    """
    tables = _tables(path, context)
    sql = _as_meant(sql, tables)
    named = [table for table in tables if re.search(rf"(?i)(?<!\w){table.name}(?!\w)", sql)]
    end = time.monotonic() + context.options(Options).seconds
    with closing(sqlite3.connect(":memory:")) as database:
        for table in named:
            table.load(database, context)
        _guard(database, context, end)
        try:
            answer = database.execute(sql)
            rows = answer.fetchmany(SHOWN + 1)
        except sqlite3.Error as error:
            context.cancel.check()
            if time.monotonic() > end:
                raise ToolRetry("the query took too long and was ended: ask for less") from None
            raise ToolRetry(_fault(str(error), tables, named)) from None
        return _told([column[0] for column in answer.description or ()], rows, sql, named)


@dataclass
class _Table:
    """A file as a table; its columns are known when it was loaded."""

    name: str
    file: Path
    columns: Mapping[str, Sequence[Any]] | None = None

    def load(self, database: sqlite3.Connection, context: ToolContext) -> None:
        """Put its rows into a database.  Raises `ToolError` if it is no table."""
        rows = self._rows(context)
        head = _named(next(rows, []))
        if not head:
            raise ToolError(f"{self.file} is empty")
        values = [(row + [""] * len(head))[: len(head)] for row in rows if any(row)]
        columns = [[*map(_convert(column), column)] for column in zip(*values, strict=True)]
        self.columns = dict(zip(head, columns or [[] for _ in head], strict=True))
        names = ", ".join(map(_quoted, head))
        database.execute(f"CREATE TABLE {_quoted(self.name)} ({names})")
        places = ", ".join("?" * len(head))
        database.executemany(
            f"INSERT INTO {_quoted(self.name)} VALUES ({places})",  # noqa: S608 - names of columns
            zip(*columns, strict=True),
        )

    def _rows(self, context: ToolContext) -> Iterator[list[str]]:
        data = context.files.read(self.file, limit=LARGEST)
        if b"\0" in data[:SNIFFED]:
            raise ToolError(f"{self.file} is no text, and no table")
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = data.decode("cp1252", "replace")
        parted = ENDS.get(self.file.suffix.lower(), ",")
        with suppress(csv.Error):
            parted = csv.Sniffer().sniff(text[:SNIFFED].partition("\n")[0], PARTED).delimiter
        try:
            yield from csv.reader(io.StringIO(text, newline=""), delimiter=parted)
        except csv.Error as error:
            raise ToolError(f"{self.file} cannot be read as a table: {error}") from None

    def told(self) -> str:
        """Name and columns."""
        columns = f"({', '.join(self.columns)})" if self.columns else ""
        return f"{self.name}{columns}"


def _tables(path: Path, context: ToolContext) -> list[_Table]:
    """The tables of a folder, or one; of two of the same name the second has its folder in it."""
    place = context.files.locate(path)
    if place.is_file():
        return [_Table(_name(place.stem), path)]
    if not place.is_dir():
        raise ToolRetry(f"there is no {str(path)!r}: list_files shows what there is")
    found: dict[str, _Table] = {}
    for file in islice(_files(place, context), MOST):
        inside = file.relative_to(place)
        names = (_name(file.stem), _name("_".join(inside.with_suffix("").parts)))
        name = names[names[0].lower() in found]
        found.setdefault(name.lower(), _Table(name, path / inside))
    if not found:
        raise ToolRetry(f"there is no table in {str(path)!r}: tables end in {', '.join(ENDS)}")
    return [*found.values()]


def _files(place: Path, context: ToolContext) -> Iterator[Path]:
    """The tables below a folder, without hidden ones; of a large tree those that come first."""
    looked_at = 0
    for folder, below, names in os.walk(place):
        context.cancel.check()
        below[:] = sorted(name for name in below if not name.startswith("."))
        looked_at += len(names)
        if looked_at > LOOKED_AT:
            return
        for name in sorted(names):
            file = Path(folder, name)
            if not name.startswith(".") and file.suffix.lower() in ENDS and file.is_file():
                yield file


def _name(stem: str) -> str:
    """A word of SQL."""
    word = re.sub(r"\W+", "_", stem).strip("_")
    return word if word and not word[0].isdigit() else f"t_{word}"


def _named(head: Sequence[str]) -> list[str]:
    """The names of columns: each one there, and once."""
    names: list[str] = []
    for at, column in enumerate(head, start=1):
        name = column.strip() or f"column{at}"
        taken = {one.lower() for one in names}
        names.append(f"{name}_{at}" if name.lower() in taken else name)
    return names


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _convert(column: Sequence[str]) -> Callable[[str], Any]:
    """What makes values of the texts of a column: numbers, if all that is written is one."""
    for kind, written in NUMBERS.items():
        if all(written.fullmatch(text) for text in map(str.strip, column) if text):
            return partial(_number, kind)
    return lambda text: text.strip() or None


def _number(kind: Callable[[str], float], text: str) -> float | None:
    return kind(text) if text.strip() else None


def _as_meant(sql: str, tables: Sequence[_Table]) -> str:
    """A statement as SQLite reads it: a file that is named as a table is its table."""
    sql = sql.strip().rstrip(";").strip()
    if not re.match(r"(?i)(?:select|with|values)\b", sql):
        raise ToolRetry("a query only reads: write one SELECT" if sql else "sql is empty")
    for table in tables:
        file = re.escape(table.file.name)
        sql = re.sub(rf"(?i)(?<![\w.'])([\"'`\[]?){file}[\"'`\]]?(?![\w.])", table.name, sql)
        if table.name.upper() in WORDS:  # FROM order, JOIN group, order.price
            bare = rf"(?i)(?<=\bfrom )\s*{table.name}\b|(?<=\bjoin )\s*{table.name}\b"
            sql = re.sub(rf"{bare}|(?<![\w.\"]){table.name}(?=\.)", f'"{table.name}"', sql)
    return sql


def _guard(database: sqlite3.Connection, context: ToolContext, end: float) -> None:
    """From now on a statement reads, and ends in time."""
    database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LONGEST)
    database.execute("PRAGMA query_only = ON")
    database.set_progress_handler(
        lambda: int(context.cancel.cancelled or time.monotonic() > end), OFTEN
    )
    database.set_authorizer(
        lambda action, *_: sqlite3.SQLITE_OK if action in ALLOWED else sqlite3.SQLITE_DENY
    )


def _fault(said: str, tables: Sequence[_Table], named: Sequence[_Table]) -> str:
    """What is wrong with a query, and what there is instead."""
    if said == "not authorized":
        return "a query only reads: write one SELECT"
    if "one statement at a time" in said:
        return "write one SELECT, and no other statement after it"
    there = "; ".join(table.told() for table in named or tables)
    missing = re.match(r"no such (?:column|table): (?:\w+\.)?(\S+)", said)
    known = [name for table in tables for name in (table.name, *(table.columns or ()))]
    near = did_you_mean(missing[1], known) if missing else ""
    only = " (only CSV and TSV files are tables)" if "no such table" in said and not near else ""
    return f"{said}{near}{only}. There is: {there}"


def _told(
    head: Sequence[str], rows: Sequence[Sequence[Any]], sql: str, named: Sequence[_Table]
) -> str:
    """The rows, below the names of their columns."""
    lines = [" | ".join(head), *(" | ".join(map(_shown, row)) for row in rows[:SHOWN])]
    if len(rows) > SHOWN:
        lines.append(f"[there are more than {SHOWN} rows: ask for fewer]")
    if not any(value is not None for row in rows for value in row):
        lines = ["no row matches", *_strange(sql, named)]
    return "\n".join(lines)


def _shown(value: object) -> str:
    """A number without the noise of binary fractions."""
    return f"{value:.12g}" if isinstance(value, float) else str(value)[:WIDEST].replace("\n", " ")


def _strange(sql: str, named: Sequence[_Table]) -> Iterator[str]:
    """Texts of a query that stand in no table, beside what does."""
    columns = [
        (name, {str(value) for value in values if isinstance(value, str)})
        for table in named
        for name, values in (table.columns or {}).items()
    ]
    for said in dict.fromkeys(TEXT.findall(sql)):
        if not any(said in values for _, values in columns):
            there = (f"{n}: {', '.join(sorted(v))}" for n, v in columns if 0 < len(v) <= LISTED)
            yield f"[no value is {said!r}; there are {'; '.join(there) or 'too many to name'}]"
