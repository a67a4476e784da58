"""Files, within what is granted.

A path is checked on the file that was opened, not only on the name: between a look and an opening,
a script may turn a file into a link that leads elsewhere.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from agentkit.errors import ToolError, ToolRetry, did_you_mean, human_bytes
from agentkit.toolbox.grants import Grants
from agentkit.toolbox.paths import full_path, real_path
from agentkit.values import dataclass

READING = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
"""Without waiting at a pipe for somebody to write, or taking over a terminal."""

HOLDING = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

MANY = 2000
"""Names of a folder that are looked at for one that is near."""


@dataclass(frozen=True, slots=True)
class GrantedFiles:
    """`ports.Files` for one call; `artifact` is told of files written to the folder of the run."""

    folder: Path
    grants: Grants
    artifact: Callable[[Path], None]

    def locate(self, path: Path | str) -> Path:
        """See `ports.Files.locate`."""
        place = real_path(full_path(self.folder, path))
        if not self.grants.reads(place):
            raise _not_granted("read", path)
        return place

    def read(self, path: Path | str, *, limit: int = 50_000_000) -> bytes:
        """See `ports.Files.read`."""
        place = self.locate(path)  # to open a device, or to be told of a name, is something already
        try:
            with _opened(place) as (handle, real):
                if not self.grants.reads(real):
                    raise _not_granted("read", path)
                return _content(handle, path, limit)
        except (FileNotFoundError, NotADirectoryError):
            raise ToolRetry(f"there is no file {str(path)!r}.{self._instead(place)}") from None
        except OSError as error:
            raise ToolError(f"{str(path)!r} cannot be read: {_said(error)}") from None

    def write(self, path: Path | str, content: bytes) -> Path:
        """See `ports.Files.write`."""
        target, home = self._writable(path), real_path(self.folder)
        if target == home:
            raise _not_granted("written", path)
        try:
            with _held(target.parent) as (handle, real):
                if not self.grants.writes(real / target.name):
                    raise _not_granted("written", path)
                _replace(handle, target.name, content)
        except OSError as error:
            raise ToolError(f"{str(path)!r} cannot be written: {_said(error)}") from None
        if target.is_relative_to(home):
            self.artifact(target)
        return target

    def rename(self, path: Path | str, name: Path | str) -> Path:
        """See `ports.Files.rename`."""
        source, target = self._writable(path), self._writable(name)
        try:
            with _held(source.parent) as (one, here), _held(target.parent) as (two, there):
                for place, said in ((here / source.name, path), (there / target.name, name)):
                    if not self.grants.writes(place):
                        raise _not_granted("written", said)
                if not stat.S_ISREG(
                    os.stat(source.name, dir_fd=one, follow_symlinks=False).st_mode
                ):
                    raise ToolError(f"{str(path)!r} is no plain file")
                _move(one, source.name, two, target.name)
        except FileNotFoundError:
            raise ToolRetry(f"there is no file {str(path)!r}.{self._instead(source)}") from None
        except FileExistsError:
            raise ToolRetry(f"there is a {str(name)!r} already: nothing is overwritten") from None
        except OSError as error:
            raise ToolError(f"{str(path)!r} cannot be renamed: {_said(error)}") from None
        if target.is_relative_to(real_path(self.folder)):
            self.artifact(target)
        return target

    def _writable(self, path: Path | str) -> Path:
        full = full_path(self.folder, path)
        target = real_path(full.parent) / full.name
        if full.name in ("", "..") or not self.grants.writes(target):
            raise _not_granted("written", path)
        return target

    def _instead(self, place: Path) -> str:
        """What there is, of what may be read: no more is told."""
        try:
            entries = list(islice(place.parent.iterdir(), MANY))
        except OSError:
            return ""
        there = sorted(entry.name for entry in entries if self.grants.reads(entry))
        near = did_you_mean(place.name, there)
        return near or (f" There is: {', '.join(map(repr, there[:20]))}." if there else "")


@contextmanager
def written(folder: Path, name: str, *, executable: bool = False) -> Iterator[BinaryIO]:
    """A file in a folder, to be written piece by piece: in place as a whole or not at all.

    Raises `ToolError` for a name that leads out of the folder, and for what cannot be written.
    """
    home = real_path(folder)
    target = real_path((home / name).parent) / Path(name).name
    if ".." in Path(name).parts or target == home or not target.is_relative_to(home):
        raise ToolError(f"{name!r} is not in the folder of the run")
    try:
        with _held(target.parent) as (handle, real):
            if not real.is_relative_to(home):
                raise ToolError(f"{name!r} is not in the folder of the run")
            mode = _mode(handle, target.name) or (0o755 if executable else 0o644)
            with _replacing(handle, target.name, mode) as file:
                yield file
    except OSError as error:
        raise ToolError(f"{name!r} cannot be written: {_said(error)}") from None


def _not_granted(what: str, path: Path | str) -> ToolError:
    key = "read" if what == "read" else "write"
    return ToolError(
        f"{str(path)!r} may not be {what}: it is not in a folder that was granted",
        hint=f"name its folder in settings: permissions.interactive.{key} (or unattended)",
    )


def _said(error: OSError) -> str:
    return error.strerror or type(error).__name__


@contextmanager
def _opened(path: Path) -> Iterator[tuple[int, Path]]:
    """A file to be read, and where it really lies."""
    handle = os.open(path, READING)
    try:
        yield handle, _place(handle, path)
    finally:
        os.close(handle)


@contextmanager
def _held(path: Path) -> Iterator[tuple[int, Path]]:
    """A folder, made where it is missing, and where it really lies.

    The path has no links in it; whoever has put one there since gets an error.
    """
    handle = os.open(path.anchor, HOLDING)
    try:
        for part in path.parts[1:]:
            try:
                inner = os.open(part, HOLDING, dir_fd=handle)
            except FileNotFoundError:
                with suppress(FileExistsError):  # somebody else was faster
                    os.mkdir(part, dir_fd=handle)
                inner = os.open(part, HOLDING, dir_fd=handle)
            os.close(handle)
            handle = inner
        yield handle, _place(handle, path)
    finally:
        os.close(handle)


def _place(handle: int, path: Path) -> Path:
    try:
        return Path(f"/proc/self/fd/{handle}").readlink()
    except OSError:  # no /proc: the name is the next best
        return real_path(path)


def _content(handle: int, path: Path | str, limit: int) -> bytes:
    mode = os.fstat(handle).st_mode
    if stat.S_ISDIR(mode):
        raise ToolRetry(f"{str(path)!r} is a folder: list_files shows what is in it")
    if not stat.S_ISREG(mode):
        raise ToolError(f"{str(path)!r} is no plain file")
    with os.fdopen(handle, "rb", closefd=False) as file:
        size = os.fstat(handle).st_size
        content = file.read(limit + 1) if size <= limit else b""
    if size > limit or len(content) > limit:  # some files say 0 and go on and on
        raise ToolError(
            f"{str(path)!r} has {human_bytes(max(size, len(content)))}; "
            f"{human_bytes(limit)} can be read at once"
        )
    return content


def _replace(folder: int, name: str, content: bytes) -> None:
    """Put a file in place as a whole; one that was there leaves its permissions."""
    with _replacing(folder, name, _mode(folder, name)) as file:
        file.write(content)


@contextmanager
def _replacing(folder: int, name: str, mode: int | None) -> Iterator[BinaryIO]:
    """A file that takes its name when it is whole."""
    aside = f".{secrets.token_hex(6)}.part"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    handle = os.open(aside, flags, 0o644, dir_fd=folder)
    try:
        with os.fdopen(handle, "wb") as file:
            if mode is not None:
                os.fchmod(handle, mode)
            yield file
            file.flush()
            os.fsync(handle)  # whole before it has its name, also after a power cut
        os.replace(aside, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with suppress(OSError):
            os.unlink(aside, dir_fd=folder)
        raise


def _move(here: int, name: str, there: int, new: str) -> None:
    """Raises `FileExistsError` where something is, whoever was faster."""
    try:
        os.link(name, new, src_dir_fd=here, dst_dir_fd=there, follow_symlinks=False)
    except PermissionError:  # a file has one name on some disks
        with suppress(FileNotFoundError):
            os.stat(new, dir_fd=there, follow_symlinks=False)
            raise FileExistsError(new) from None
        os.rename(name, new, src_dir_fd=here, dst_dir_fd=there)
    else:
        os.unlink(name, dir_fd=here)


def _mode(folder: int, name: str) -> int | None:
    """The permissions of a file that is there."""
    try:
        about = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None
    return about.st_mode & 0o777 if stat.S_ISREG(about.st_mode) else None
