"""A copy of the work folder for a program that works while others do, here or on another machine.

Whoever has a copy holds a lock on the folder that it lies in.  So what a process left that died is
told from what is at work, and can be thrown away.

Nothing is copied that would cost more than it gains: see `LARGEST` and `MOST`.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import stat
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from agentkit.cancel import CancelToken, Deadline
from agentkit.errors import MachineError, human_bytes
from agentkit.jobs import Apart
from agentkit.sandbox.duplicate import duplicate, made, opened
from agentkit.sandbox.growth import LEAST_FREE
from agentkit.sandbox.merge import PART, above, merged, within
from agentkit.sandbox.tree import Entry, names, remove, walk
from agentkit.sandbox.work import Contents, Left, lent

LARGEST = 200_000_000
"""Bytes of a folder that is copied."""

MOST = 5_000
"""Files and folders in it."""

GRACE = 0.5
"""Seconds that a program which was cancelled may wait to bring back what it has."""

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class CannotCopyError(Exception):
    """Why a folder is not copied, in words."""


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy of the folder `home`, and what lay there when it was made."""

    path: Path
    home: Path
    base: Contents

    def bring_back(self, left: Left, apart: Apart, cancel: CancelToken) -> dict[str, str]:
        """Do in the folder what was done in the copy; or nothing, for these paths are in conflict.

        Raises `Cancelled` while it waits for the folder, `MachineError` if it cannot be written.
        """
        waits = Deadline(CancelToken(), GRACE, cancel.reason) if cancel.cancelled else cancel
        try:
            with ExitStack() as stack:
                folder = stack.enter_context(lent(self.home, waits))
                conflicts = merged(_open(self.path, stack), left, self.base, folder)
                if not conflicts:
                    apart.changed.update(dict.fromkeys(left.touched, apart.name))
                return {path: apart.changed.get(path, "") for path in conflicts}
        except OSError as error:
            raise MachineError(
                f"what a program made cannot be put into {self.home}: {error.strerror}"
            ) from None


@contextmanager
def copied(work: Path, place: Path, cancel: CancelToken) -> Iterator[Copy]:
    """A copy of a folder in a new folder in `place`, until the block ends.

    Raises `CannotCopyError`, `ToolError` for what is no work folder, and `Cancelled`.
    """
    if place.resolve().is_relative_to(work.resolve()):
        raise CannotCopyError("the copies would lie in the folder itself")
    with _own_folder(place) as own:
        path = own / "work"
        with lent(work, cancel, to_read=True) as folder:
            with suppress(FileNotFoundError):  # of a process that died
                os.unlink(PART, dir_fd=folder.descriptor)
            base = folder.contents()
            _check_worth(base, own)
            try:
                _copy(folder.descriptor, path, base.mode, cancel)
            except OSError as error:
                raise CannotCopyError(f"it cannot be copied: {error.strerror}") from None
        yield Copy(path, folder.path, base)


# -- what another machine did ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sent:
    """A folder of which another machine has a copy: `base` is what lay there before it was sent."""

    home: Path
    base: Contents

    @contextmanager
    def received(self, place: Path) -> Iterator[Copy]:
        """A new folder in `place` for what comes back, until the block ends.

        Raises `MachineError` if there can be none.
        """
        with ExitStack() as stack:
            try:
                path = stack.enter_context(_own_folder(place)) / "work"
            except CannotCopyError as fault:
                raise MachineError(f"what comes back has no place: {fault}") from None
            path.mkdir(mode=0o700)
            yield Copy(path, self.home, self.base)

    def left(self, changed: Collection[str], removed: Collection[str]) -> Left:
        """What was left there, told by its files: folders come and go with what is in them."""
        was = self.base.stamps
        folders = {
            one for path in changed for one in above(path)
            if one in was and not stat.S_ISDIR(was[one].mode)
        }  # fmt: skip
        emptied = {
            one for path in changed if path in was and stat.S_ISDIR(was[path].mode)
            for one in within(path, was) if stat.S_ISDIR(was[one].mode)
        }  # fmt: skip
        gone = (was.keys() & removed | emptied) - folders - {*changed}
        return Left(tuple(sorted(changed)), (), tuple(sorted(folders)), (), tuple(sorted(gone)))


