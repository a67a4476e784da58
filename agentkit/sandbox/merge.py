"""What a program did in a copy of a folder, done in the folder: all of it, or nothing.

What the program left alone stays as it is by now.  What it touched has to be in the folder as the
copy was taken from it; or already as the program left it, then two have done the same.  Whatever
else is found there was done by somebody who would lose it.

Files are moved: each is there as a whole or not at all, and what is not there any more goes last,
so that a process that dies halfway leaves what a program can begin again with.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from agentkit.sandbox.duplicate import BLOCK, duplicate, made, opened
from agentkit.sandbox.tree import enter
from agentkit.sandbox.work import Contents, Left, Stamp, WorkFolder, leads_out

PART = ".agentkit-merge.part"
"""A file on its way from another disk."""


def merged(copy: int, left: Left, base: Contents, folder: WorkFolder) -> tuple[str, ...]:
    """The paths that are in conflict, sorted; none: it is done.

    Nothing else may be at work in the copy, or in the folder.  Raises `OSError`.
    """
    now = folder.contents()
    merge = _Merge(copy, folder.descriptor, left, base.stamps, now.stamps)
    found = {path: merge.fits(path) for path in left.touched}
    conflicts = sorted(path for path, fits in found.items() if fits == "not")
    if conflicts:
        return tuple(conflicts)
    todo = {path for path, fits in found.items() if fits == "to do"}
    merge.apply(todo, now)
    return ()


@dataclass(frozen=True, slots=True)
class _Merge:
    """`base` is what the copy was taken from, `now` what is in the folder."""

    copy: int
    folder: int
    left: Left
    base: Mapping[str, Stamp]
    now: Mapping[str, Stamp]

    def fits(self, path: str) -> str:
        """`to do`, `done` already by somebody else, or `not`."""
        now = self.now.get(path)
        if not _alike(self.base.get(path), now):
            return "done" if self._same(path, now) else "not"
        for one in above(path):
            in_the_way = one in self.now and not stat.S_ISDIR(self.now[one].mode)
            if in_the_way and one not in self.left.folders:
                return "done" if path in self.left.gone else "not"
        return "not" if self._buries(path, now) else "to do"

    def _buries(self, path: str, now: Stamp | None) -> bool:
        """Whether it takes the place of a folder in which somebody else has made more."""
        if now is None or not stat.S_ISDIR(now.mode):
            return False
        stays = path in self.left.folders or path in self.left.gone
        return not stays and bool(set(within(path, self.now)) - set(self.left.gone))

    def _same(self, path: str, now: Stamp | None) -> bool:
        """Whether it is in the folder as the program left it."""
        if path in self.left.gone or now is None:
            return path in self.left.gone and now is None
        with _parent(self.copy, path) as (ours, name), _parent(self.folder, path) as (theirs, _):
            mode = os.stat(name, dir_fd=ours, follow_symlinks=False).st_mode
            if stat.S_IFMT(mode) != stat.S_IFMT(now.mode):
                return False
            if stat.S_ISLNK(mode):
                return os.readlink(name, dir_fd=ours) == os.readlink(name, dir_fd=theirs)
            return stat.S_ISDIR(mode) or (
                (mode ^ now.mode) & 0o111 == 0 and _same_content(name, ours, theirs)
            )

    def apply(self, todo: set[str], now: Contents) -> None:
        """Do it; folders first, what goes last."""
        for path in self.left.folders:
            if path in todo:
                self._make(path)
        for path in (*self.left.changed, *self.left.links):
            if path in todo:
                self._clear(path)
                self._put(path, now)
        for path in reversed(self.left.gone):
            if path in todo:
                self._drop(path)

    def _make(self, path: str) -> None:
        was = self.now.get(path)
        with _parent(self.copy, path) as (ours, name):
            mode = stat.S_IMODE(os.stat(name, dir_fd=ours, follow_symlinks=False).st_mode)
        with _parent(self.folder, path, self) as (parent, name):
            if was is not None and not stat.S_ISDIR(was.mode):
                os.unlink(name, dir_fd=parent)
            self._make_folder(parent, name)
            os.chmod(name, mode, dir_fd=parent)

    def _make_folder(self, parent: int, name: str) -> None:
        with suppress(FileExistsError):
            os.mkdir(name, dir_fd=parent)
            self.own(parent, name, None)

    def _clear(self, path: str) -> None:
        """A folder of which the place is taken: it is known that all in it is to go."""
        was = self.now.get(path)
        if was is not None and stat.S_ISDIR(was.mode):
            for inner in sorted(within(path, self.now), reverse=True):
                self._drop(inner)
            with _parent(self.folder, path) as (parent, name):
                os.rmdir(name, dir_fd=parent)

    def _put(self, path: str, now: Contents) -> None:
        with _parent(self.copy, path) as (ours, name), _parent(self.folder, path, self) as (to, _):
            about = os.stat(name, dir_fd=ours, follow_symlinks=False)
            if stat.S_ISLNK(about.st_mode) and leads_out(
                path, os.readlink(name, dir_fd=ours), now.astray
            ):
                return  # through a link that a tool has made meanwhile
            was = None
            with suppress(FileNotFoundError):
                was = os.stat(name, dir_fd=to, follow_symlinks=False)
            try:
                os.rename(name, name, src_dir_fd=ours, dst_dir_fd=to)
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
                self._carry(name, ours, about, to)
            self.own(to, name, was)

    def _carry(self, name: str, ours: int, about: os.stat_result, to: int) -> None:
        """From another disk."""
        with suppress(FileNotFoundError):
            os.unlink(PART, dir_fd=self.folder)
        if stat.S_ISLNK(about.st_mode):
            os.symlink(os.readlink(name, dir_fd=ours), PART, dir_fd=self.folder)
        else:
            with opened(name, ours) as source, made(PART, self.folder) as target:
                duplicate(source, target)
                os.fchmod(target, stat.S_IMODE(about.st_mode))
                os.utime(target, ns=(about.st_atime_ns, about.st_mtime_ns))
        os.rename(PART, name, src_dir_fd=self.folder, dst_dir_fd=to)

    def _drop(self, path: str) -> None:
        """A folder in which there is something by now stays."""
        with suppress(FileNotFoundError), _parent(self.folder, path) as (parent, name):
            if not stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
                os.unlink(name, dir_fd=parent)
                return
            try:
                os.rmdir(name, dir_fd=parent)
            except OSError as error:
                if error.errno != errno.ENOTEMPTY:
                    raise

    def own(self, parent: int, name: str, was: os.stat_result | None) -> None:
        """Where root works: it belongs to who had it, and what is new to who has the folder."""
        if os.geteuid() == 0:
            has = was or os.fstat(self.folder)
            os.chown(name, has.st_uid, has.st_gid, dir_fd=parent, follow_symlinks=False)


def _alike(one: Stamp | None, other: Stamp | None) -> bool:
    """Not by when it was changed: to hand a file to another user changes it."""
    if one is None or other is None:
        return one is other
    if stat.S_ISDIR(one.mode) and stat.S_ISDIR(other.mode):
        return True
    return one[:4] == other[:4]


def above(path: str) -> Iterator[str]:
    """The folders that a path goes through, the nearest first."""
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path


def within(path: str, paths: Mapping[str, Stamp]) -> Iterator[str]:
    """Those of the paths that lie in a folder."""
    return (one for one in paths if one.startswith(f"{path}/"))


@contextmanager
def _parent(root: int, path: str, maker: _Merge | None = None) -> Iterator[tuple[int, str]]:
    """The folder in which something lies, open, and its name there; never through a link.

    What is missing on the way is made by `maker`.
    """
    *folders, name = path.split("/")
    handle = os.dup(root)
    try:
        for part in folders:
            if maker is not None:
                maker._make_folder(handle, part)
            inner = enter(handle, part, unlocking=True)
            os.close(handle)
            handle = inner
        yield handle, name
    finally:
        os.close(handle)


def _same_content(name: str, ours: int, theirs: int) -> bool:
    with opened(name, ours) as one, opened(name, theirs) as other:
        if os.fstat(one).st_size != os.fstat(other).st_size:
            return False
        while block := os.read(one, BLOCK):
            if block != os.read(other, BLOCK):
                return False
    return True
