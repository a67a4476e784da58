"""Files, handed to the user that root's program is, and taken back.

A program that root starts is not root (see `identity`) and could not write to root's folder.  For
as long as it runs, the work folder and what is in it belong to its user; afterwards everything has
the owner it had before, and what is new the folder's.  Never touched are links, and files that have
another name, which may lie anywhere.

Inputs are not touched at all.  One that only root may read is copied.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from agentkit.errors import MachineError
from agentkit.sandbox.identity import is_like
from agentkit.sandbox.tree import grip, walk

Owner = tuple[int, int]


@contextmanager
def handed_over(folder: int, path: Path, number: int | None) -> Iterator[None]:
    """Make a user the owner of a folder while the block runs.  None is ourselves: nothing to do."""
    if number is None:
        yield
        return
    handover = _Handover(folder, number)
    try:
        try:
            handover.give()
        except OSError as error:
            raise MachineError(
                f"{path} cannot be handed to the user that its programs run as: {error.strerror}",
                hint="have the runs on a disk with owners: AGENTKIT_HOME=/other/folder",
            ) from None
        yield
    finally:
        handover.take_back()


@dataclass(slots=True)
class _Handover:
    folder: int
    number: int
    before: dict[tuple[int, int], Owner] = field(default_factory=dict)

    def give(self) -> None:
        self._give(f"/proc/self/fd/{self.folder}")
        for entry in walk(self.folder):
            if stat.S_ISDIR(entry.mode) or stat.S_ISREG(entry.mode):
                with grip(entry.parent, entry.name) as path:
                    self._give(path)

    def _give(self, path: str) -> None:
        status = Path(path).stat()
        if status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
            return
        self.before[_file(status)] = (
            _ourselves()  # a crash left it so
            if is_like(status.st_uid, self.number)
            else (status.st_uid, status.st_gid)
        )
        os.chown(path, self.number, self.number)

    def take_back(self) -> None:
        default = self.before.get(_file(os.fstat(self.folder)), _ourselves())
        for entry in walk(self.folder):
            if entry.status.st_uid == self.number:
                with suppress(FileNotFoundError), grip(entry.parent, entry.name) as path:
                    os.chown(path, *self.before.get(_file(entry.status), default))
        os.chown(self.folder, *default)


def _file(status: os.stat_result) -> tuple[int, int]:
    return (status.st_dev, status.st_ino)


def _ourselves() -> Owner:
    return (os.geteuid(), os.getegid())


@contextmanager
def readable(inputs: Mapping[str, Path], number: int | None) -> Iterator[dict[str, Path]]:
    """The inputs as that user can read them while the block runs: themselves, or copies.

    Raises `MachineError` if they cannot be copied.
    """
    if number is None or all(map(_open_to_all, inputs.values())):
        yield dict(inputs)
        return
    with tempfile.TemporaryDirectory(prefix="agentkit-inputs-") as folder:
        yield {
            name: path if _open_to_all(path) else _copy(path, Path(folder, name), number)
            for name, path in inputs.items()
        }


def _open_to_all(path: Path) -> bool:
    status = path.stat()
    if stat.S_ISREG(status.st_mode):
        return _readable_by_others(status.st_mode)
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        found = (entry.mode for entry in walk(folder) if not stat.S_ISLNK(entry.mode))
        return _readable_by_others(status.st_mode) and all(map(_readable_by_others, found))
    finally:
        os.close(folder)


def _readable_by_others(mode: int) -> bool:
    """Also executable, if it is for its owner: a program or folder."""
    return bool(mode & stat.S_IROTH) and bool(mode & stat.S_IXOTH) >= bool(mode & stat.S_IXUSR)


def _copy(path: Path, to: Path, number: int) -> Path:
    try:
        if path.is_dir():
            shutil.copytree(path, to, symlinks=True, copy_function=_copy_plain)
        else:
            shutil.copy(path, to)
    except OSError as error:
        raise MachineError(
            f"{path} can be read by root only, and cannot be copied for its program: {error}",
            hint=f"chmod -R o+rX {path}",
        ) from None
    for folder, _, files in os.walk(to):
        for place in (Path(folder), *(Path(folder, name) for name in files)):
            os.chown(place, number, number, follow_symlinks=False)
    os.chown(to, number, number, follow_symlinks=False)
    return to


def _copy_plain(source: str, to: str) -> str:
    """Files only: pipes and devices are nothing that can be copied."""
    return shutil.copy(source, to) if stat.S_ISREG(Path(source).stat().st_mode) else to
