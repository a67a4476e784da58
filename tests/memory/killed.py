"""A process that is killed at every write in turn, and what it leaves behind.

    python -m tests.memory.killed ingest|reembed|forget|import FOLDER

For each n a copy of the collection is worked on by a child that kills itself at its n-th write
(before and after each transaction and each change of the index), until one comes through.  After
each kill the invariants are checked, the work is done again in peace, and the end has to be the
same.  Prints how many kills there were.

Children are forked from a process that has imported chromadb and opened nothing: the import takes
a second or two, and a fork of a process with threads may wait for ever for a lock.
Each has an alarm, so that one that waits is a failure that says so.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import signal
import sqlite3
import sys
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from agentkit.memory import Collection, Embedding, export, import_, reembed, take_in
from agentkit.memory.chroma import FolderIndex
from agentkit.ports import Condition
from tests.memory.tiny import tiny

LATE = (
    "charset_normalizer",
    "semantic_text_splitter",
    "chromadb.api.rust",
    "chromadb.telemetry.product.posthog",
)
"""What is imported when it is needed: here once, and not by each child."""

FEW = 4
"""So that the index is written again and again."""

LANES = 2
"""Children that look at what was left while the next one is killed."""

LIMIT = 60
"""Seconds for one child; it needs less than one."""

OLD, NEW = tiny("old"), tiny("new", dimensions=16)


class Fuse:
    """Kills the process before its n-th write."""

    def __init__(self, count: int) -> None:
        self.left = count

    def write(self) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def light(fuse: Fuse) -> None:
    """Put the fuse into everything that writes."""

    class Connection(sqlite3.Connection):
        seen = 0

        def execute(self, sql: str, *more: Any) -> sqlite3.Cursor:
            if sql != "COMMIT" or self.total_changes == self.seen:
                return super().execute(sql, *more)
            self.seen = self.total_changes
            fuse.write()
            done = super().execute(sql, *more)
            fuse.write()
            return done

    connect = sqlite3.connect
    sqlite3.connect = lambda *a, **k: connect(*a, factory=Connection, **k)  # type: ignore[assignment]
    for name in ("put", "drop"):
        original = getattr(FolderIndex, name)

        def before_and_after(self: Any, *more: Any, _original: Any = original) -> None:
            fuse.write()
            _original(self, *more)
            fuse.write()

        setattr(FolderIndex, name, before_and_after)


def opened(base: Path, embedding: Embedding = OLD) -> Collection:
    return Collection(base / "memory", "notes", lambda: embedding, few=FEW)


# -- what is done, and what has to hold ------------------------------------------------------------


def prepare(base: Path) -> None:
    """A collection with notes and two documents, and an index."""
    docs = base / "docs"
    docs.mkdir(parents=True)
    for name in ("a", "b"):
        (docs / f"{name}.txt").write_text(document(name, "first"))
    collection = opened(base)
    take_in(collection, [docs])
    for number in range(6):
        collection.save(f"note about thing n{number}", source=f"s{number % 2}")
    with (base / "out.jsonl").open("w") as out:
        export(collection, out, with_vectors=True)
    collection.close()


def document(name: str, version: str) -> str:
    """Three passages."""
    return "\n\n".join(
        f"{version} {name} {part} " + f"{version}{name}{part} " * 80 for part in "xyz"
    )


def ingest(base: Path) -> None:
    docs = base / "docs"
    (docs / "a.txt").write_text(document("a", "second"))
    (docs / "b.txt").unlink(missing_ok=True)
    (docs / "c.txt").write_text(document("c", "first"))
    collection = opened(base)
    take_in(collection, [docs], forget_gone=True)
    collection.close()


def make_anew(base: Path) -> None:
    collection = opened(base, NEW)
    reembed(collection)
    collection.close()


def forget(base: Path) -> None:
    """More than the index leaves unwritten, so that it is written as well."""
    collection = opened(base)
    collection.forget([Condition("source", "~", "*a.txt")])
    collection.forget([Condition("source", "=", "s0")])
    collection.save("note about thing n7", source="s1")
    collection.close()


def import_all(base: Path) -> None:
    collection = Collection(base / "other", "other", lambda: OLD, few=FEW)
    import_(collection, base / "out.jsonl")
    collection.close()


def whole(collection: Collection) -> list[str]:
    """The texts, each found by its meaning and by its words; documents are whole."""
    texts = [entry.text for entry in collection.entries()]
    with collection.database.read() as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        for table in ("vectors", "metadata"):
            lost = f"SELECT count(*) FROM {table} WHERE entry NOT IN (SELECT id FROM entries)"
            assert connection.execute(lost).fetchone()[0] == 0
    for name in "abc":
        parts = [text for text in texts if text.split()[1] == name]
        assert len(parts) in (0, 3), f"{len(parts)} parts of {name}"
        assert len({text.split()[0] for text in parts}) <= 1, f"two versions of {name}"
    for text in texts:
        found = collection.search(text, limit=1)[0]
        assert (found.text, round(found.score, 3)) == (text, 1), text[:40]
    return sorted(texts)


WORK: dict[str, tuple[Callable[[Path], None], tuple[Embedding, ...]]] = {
    "ingest": (ingest, (OLD,)),
    "reembed": (make_anew, (OLD, NEW)),
    "forget": (forget, (OLD,)),
    "import": (import_all, (OLD,)),
}


def check(base: Path, embeddings: tuple[Embedding, ...], name: str = "memory") -> list[str]:
    """The collection is usable by exactly one of the embedders, and whole."""
    for embedding in embeddings:
        collection = Collection(base / name, name, lambda chosen=embedding: chosen, few=FEW)  # type: ignore[misc]
        try:
            if not collection.exists or collection.status().fault:
                continue
            return whole(collection)
        finally:
            collection.close()
    return []


# -- children --------------------------------------------------------------------------------------


class Child:
    """Does something in a process of its own; two of them work side by side."""

    def __init__(self, what: str, work: Callable[[], Any]) -> None:
        self.what = what
        threads = len(list(Path("/proc/self/task").iterdir()))
        assert threads == 1, f"{threads} threads where a fork copies one"
        self.pid = os.fork()
        if self.pid == 0:
            signal.alarm(LIMIT)  # ends it whatever it waits for, also inside a library
            try:
                work()
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)

    def end(self, *expected: int) -> int:
        """Wait for it: its exit code, or minus the signal that ended it."""
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        if code == -signal.SIGALRM:
            sys.exit(f"{self.what}: not done after {LIMIT} s")
        if code not in expected:
            sys.exit(f"{self.what}: ended with {code}")
        return code


def main(name: str, folder: Path) -> None:
    do, embeddings = WORK[name]
    target = "other" if name == "import" else "memory"
    base, peace = folder / "base", folder / "peace"
    Child("the preparation", lambda: prepare(base)).end(0)
    copied(base, peace)

    def in_peace() -> None:
        do(peace)
        (folder / "wanted").write_text(json.dumps(check(peace, embeddings, target)))

    Child("the work in peace", in_peace).end(0)
    wanted = json.loads((folder / "wanted").read_text())
    assert wanted

    def burn(here: Path, count: int) -> None:
        light(Fuse(count))
        do(here)

    def look_and_go_on(here: Path) -> None:
        check(here, embeddings, target)
        do(here)
        assert check(here, embeddings, target) == wanted

    kills = 0
    looking: list[Child] = []
    while True:
        here = copied(base, folder / f"n{kills + 1}")
        burning = Child(f"write {kills + 1}", partial(burn, here, kills + 1))
        if burning.end(0, -signal.SIGKILL) == 0:
            break
        kills += 1
        while len(looking) >= LANES:
            looking.pop(0).end(0)
        looking.append(Child(f"after kill {kills}", partial(look_and_go_on, here)))
    for one in looking:
        one.end(0)
    print(kills)


def copied(base: Path, here: Path) -> Path:
    """A copy that knows its documents: that is by their full paths."""
    shutil.copytree(base, here)
    with sqlite3.connect(here / "memory" / "memory.sqlite") as connection:
        connection.execute(
            "UPDATE documents SET path = replace(path, ?, ?)", (str(base), str(here))
        )
        connection.execute(
            "UPDATE entries SET source = replace(source, ?, ?)", (str(base), str(here))
        )
    connection.close()
    return here


if __name__ == "__main__":
    for late in LATE:
        importlib.import_module(late)
    main(sys.argv[1], Path(sys.argv[2]))
