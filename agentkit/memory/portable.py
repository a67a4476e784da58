"""A collection as JSON lines: to keep, to read, to take elsewhere.

The first line says what the file is and which embedder its vectors are from; each line after it is
an entry.  Vectors are optional, and only used where the embedder is the same.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from sqlite3 import Connection
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from agentkit.cancel import CancelToken
from agentkit.errors import UserError
from agentkit.memory import ledger, spaces, words
from agentkit.memory.ledger import Entry
from agentkit.memory.passages import BATCH, vectors
from agentkit.memory.store import Collection, checked
from agentkit.ports import Imported, Progress, Scalar, no_progress
from agentkit.validation import explain

if TYPE_CHECKING:
    from numpy.typing import NDArray

FORMAT = 1

PAGE = 500
"""Entries that are read at a time."""


class _Head(BaseModel):
    model_config = ConfigDict(extra="ignore")

    agentkit_memory: int
    model: str = ""
    digest: str = ""
    dimensions: int = 0
    entries: int = 0


class _Document(BaseModel):
    path: str
    digest: str
    size: int
    mtime_ns: int
    place: int


class _Line(BaseModel):
    model_config = ConfigDict(extra="forbid")

    id: str
    text: str
    source: str = ""
    time: datetime
    metadata: dict[str, Scalar] = {}
    document: _Document | None = None
    vectors: list[str] | None = None


# -- out -----------------------------------------------------------------------------------------


def export(
    collection: Collection,
    out: IO[str],
    *,
    with_vectors: bool = False,
    progress: Progress = no_progress,
) -> int:
    """Write a collection as it is now, the oldest entry first; how many entries that is."""
    if not collection.exists:
        _write(out, {"agentkit_memory": FORMAT, "collection": collection.name, "entries": 0})
        return 0
    with collection.database.read() as connection:
        space = spaces.current(connection)
        total = ledger.count(connection)
        head = {"agentkit_memory": FORMAT, "collection": collection.name, "entries": total}
        if space:
            head |= {"model": space.model, "digest": space.digest, "dimensions": space.dimensions}
        _write(out, head)
        done = last = 0
        while rows := connection.execute(
            "SELECT entries.id, place, path, documents.digest, size, mtime_ns FROM entries "
            "LEFT JOIN documents ON documents.id = document WHERE entries.id > ? "
            "ORDER BY entries.id LIMIT ?",
            (last, PAGE),
        ).fetchall():
            last = rows[-1]["id"]
            entries = ledger.load(connection, [row["id"] for row in rows])
            made = spaces.of_entries(connection, space.id, list(entries)) if space else {}
            for row in rows:
                line = asdict(entries[row["id"]])
                line["time"] = entries[row["id"]].time.isoformat()
                if row["path"]:
                    facts = ("path", "digest", "size", "mtime_ns", "place")
                    line["document"] = {name: row[name] for name in facts}
                if with_vectors and row["id"] in made:
                    line["vectors"] = [_packed(vector) for vector in made[row["id"]]]
                _write(out, line)
            done += len(rows)
            progress(done, total, "entries")
    return total


def _write(out: IO[str], line: dict[str, Any]) -> None:
    out.write(json.dumps(line, ensure_ascii=False) + "\n")


def _packed(vector: NDArray[np.float32]) -> str:
    return base64.b64encode(vector.astype("<f4").tobytes()).decode()


# -- in ------------------------------------------------------------------------------------------


def import_(
    collection: Collection,
    file: Path,
    *,
    progress: Progress = no_progress,
    cancel: CancelToken | None = None,
) -> Imported:
    """Add the entries of a file to a collection; those that are there already are left alone.

    The whole file is checked first.  An import that was stopped is done again from the start, and
    finds what it has done.  Raises `UserError` with the line that is wrong, `Cancelled`.
    """
    cancel = cancel or CancelToken()
    head = _head(file)
    total = sum(1 for _ in _lines(file, head))
    if collection.exists:
        with collection.database.read() as connection:
            collection.usable(connection)
    lines, result = _lines(file, head), Imported()
    while batch := list(islice(lines, BATCH)):
        cancel.check()
        result.seen += len(batch)
        _take(collection, head, batch, result, cancel)
        progress(result.seen, total, "entries")
    collection.tend(cancel=cancel)
    return result


def _take(
    collection: Collection, head: _Head, batch: list[_Line], result: Imported, cancel: CancelToken
) -> None:
    if collection.exists:
        with collection.database.read() as connection:
            new = [line for line in batch if not _here(connection, line)]
    else:
        new = batch
    ours = head.digest == collection.embedding.digest
    unread = [line for line in new if not (ours and line.vectors)]
    texts = [words.plain(line.text) for line in unread]
    read = vectors(collection.embedding.embedder, texts, cancel)
    made = {line.id: parts for line, parts in zip(unread, read, strict=True)}
    with collection.database.write() as connection:
        for line in new:
            if _here(connection, line):
                continue  # twice in this batch, or from another process
            parts = made[line.id] if line.id in made else _unpacked(line)
            space = collection.writable(connection, parts.shape[1])
            row = ledger.add(connection, _entry(line), **_place(connection, line.document))
            spaces.put(connection, space.id, row, parts)
            result.added += 1
    result.known = result.seen - result.added


def _here(connection: Connection, line: _Line) -> bool:
    """Whether the entry is in the collection: a note with its text, or a passage of its document.

    Of a document that is here in another version, nothing is taken.
    """
    if connection.execute("SELECT 1 FROM entries WHERE key = ?", (line.id,)).fetchone():
        return True
    if line.document is None:
        return ledger.same(connection, words.plain(line.text)) is not None
    found = connection.execute(
        "SELECT id, digest FROM documents WHERE path = ?", (line.document.path,)
    ).fetchone()
    if found is None or found["digest"] != line.document.digest:
        return found is not None
    taken = "SELECT 1 FROM entries WHERE document = ? AND place = ?"
    return bool(connection.execute(taken, (found["id"], line.document.place)).fetchone())


def _entry(line: _Line) -> Entry:
    time = line.time if line.time.tzinfo else line.time.replace(tzinfo=UTC)
    return Entry(
        line.id, words.plain(line.text), words.plain(line.source), time, checked(line.metadata)
    )


def _place(connection: Connection, document: _Document | None) -> dict[str, int]:
    """Where a passage belongs."""
    if document is None:
        return {}
    connection.execute(
        "INSERT INTO documents (path, digest, size, mtime_ns) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (path) DO NOTHING",
        (document.path, document.digest, document.size, document.mtime_ns),
    )
    row = connection.execute("SELECT id FROM documents WHERE path = ?", (document.path,)).fetchone()
    return {"document": row["id"], "place": document.place}


def _unpacked(line: _Line) -> NDArray[np.float32]:
    assert line.vectors
    return np.stack([np.frombuffer(base64.b64decode(one), "<f4") for one in line.vectors])


def _head(file: Path) -> _Head:
    try:
        with file.open(encoding="utf-8") as lines:
            head = _Head.model_validate_json(lines.readline())
    except (ValidationError, UnicodeDecodeError):
        raise UserError(
            f"{file} is no export of a memory",
            hint=f"to remember what it says: agentkit memory add {file}",
        ) from None
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        hint = "agentkit memory export FILE makes one" if missing else None
        raise UserError(f"{file}: {error.strerror}", hint=hint) from None
    if head.agentkit_memory > FORMAT:
        raise UserError(f"{file} was written by a later agentkit (format {head.agentkit_memory})")
    return head


def _lines(file: Path, head: _Head) -> Iterator[_Line]:
    """The entries of a file, checked."""
    with file.open(encoding="utf-8") as lines:
        for number, text in enumerate(lines, start=1):
            if number == 1 or not text.strip():
                continue
            try:
                line = _Line.model_validate_json(text)
                checked(line.metadata)
                _check_vectors(line, head)
            except (ValidationError, ValueError, UserError) as error:
                raise UserError(f"{file}, line {number}: {_said(error)}") from None
            yield line


def _check_vectors(line: _Line, head: _Head) -> None:
    for one in line.vectors or ():
        if len(base64.b64decode(one, validate=True)) != 4 * head.dimensions:
            raise ValueError(f"its vectors do not have {head.dimensions} dimensions")


def _said(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    fault = error.errors()[0]
    return ".".join(map(str, fault["loc"])) + ": " + explain(fault)
