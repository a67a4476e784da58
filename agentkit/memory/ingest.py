"""Files and folders taken in: what changed comes again, what did not costs a look at its times.

A file is known by its full path and the SHA-256 of its bytes.  Its passages are computed first and
then exchanged in one transaction, so that after a crash a file is as it was before or as it is now.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from sqlite3 import Connection, Row

from agentkit.cancel import CancelToken
from agentkit.errors import UserError, human_bytes
from agentkit.memory import documents, ledger, spaces, words
from agentkit.memory.ledger import Entry
from agentkit.memory.passages import Passage, vectors
from agentkit.memory.store import Collection, checked
from agentkit.ports import Progress, Scalar, Taken, no_progress

SETTLED_NS = 2_000_000_000
"""A file that was written just now may be written again without its time telling."""


def take_in(
    collection: Collection,
    paths: Sequence[Path],
    *,
    metadata: Mapping[str, Scalar] | None = None,
    forget_gone: bool = False,
    progress: Progress = no_progress,
    cancel: CancelToken | None = None,
) -> Taken:
    """Bring a collection up to files, and to all files in folders.

    `forget_gone` forgets what was taken in from there and is no longer there.  A file that cannot
    be read is reported and stops nothing else.  Progress counts bytes.  Raises `UserError` for a
    path that is not there, `Cancelled` between two batches of passages.
    """
    taken = Taken()
    roots = [Path(os.path.abspath(path)) for path in paths]  # noqa: PTH100  links stay links
    files = [file for root in roots for file in _files(root, taken)]
    sizes = [file.stat().st_size for file in files]
    work = _Work(collection, checked(metadata or {}), taken, cancel or CancelToken())
    if collection.exists:
        with collection.database.read() as connection:
            collection.usable(connection)  # what is wrong with all files is told once
    for number, file in enumerate(files):
        work.cancel.check()
        share = _Share(progress, sum(sizes[:number]), sizes[number], sum(sizes))
        try:
            work.file(file, share)
        except UserError as error:
            if isinstance(error, documents.NotMeant) and file not in roots:
                taken.skipped += 1
                continue
            taken.refused.append(str(error))
        except OSError as error:
            taken.refused.append(f"{file}: {error.strerror}")
        share(1, 1, "")
    if forget_gone:
        work.forget_gone(roots)
    return taken


@dataclass(frozen=True, slots=True)
class _Share:
    """The progress of one file as a part of that of all."""

    progress: Progress
    before: int
    size: int
    total: int

    def __call__(self, done: float, total: float | None, unit: str) -> None:
        self.progress(self.before + self.size * done / (total or 1), self.total, "B")


def _files(root: Path, taken: Taken) -> Iterator[Path]:
    """The files to be read, in order.  What begins with a dot in a folder is left alone."""
    if root.is_file():
        yield root
        return
    if not root.is_dir():
        raise UserError(f"{root}: there is no such file or folder")
    for folder, names, found in os.walk(root):
        names[:] = sorted(name for name in names if not name.startswith("."))
        for name in sorted(found):
            path = Path(folder, name)
            if name.startswith(".") or not path.is_file():
                continue
            if path.suffix.lower() in documents.KNOWN:
                yield path
            else:
                taken.skipped += 1


@dataclass(frozen=True, slots=True)
class _Work:
    collection: Collection
    metadata: dict[str, Scalar]
    taken: Taken
    cancel: CancelToken

    def file(self, path: Path, progress: Progress) -> None:
        """Bring the collection up to one file."""
        status = path.stat()
        name = words.plain(str(path))
        known = self._known(name)
        if known and (known["size"], known["mtime_ns"]) == (status.st_size, status.st_mtime_ns):
            self.taken.unchanged.append(str(path))
            return
        if status.st_size > documents.LARGEST:
            most = human_bytes(documents.LARGEST)
            raise UserError(
                f"{path}: it has {human_bytes(status.st_size)}, {most} at most are read"
            )
        data = path.read_bytes()
        digest = hashlib.sha256(documents.VERSION.encode() + data).hexdigest()
        settled = time.time_ns() - status.st_mtime_ns > SETTLED_NS
        stamp = (digest, status.st_size, status.st_mtime_ns if settled else -1)
        if known and known["digest"] == digest:
            with self.collection.database.write() as connection:
                _note(connection, name, stamp)
            self.taken.unchanged.append(str(path))
            return
        count = self._exchange(name, stamp, documents.passages(path, data, self.cancel), progress)
        self.taken.passages += count
        (self.taken.changed if known else self.taken.added).append(str(path))

    def _known(self, name: str) -> Row | None:
        if not self.collection.exists:
            return None
        with self.collection.database.read() as connection:
            found: Row | None = connection.execute(
                "SELECT * FROM documents WHERE path = ?", (name,)
            ).fetchone()
        return found

    def _exchange(
        self,
        name: str,
        stamp: tuple[str, int, int],
        passages: Sequence[Passage],
        progress: Progress,
    ) -> int:
        """Put the passages of a file in the place of those it had before."""
        embedder = self.collection.embedding.embedder
        texts = [words.plain(passage.text) for passage in passages]
        made = vectors(embedder, texts, self.cancel, progress)
        now = datetime.now(UTC)
        with self.collection.database.write() as connection:
            document = _note(connection, name, stamp)
            before = connection.execute("SELECT id FROM entries WHERE document = ?", (document,))
            ledger.remove(connection, [row["id"] for row in before.fetchall()])
            for place, (passage, text, parts) in enumerate(zip(passages, texts, made, strict=True)):
                space = self.collection.writable(connection, parts.shape[1])
                facts = {**self.metadata, **passage.metadata}
                entry = Entry(ledger.new_id(), text, name, now, facts)
                row = ledger.add(connection, entry, document=document, place=place)
                spaces.put(connection, space.id, row, parts)
        self.collection.tend(cancel=self.cancel)
        return len(passages)

    def forget_gone(self, roots: Sequence[Path]) -> None:
        """Forget the documents under some paths of which the file is not there any more."""
        if not self.collection.exists:
            return
        with self.collection.database.write() as connection:
            for row in connection.execute("SELECT id, path FROM documents").fetchall():
                path = Path(row["path"])
                if any(path.is_relative_to(root) for root in roots) and not path.exists():
                    entries = connection.execute(
                        "SELECT id FROM entries WHERE document = ?", (row["id"],)
                    )
                    ledger.remove(connection, [entry["id"] for entry in entries.fetchall()])
                    connection.execute("DELETE FROM documents WHERE id = ?", (row["id"],))
                    self.taken.gone.append(row["path"])


def _note(connection: Connection, name: str, stamp: tuple[str, int, int]) -> int:
    """Write down what a file is now, and return the number of its row."""
    connection.execute(
        "INSERT INTO documents (path, digest, size, mtime_ns) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (path) DO UPDATE SET digest = excluded.digest, size = excluded.size, "
        "mtime_ns = excluded.mtime_ns",
        (name, *stamp),
    )
    row = connection.execute("SELECT id FROM documents WHERE path = ?", (name,)).fetchone()
    return int(row["id"])
