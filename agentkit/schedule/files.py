"""Files that arrive in a folder: which are there, which have come to rest, and who says so early.

What is true is found by looking; the system's own word that something changed (watchfiles) only
makes a look come earlier, so that a folder on a server, of which nobody tells, works, too.
"""

from __future__ import annotations

import logging
import os
import stat
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

log = logging.getLogger(__name__)

DEEPEST = 32
"""Folders within folders."""


@dataclass(frozen=True, slots=True)
class Found:
    """A regular file as it lay there."""

    path: Path
    size: int
    changed: int
    inode: int

    @property
    def occurrence(self) -> str:
        """What its arrival is called on record: the same file, changed, arrives again."""
        return f"file {self.size} {self.changed} {self.path}"

    @property
    def moved(self) -> str:
        """What stays the same where it gets another name."""
        return f"{self.inode} {self.size} {self.changed}"


def look(folder: Path, pattern: str) -> Iterator[Found]:
    """The files of a folder that a pattern fits; `**/` in front looks into folders, too.

    Links lead nowhere, neither to folders, which may go round in circles, nor to files: what is
    handed to a run has to lie there itself.  Raises `OSError` where the folder cannot be read.
    """
    deep = pattern.startswith("**/")
    yield from _within(folder, pattern.removeprefix("**/"), DEEPEST if deep else 0)


def _within(folder: Path, pattern: str, deeper: int) -> Iterator[Found]:
    with os.scandir(folder) as entries:
        inside = sorted(entries, key=lambda entry: entry.name)
    for entry in inside:
        try:
            about = entry.stat(follow_symlinks=False)
        except OSError:  # it went while we looked
            continue
        if stat.S_ISDIR(about.st_mode) and deeper and not entry.name.startswith("."):
            try:
                yield from _within(Path(entry.path), pattern, deeper - 1)
            except OSError:
                continue
        elif stat.S_ISREG(about.st_mode) and _fits(entry.name, pattern):
            yield Found(Path(entry.path), about.st_size, about.st_mtime_ns, about.st_ino)


def _fits(name: str, pattern: str) -> bool:
    """A hidden file, such as one that is on its way, fits only a pattern that says so."""
    if name.startswith(".") and not pattern.startswith("."):
        return False
    return PurePosixPath(name).match(pattern)


def still(found: Found) -> bool:
    """Whether a file still lies there as it was found."""
    try:
        about = found.path.lstat()
    except OSError:
        return False
    same = (about.st_size, about.st_mtime_ns, about.st_ino)
    return stat.S_ISREG(about.st_mode) and same == (found.size, found.changed, found.inode)


@dataclass
class Settling:
    """Files that are new, and since when they have not changed; by a clock that nobody sets."""

    seconds: float
    _since: dict[Path, tuple[Found, float]] = field(default_factory=dict)

    def settled(self, new: Iterable[Found], now: float) -> list[Found]:
        """Those of the files, all that there are and are new, that have come to rest."""
        before, self._since = self._since, {}
        rest = []
        for one in new:
            last, since = before.get(one.path, (None, now))
            since = since if last == one else now
            if now - since >= self.seconds:
                rest.append(one)
            self._since[one.path] = (one, since)
        return rest

    @property
    def waiting(self) -> bool:
        """Whether something has to be looked at again soon."""
        return bool(self._since)


class Watcher:
    """Calls `changed` when something happens in folders, on a thread for all of them."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._folders: Mapping[Path, bool] = {}
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def watch(self, folders: Mapping[Path, bool]) -> None:
        """From now on these, each with or without what is inside its folders."""
        there = {path: deep for path, deep in folders.items() if path.is_dir()}
        if there == self._folders:
            return
        self.stop()
        self._folders, self._stop = there, threading.Event()
        if there:
            self._thread = threading.Thread(
                target=self._work, args=(there, self._stop), name="files", daemon=True
            )
            self._thread.start()

    def stop(self) -> None:
        """Watch nothing any more.  Idempotent."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        self._thread, self._folders = None, {}

    def _work(self, folders: Mapping[Path, bool], stop: threading.Event) -> None:
        from watchfiles import watch

        flat = [path for path, deep in folders.items() if not deep]
        deep = [path for path, deep in folders.items() if deep]
        threads = []
        for paths, recursive in ((flat, False), (deep, True)):
            if paths:
                changes = watch(
                    *paths, recursive=recursive, stop_event=stop, watch_filter=None,
                    debounce=200, step=50, rust_timeout=1000, raise_interrupt=False,
                )  # fmt: skip
                thread = threading.Thread(target=self._hear, args=(changes,), daemon=True)
                thread.start()
                threads.append(thread)
        for thread in threads:
            thread.join()

    def _hear(self, changes: Iterable[object]) -> None:
        try:
            for _ in changes:
                self._changed()
        except (OSError, RuntimeError) as error:  # too many watches: looking goes on without
            log.warning("changes of files are noticed later: %s", error)
