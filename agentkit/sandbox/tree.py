"""Walking a folder that somebody else fills: never through a link, never too deep.

Everything goes by file descriptor, so that a name that becomes a link meanwhile leads nowhere.
"""

from __future__ import annotations

import os
import secrets
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

DEEPEST = 64
"""Folders within folders.  One descriptor is held for each."""

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Entry:
    """A file, folder or whatever else was found.

    `path` is relative to where the walk began.  `parent` is the folder it lies in: a descriptor
    that is closed when the walk goes on.  `deep` is a folder that is not entered.
    """

    path: str
    name: str
    parent: int
    status: os.stat_result
    deep: bool

    @property
    def mode(self) -> int:
        """Its type and permissions."""
        return self.status.st_mode


@dataclass(frozen=True, slots=True)
class Size:
    """What a folder holds: bytes on the disk, entries, and whether it goes too deep to tell."""

    bytes: int
    entries: int
    deep: bool = False


def walk(folder: int, *, unlocking: bool = False) -> Iterator[Entry]:
    """Everything in a folder, each folder before what lies in it.

    What comes and goes meanwhile is seen or not.  Folders of ours that are closed to us are opened
    with `unlocking`, and passed over without.
    """
    levels = [("", os.scandir(folder), folder)]
    try:
        while levels:
            above, entries, parent = levels[-1]
            entry = next(entries, None)
            if entry is None:
                _leave(levels.pop(), folder)
                continue
            with suppress(FileNotFoundError, PermissionError):
                status = entry.stat(follow_symlinks=False)
                is_folder = stat.S_ISDIR(status.st_mode)
                deep = is_folder and len(levels) == DEEPEST
                yield Entry(above + entry.name, entry.name, parent, status, deep)
                if is_folder and not deep:
                    inner = enter(parent, entry.name, unlocking=unlocking)
                    levels.append((f"{above}{entry.name}/", os.scandir(inner), inner))
    finally:
        while levels:
            _leave(levels.pop(), folder)


def _leave(level: tuple[str, Iterator[os.DirEntry[str]], int], root: int) -> None:
    _, entries, descriptor = level
    entries.close()  # type: ignore[attr-defined]
    if descriptor != root:
        os.close(descriptor)


def names(folder: int) -> list[str]:
    """What is in a folder."""
    with os.scandir(folder) as entries:
        return [entry.name for entry in entries]


def measure(folder: int) -> Size:
    """How large a folder is now; a file with several names counts once."""
    size = entries = 0
    seen = set()
    for entry in walk(folder, unlocking=True):
        if entry.deep:
            return Size(size, entries, deep=True)
        entries += 1
        status = entry.status
        if status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
            if status.st_ino in seen:
                continue
            seen.add(status.st_ino)
        size += status.st_blocks * 512
    return Size(size, entries)


def enter(parent: int, name: str, *, unlocking: bool) -> int:
    """Open a folder in a folder.  Raises `FileNotFoundError` if it is none any more."""
    try:
        return os.open(name, _FOLDER, dir_fd=parent)
    except PermissionError:
        if not unlocking:
            raise
        unlock(parent, name)
        return os.open(name, _FOLDER, dir_fd=parent)
    except NotADirectoryError as error:
        raise FileNotFoundError(*error.args) from None


def unlock(parent: int, name: str) -> None:
    """Give its owner all rights on a folder."""
    status = os.stat(name, dir_fd=parent, follow_symlinks=False)
    change_mode(parent, name, stat.S_IMODE(status.st_mode) | stat.S_IRWXU)


def change_mode(parent: int, name: str, mode: int) -> None:
    """Set the permissions of an entry that is no link."""
    if sys.platform != "linux":
        os.chmod(name, mode, dir_fd=parent, follow_symlinks=False)
        return
    with grip(parent, name) as path:
        os.chmod(path, mode)  # noqa: PTH101


@contextmanager
def grip(parent: int, name: str) -> Iterator[str]:
    """A path that leads to exactly this entry, a link or not, whatever its name becomes."""
    descriptor = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def remove(parent: int, name: str) -> None:
    """Remove a folder, however deep it goes: what lies in it is pulled up, level by level."""
    aside = f".agentkit-{secrets.token_hex(8)}"
    count = 0
    waiting = [name]
    while waiting:
        current = waiting.pop()
        unlock(parent, current)
        folder = enter(parent, current, unlocking=True)
        try:
            for inner in names(folder):
                if not stat.S_ISDIR(os.stat(inner, dir_fd=folder, follow_symlinks=False).st_mode):
                    os.unlink(inner, dir_fd=folder)
                    continue
                unlock(folder, inner)
                count += 1
                waiting.append(f"{aside}-{count}")
                os.rename(inner, waiting[-1], src_dir_fd=folder, dst_dir_fd=parent)
        finally:
            os.close(folder)
        os.rmdir(current, dir_fd=parent)