def looked_at(work: Path, cancel: CancelToken) -> Contents:
    """What is in a folder while no program works there.

    Raises `ToolError` for what is no work folder, and `Cancelled` while it waits.
    """
    with lent(work, cancel, to_read=True) as folder:
        return folder.contents()


def _check_worth(base: Contents, place: Path) -> None:
    size = sum(one.size for one in base.stamps.values() if stat.S_ISREG(one.mode))
    if size > LARGEST:
        raise CannotCopyError(f"it has {human_bytes(size)}, and {human_bytes(LARGEST)} are copied")
    if len(base.stamps) > MOST:
        raise CannotCopyError(f"it has {len(base.stamps)} files, and {MOST} are copied")
    if shutil.disk_usage(place).free - size < LEAST_FREE:
        raise CannotCopyError("the disk has no room for a copy")


# -- the folder that a copy lies in ----------------------------------------------------------------


@contextmanager
def _own_folder(place: Path) -> Iterator[Path]:
    """A new folder with a lock on it, gone when the block ends."""
    name = secrets.token_hex(6)
    with ExitStack() as stack:
        try:
            (place / name).mkdir(mode=0o700, parents=True)
            above = _open(place, stack)
            stack.callback(_remove, above, name)
            fcntl.flock(_open(place / name, stack), fcntl.LOCK_EX)
        except OSError as error:
            raise CannotCopyError(f"{place} cannot be written: {error.strerror}") from None
        yield place / name


def _open(folder: Path, stack: ExitStack) -> int:
    handle = os.open(folder, _FOLDER)
    stack.callback(os.close, handle)
    return handle


def _remove(above: int, name: str) -> None:
    with suppress(FileNotFoundError):
        remove(above, name)


def clear(place: Path) -> None:
    """Throw away all copies that nobody works in."""
    with suppress(FileNotFoundError), ExitStack() as stack:
        above = _open(place, stack)
        for name in names(above):
            with suppress(OSError):  # somebody is at work
                fcntl.flock(_open(place / name, stack), fcntl.LOCK_EX | fcntl.LOCK_NB)
                remove(above, name)
    with suppress(OSError):
        place.rmdir()


# -- copying ---------------------------------------------------------------------------------------


def _copy(source: int, path: Path, mode: int, cancel: CancelToken) -> None:
    """Files with their times, as `make` looks at them; folders, links as they are; nothing else."""
    path.mkdir(mode=0o700)
    target = os.open(path, _FOLDER)
    modes = [(".", mode)]
    try:
        for entry in walk(source):
            cancel.check()
            if stat.S_ISDIR(entry.mode):
                os.mkdir(entry.path, 0o700, dir_fd=target)
                modes.append((entry.path, entry.mode))
            elif stat.S_ISLNK(entry.mode):
                to = os.readlink(entry.name, dir_fd=entry.parent)
                os.symlink(to, entry.path, dir_fd=target)
            elif stat.S_ISREG(entry.mode):
                with suppress(FileNotFoundError):  # a tool has removed it meanwhile
                    _copy_file(entry, target)
        for name, its in reversed(modes):
            os.chmod(name, stat.S_IMODE(its), dir_fd=target)
    finally:
        os.close(target)


def _copy_file(entry: Entry, target: int) -> None:
    if os.geteuid() == 0 and entry.status.st_nlink > 1:  # root's programs are not shown those
        raise CannotCopyError(f"{entry.path} has another name elsewhere")
    with opened(entry.name, entry.parent) as source:
        about = os.fstat(source)
        with made(entry.path, target) as copy:
            duplicate(source, copy)
            os.fchmod(copy, stat.S_IMODE(about.st_mode) & 0o777)
            os.utime(copy, ns=(about.st_atime_ns, about.st_mtime_ns))
