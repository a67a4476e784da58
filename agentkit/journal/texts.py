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

from sqlalchemy import Connection, select

from agentkit.journal import tables as t
from agentkit.journal.statements import statements
from agentkit.records import Stored

LONG = 2000
"""Strings of more characters are stored once, by digest."""

FRESH = 3600.0
"""Seconds for which a text is kept that nothing names."""

MARK = "$text"
FILE = "$file"
"""What stands for a long text, and for a value that is a file of its run."""

_NAMED = re.compile(r'"\$text": "([0-9a-f]{64})"')

_JSON = (
    (t.runs, ("inputs", "outputs", "files")),
    (t.steps, ("inputs", "outputs")),
    (t.calls, ("arguments", "outcome")),
    (t.events, ("data",)),
    (t.results, ("outputs",)),
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
            connection.execute(statements(connection.dialect.name).text, row)
            return {MARK: digest}
        if isinstance(node, Stored):
            return {FILE: dict(node)}
        if isinstance(node, Mapping):
            return {_ESCAPED.sub(r"$\g<0>", str(key)): shrink(item) for key, item in node.items()}
        if isinstance(node, list | tuple):
            return [shrink(item) for item in node]
        return node

    return json.dumps(shrink(value), ensure_ascii=True)


def parse(connection: Connection, text: str | None) -> Any:
    """The value again; None for none."""

    def grow(node: Any) -> Any:
        if isinstance(node, dict):
            if set(node) == {MARK}:
                query = select(t.texts.c.text).where(t.texts.c.sha256 == node[MARK])
                return connection.execute(query).scalar_one_or_none()
            if set(node) == {FILE}:
                return Stored(node[FILE])
            return {_UNESCAPED.sub("", key): grow(item) for key, item in node.items()}
        if isinstance(node, list):
            return [grow(item) for item in node]
        return node

    return None if text is None else grow(json.loads(text))


def forget_unnamed(connection: Connection) -> None:
    """Remove the texts that nothing names any more."""
    named = {
        digest
        for table, columns in _JSON
        for row in connection.execute(select(*(table.c[name] for name in columns)))
        for text in row
        if text
        for digest in _NAMED.findall(text)
    }
    old = t.texts.c.stored < time.time() - FRESH  # an event that names it may be on its way
    for digest in connection.execute(select(t.texts.c.sha256).where(old)).scalars().all():
        if digest not in named:
            connection.execute(t.texts.delete().where(t.texts.c.sha256 == digest))
