"""Projects whose `tools/` may be loaded.

A Python file with tools is code that runs with your rights, and a folder that was cloned an hour
ago is somebody else's.  So `tools/` in the current folder counts only after `agentkit tools trust`;
the list is a file in the home, one folder a line.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agentkit.errors import MachineError, UserError


class TrustedFolders:
    """The list: of full paths, as bytes, for a name need not be text."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __contains__(self, folder: Path) -> bool:
        return _line(folder) in self._lines()

    def add(self, folder: Path) -> None:
        """Trust a folder.  Raises `UserError` for a name that would be two lines of the list."""
        line = _line(folder)
        if b"\n" in line:
            raise UserError(f"{str(folder)!r} has a line's end in its name: rename it first")
        if line not in self._lines():
            self._write([*self._lines(), line])

    def remove(self, folder: Path) -> None:
        """Trust it no more."""
        if folder in self:
            self._write([line for line in self._lines() if line != _line(folder)])

    def _lines(self) -> list[bytes]:
        with self._explained():
            content = self._file.read_bytes() if self._file.exists() else b""
        return [line for line in content.split(b"\n") if line]

    def _write(self, lines: list[bytes]) -> None:
        """As a whole or not at all."""
        aside = self._file.with_name(f"{self._file.name}.{os.getpid()}.part")
        with self._explained():
            self._file.parent.mkdir(parents=True, exist_ok=True)
            aside.write_bytes(b"".join(line + b"\n" for line in lines))
            aside.replace(self._file)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise MachineError(
                f"the list of trusted folders {self._file}: {error.strerror}"
            ) from None


def _line(folder: Path) -> bytes:
    return os.fsencode(folder.resolve())
