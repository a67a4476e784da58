"""Files by what is in them: what a machine was sent once, it is not sent again.

A file arrives in pieces beside the others and gets its name when its digest is right.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from agentkit.errors import MachineError

MOST = 20_000_000_000
"""Bytes that are kept; what was not asked for longest goes first."""

FRESH = 3600.0
"""Seconds in which a file does not go: some work may be about to begin with it."""


@dataclass(frozen=True, slots=True)
class Blobs:
    """Those of one machine, in a folder of its own."""

    folder: Path
    most: int = MOST

    def lacking(self, digests: Iterable[str]) -> list[str]:
        """Those that are not here; the others stay for a while."""
        return [digest for digest in dict.fromkeys(digests) if not self._touched(digest)]

    def keep(self, sender: str, digest: str, offset: int, piece: bytes, last: bool) -> None:
        """A piece of a file; pieces of one sender come in their order.

        Raises `MachineError` for a file that is not what its digest says, or that does not fit on
        the disk.
        """
        arriving = self.folder / f"{_hex(digest, 64)}.{_hex(sender, 32)}.part"
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with arriving.open("r+b" if offset else "wb") as file:
                file.seek(offset)
                file.write(piece)
            if last:
                self._arrived(arriving, digest)
        except OSError as error:
            arriving.unlink(missing_ok=True)
            raise MachineError(f"{self.folder} cannot be written: {error.strerror}") from None

    def put(self, digest: str, target: Path, *, executable: bool = False) -> None:
        """A copy of a file at a place where it may be changed.  Raises `MachineError`."""
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self._place(digest), target)
            target.chmod(0o755 if executable else 0o644)
        except OSError as error:
            raise MachineError(f"{target.name} cannot be put in place: {error.strerror}") from None

    def lend(self, digest: str, target: Path) -> None:
        """A file at a place where it is only read: no copy, where the disk can do that."""
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(self._place(digest), target)
        except OSError:
            self.put(digest, target)

    def prune(self) -> None:
        """Forget what is too much."""
        found = []
        with suppress(OSError):
            found = [(path.stat().st_mtime, path) for path in self.folder.iterdir()]
        left = sum(path.stat().st_size for _, path in found)
        for used, path in sorted(found):
            if left <= self.most or used > time.time() - FRESH:
                break
            left -= path.stat().st_size
            path.unlink(missing_ok=True)

    def _arrived(self, arriving: Path, digest: str) -> None:
        with arriving.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != digest:
            arriving.unlink()
            raise MachineError("a file was damaged on its way: it is not what its digest says")
        arriving.chmod(0o444)
        arriving.replace(self._place(digest))

    def _touched(self, digest: str) -> bool:
        try:
            os.utime(self._place(digest))
        except FileNotFoundError:
            return False
        return True

    def _place(self, digest: str) -> Path:
        return self.folder / _hex(digest, 64)


def _hex(text: str, length: int) -> str:
    """What comes from afar is no path."""
    if not re.fullmatch(rf"[0-9a-f]{{{length}}}", text):
        raise MachineError(f"{text[:80]!r} is no digest")
    return text
