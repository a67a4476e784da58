"""The work folder: lent to one program at a time, compared before and after, left clean.

What a program leaves behind is read by others afterwards, with other rights than it had.  So
nothing stays that would lead them astray: links that lead out of the folder, pipes that block who
opens them, sockets, files that lend their owner's rights, folders too deep to be walked or closed.
"""

from __future__ import annotations

import fcntl
import os
import stat
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from agentkit.cancel import CancelToken
from agentkit.errors import ToolError
from agentkit.sandbox.tree import DEEPEST, Entry, change_mode, remove, unlock, walk

QUICK, TICK = 0.002, 0.05
"""How soon one who waits for the folder looks whether it is free, and how often in the end."""

NOT_TO_BE_LENT = ("/", "/bin", "/boot", "/dev", "/etc", "/home", "/lib", "/lib64", "/opt", "/proc",
                  "/root", "/run", "/sbin", "/srv", "/sys", "/tmp", "/usr", "/var")  # fmt: skip  # noqa: S108
"""Folders that are not one program's."""


class Stamp(NamedTuple):
    """What tells one state of a file from another; times in nanoseconds."""

    mode: int
    inode: int
    size: int
    written: int
    changed: int


@dataclass(frozen=True, slots=True)
class Contents:
    """What lay in a folder, and which links of it led out."""

    stamps: dict[str, Stamp]
    astray: frozenset[str]
    mode: int


@dataclass(frozen=True, slots=True)
class Left:
    """What a program left behind: files that are new or other than before, what had to go; folders
    and links that are new or other; what was there before and is not there any more.
    """

    changed: tuple[str, ...]
    removed: tuple[str, ...]
    folders: tuple[str, ...]
    links: tuple[str, ...]
    gone: tuple[str, ...]

    @property
    def touched(self) -> tuple[str, ...]:
        """All that is not as before."""
        return (*self.changed, *self.folders, *self.links, *self.gone)


@dataclass(frozen=True, slots=True)
class WorkFolder:
    """An open folder that no other program works in, or that none changes."""

    path: Path
    descriptor: int

    def contents(self) -> Contents:
        """What is in it now.  Raises `ToolError` for a folder that goes too deep."""
        stamps, astray = {}, set()
        for entry in walk(self.descriptor):
            if entry.deep:
                raise ToolError(
                    f"{self.path} has more than {DEEPEST} folders within folders: {entry.path}"
                )
            stamps[entry.path] = _stamp(entry)
            if stat.S_ISLNK(entry.mode) and leads_out(entry.path, _target(entry)):
                astray.add(entry.path)
        return Contents(stamps, frozenset(astray), os.fstat(self.descriptor).st_mode)

    def settle(self, before: Contents) -> Left:
        """Clean up after a program of which nothing runs any more."""
        if os.fstat(self.descriptor).st_mode != before.mode:
            os.chmod(self.descriptor, stat.S_IMODE(before.mode))  # noqa: PTH101
        changed, removed, folders, links = [], [], [], []
        gone = dict(before.stamps)
        for entry in walk(self.descriptor, unlocking=True):
            was = gone.pop(entry.path, None)
            as_before = was == _stamp(entry)
            if stat.S_ISLNK(entry.mode):
                if leads_out(entry.path, _target(entry), before.astray) and not (
                    as_before and entry.path in before.astray
                ):
                    os.unlink(entry.name, dir_fd=entry.parent)
                    removed.append(entry.path)
                elif not as_before:
                    links.append(entry.path)
            elif as_before:
                continue
            elif stat.S_ISREG(entry.mode):
                changed.append(entry.path)
                with suppress(PermissionError):  # it is not ours, and lends no rights of ours
                    _make_plain(entry)
            elif not stat.S_ISDIR(entry.mode):
                os.unlink(entry.name, dir_fd=entry.parent)
                removed.append(entry.path)
            elif entry.deep:
                remove(entry.parent, entry.name)
                removed.append(entry.path)
            else:
                if was is None or was.mode != entry.mode:
                    folders.append(entry.path)
                with suppress(PermissionError):
                    unlock(entry.parent, entry.name)
        gone |= {path: before.stamps[path] for path in removed if path in before.stamps}
        return Left(*(tuple(sorted(paths)) for paths in (changed, removed, folders, links, gone)))


@contextmanager
def lent(path: Path, cancel: CancelToken, *, to_read: bool = False) -> Iterator[WorkFolder]:
    """The folder, as soon as no other program works in it, in whatever process; `to_read` lets
    others read it, too.

    Raises `ToolError` for what is no folder of its own, `Cancelled` while it waits.
    """
    place = path.resolve()
    if str(place) in NOT_TO_BE_LENT or _is_home(place):
        raise ToolError(f"{place} is not lent to programs: give them a folder of their own")
    try:
        descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise ToolError(f"{place} cannot be worked in: {error.strerror}") from None
    try:
        _take_turn(descriptor, cancel, fcntl.LOCK_SH if to_read else fcntl.LOCK_EX)
        yield WorkFolder(place, descriptor)
    finally:
        os.close(descriptor)


def _is_home(place: Path) -> bool:
    """Whether it is our home, or our home is in it."""
    try:
        return Path.home().is_relative_to(place)
    except RuntimeError:  # we have none
        return False


def _take_turn(descriptor: int, cancel: CancelToken, lock: int) -> None:
    """Wait for a lock on the folder itself; it goes with the descriptor, or with the process."""
    pause = QUICK
    while True:
        cancel.check()
        try:
            fcntl.flock(descriptor, lock | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            time.sleep(pause)
            pause = min(2 * pause, TICK)
        except OSError:  # some network disks have no locks: there, programs are not kept apart
            return


def leads_out(path: str, target: str, astray: Collection[str] = ()) -> bool:
    """Whether a link in a folder may lead out of it, or through one of those that do.

    It may not if its target climbs first, no higher than to the folder, and then only descends: in
    a folder where all links are like that, nobody gets out, whatever leads through what.
    """
    if target.startswith("/"):
        return True
    steps = [step for step in target.split("/") if step not in ("", ".")]
    place = path.split("/")[:-1]
    while steps and steps[0] == "..":
        if not place:
            return True
        place.pop()
        steps.pop(0)
    if ".." in steps:
        return True
    return any("/".join(place + steps[:end]) in astray for end in range(1, len(steps) + 1))


def _target(entry: Entry) -> str:
    return os.readlink(entry.name, dir_fd=entry.parent)


def _stamp(entry: Entry) -> Stamp:
    status = entry.status
    return Stamp(
        status.st_mode, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
    )


def _make_plain(entry: Entry) -> None:
    """Readable for its owner, and lending nobody's rights."""
    mode = stat.S_IMODE(entry.mode)
    plain = mode & ~(stat.S_ISUID | stat.S_ISGID) | stat.S_IRUSR | stat.S_IWUSR
    if plain != mode:
        change_mode(entry.parent, entry.name, plain)
