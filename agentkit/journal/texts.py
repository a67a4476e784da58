"""Values as the journal stores them: JSON, with every long text stored once, by its digest.

A transcript is the beginning of a hundred prompts; it is in the journal once.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Mapping
from typing import Any

from agentkit.journal.database import Connection, Database
from agentkit.journal.statements import FRESH, TEXT
from agentkit.records import Stored

LONG = 2000
"""Strings of more characters are stored once, by digest."""

MARK = "$text"
FILE = "$file"
"""What stands for a long text, and for a value that is a file of its run."""

_FIND = "SELECT text FROM texts WHERE sha256 = :sha256"

_OLD = "SELECT sha256 FROM texts WHERE stored < :oldest"
_REMOVE = "DELETE FROM texts WHERE sha256 = :sha256 AND stored < :oldest"

PIECE = 500
"""Texts that are removed in one transaction: others need not wait for long."""

_NAMED = re.compile(r'"\$text": "([0-9a-f]{64})"')

_JSON = (
    ("runs", ("inputs", "outputs", "files")),
    ("steps", ("inputs", "outputs")),
    ("calls", ("arguments", "outcome")),
    ("events", ("data",)),
    ("results", ("outputs",)),
    ("fires", ("given",)),
)
"""Columns that may name a text."""

_ESCAPED = re.compile(r"^\$+(?:text|file)$")
_UNESCAPED = re.compile(r"^\$(?=\$+(?:text|file)$)")


def plain(text: str) -> str:
    """Text as databases can store it: without halves of surrogate pairs, and without NUL."""
    return (
        text.encode("utf-8", "replace").decode("utf-8").replace("\0", "\N{REPLACEMENT CHARACTER}")
    )


def dump(connection: Connection, value: Any) -> str:
    """JSON in which long strings are replaced by `{"$text": digest}` and stored once.

    A key of the data that looks like such a mark gets one more `$`.
    """

    def shrink(node: Any) -> Any:
        if isinstance(node, str) and len(node) > LONG and plain(node) == node:
            digest = hashlib.sha256(node.encode()).hexdigest()
            row = {"sha256": digest, "text": node, "stored": time.time()}
            connection.execute(TEXT, row)
            return {MARK: digest}
        if isinstance(node, Stored):
            return {FILE: dict(node)}
        if isinstance(node, Mapping):
            return {_escaped(str(key)): shrink(item) for key, item in node.items()}
        if isinstance(node, list | tuple):
            return [shrink(item) for item in node]
        return node

    return json.dumps(shrink(value), ensure_ascii=True)


def _escaped(key: str) -> str:
    return _ESCAPED.sub(r"$\g<0>", key) if key.startswith("$") else key


def parse(connection: Connection, text: str | None) -> Any:
    """The value again; None for none."""

    def grow(node: Any) -> Any:
        if isinstance(node, dict):
            if set(node) == {MARK}:
                found = connection.execute(_FIND, {"sha256": node[MARK]}).fetchone()
                return None if found is None else found.text
            if set(node) == {FILE}:
                return Stored(node[FILE])
            return {_UNESCAPED.sub("", key): grow(item) for key, item in node.items()}
        if isinstance(node, list):
            return [grow(item) for item in node]
        return node

    return None if text is None else grow(json.loads(text))


def forget_unnamed(database: Database) -> None:
    """Remove the texts that nothing names any more.

    It takes long to find them, and nobody waits meanwhile: whatever is named in between is new by
    that, and new ones stay.
    """
    before = {"oldest": time.time() - FRESH}
    with database.read() as connection:
        old = [digest for (digest,) in connection.execute(_OLD, before)]
        named = {
            digest
            for table, columns in _JSON
            for row in connection.execute(f"SELECT {', '.join(columns)} FROM {table}")  # noqa: S608
            for text in row
            if text
            for digest in _NAMED.findall(text)
        }
    unnamed = [digest for digest in old if digest not in named]
    for start in range(0, len(unnamed), PIECE):
        with database.write(lasting=False) as connection:
            for digest in unnamed[start : start + PIECE]:
                connection.execute(_REMOVE, {"sha256": digest, **before})
