"""Files, within what is granted.

A path is checked on the file that was opened, not on the name: between a look and an opening, a
script may turn a file into a link that leads elsewhere.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from agentkit.errors import ToolError, ToolRetry, did_you_mean, human_bytes
from agentkit.toolbox.grants import Grants


@dataclass(frozen=True, slots=True)
class GrantedFiles:
    """`ports.Files` for one call; `artifact` is told of files written to the folder of the run."""

    folder: Path
    grants: Grants
    artifact: Callable[[Path], None]

    def locate(self, path: Path | str) -> Path:
        """See `ports.Files.locate`."""
        place = self._full(path).resolve()
        if not self.grants.reads(place):
            raise _not_granted("read", path)
        return place

    def read(self, path: Path | str, *, limit: int = 50_000_000) -> bytes:
        """See `ports.Files.read`."""
        full = self._full(path)
        try:
            handle = os.open(full, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise self._no_file(path, error) from None
        with os.fdopen(handle, "rb") as file:
            if not self.grants.reads(_opened(handle, full)):
                raise _not_granted("read", path)
            about = os.fstat(handle)
            if stat.S_ISDIR(about.st_mode):
                raise ToolRetry(f"{str(path)!r} is a folder: list_files shows what is in it")
            if not stat.S_ISREG(about.st_mode):
                raise ToolError(f"{str(path)!r} is no plain file")
            if about.st_size > limit:
                raise ToolError(
                    f"{str(path)!r} has {human_bytes(about.st_size)}; "
                    f"{human_bytes(limit)} can be read at once"
                )
            return file.read(limit)

    def write(self, path: Path | str, content: bytes) -> Path:
        """See `ports.Files.write`."""
        full = self._full(path)
        target = full.parent.resolve() / full.name
        if full.name in ("", "..") or not self.grants.writes(target) or target == self.folder:
            raise _not_granted("written", path)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with _folder(target.parent) as (handle, place):
                if not self.grants.writes(place / target.name):
                    raise _not_granted("written", path)
                _replace(handle, target.name, content)
        except OSError as error:
            raise ToolError(f"{str(path)!r} cannot be written: {error.strerror}") from None
        if target.is_relative_to(self.folder.resolve()):
            self.artifact(target)
        return target

    def _full(self, path: Path | str) -> Path:
        if "\0" in str(path):
            raise ToolRetry("a path has no NUL character in it")
        return self.folder / Path(path).expanduser()

    def _no_file(self, path: Path | str, error: OSError) -> ToolError:
        """Why there is nothing to read, without telling more of a place than may be read."""
        place = self._full(path).resolve()
        if not self.grants.reads(place):
            return _not_granted("read", path)
        if error.errno not in (errno.ENOENT, errno.ENOTDIR):
            return ToolError(f"{str(path)!r} cannot be read: {error.strerror}")
        parent = place.parent
        there = sorted(entry.name for entry in parent.iterdir()) if parent.is_dir() else []
        near = did_you_mean(place.name, there)
        listed = f" There is: {', '.join(there[:20])}." if there and not near else ""
        return ToolRetry(f"there is no file {str(path)!r}.{near}{listed}")


def _not_granted(what: str, path: Path | str) -> ToolError:
    key = "read" if what == "read" else "write"
    return ToolError(
        f"{str(path)!r} may not be {what}: it is not in a folder that was granted",
        hint=f"name its folder in settings: permissions.interactive.{key} (or unattended)",
    )


def _opened(handle: int, path: Path) -> Path:
    """Where an open file really lies."""
    try:
        return Path(f"/proc/self/fd/{handle}").readlink()
    except OSError:  # no /proc: the name is the next best
        return path.resolve()


@contextmanager
def _folder(path: Path) -> Iterator[tuple[int, Path]]:
    """A folder held open, and where it really lies."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield handle, _opened(handle, path)
    finally:
        os.close(handle)


def _replace(folder: int, name: str, content: bytes) -> None:
    """Put a file in place as a whole; one that was there leaves its permissions."""
    try:
        mode = stat.S_IMODE(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode) & 0o777
    except FileNotFoundError:
        mode = 0o644
    aside = f".{secrets.token_hex(6)}.part"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    handle = os.open(aside, flags, mode, dir_fd=folder)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.replace(aside, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        os.unlink(aside, dir_fd=folder)
        raise
