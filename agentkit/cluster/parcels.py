"""What is in a folder: names, sizes and digests of its plain files.

Links and what is no file do not travel: what they lead to is another machine's.
"""

from __future__ import annotations

import hashlib
import os
import stat
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

KEPT = 10_000
"""Digests that are remembered."""


@dataclass(frozen=True, slots=True)
class FileFacts:
    """A plain file; `path` is relative to the folder it was found in."""

    path: str
    sha256: str
    size: int
    executable: bool = False


@dataclass
class Digests:
    """Digests of files, computed again when a file has changed.  May be used from any thread."""

    _known: dict[tuple[str, int, int, int, int], str] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def of(self, path: Path) -> tuple[str, os.stat_result]:
        """The digest of a file, and what else is known of it."""
        about = path.stat(follow_symlinks=False)
        key = (str(path), about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns)
        with self._lock:
            found = self._known.get(key)
        if found is None:
            with path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
            with self._lock:
                if len(self._known) >= KEPT:
                    self._known.clear()
                self._known[key] = found
        return found, about


def contents(folder: Path, digests: Digests) -> dict[str, FileFacts]:
    """The plain files in a folder and all below it, by their names."""
    found = {}
    for path in _plain(folder):
        sha256, about = digests.of(path)
        name = str(path.relative_to(folder))
        found[name] = FileFacts(name, sha256, about.st_size, bool(about.st_mode & stat.S_IXUSR))
    return found


def _plain(folder: Path) -> Iterator[Path]:
    for here, _, names in os.walk(folder):
        for name in sorted(names):
            path = Path(here, name)
            if stat.S_ISREG(path.lstat().st_mode):
                yield path
