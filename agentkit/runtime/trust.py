"""Projects whose `tools/` may be loaded.

A Python file with tools is code that runs with your rights, and a folder that was cloned an hour
ago is somebody else's.  So `tools/` in the current folder counts only after `agentkit tools trust`;
the list is a file in the home, one folder a line.
"""

from __future__ import annotations

from pathlib import Path


class TrustedFolders:
    """The list."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __contains__(self, folder: Path) -> bool:
        return str(folder.resolve()) in self._lines()

    def add(self, folder: Path) -> None:
        """Trust a folder."""
        if folder not in self:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._file.write_text("\n".join([*self._lines(), str(folder.resolve())]) + "\n")

    def remove(self, folder: Path) -> None:
        """Trust it no more."""
        kept = [line for line in self._lines() if line != str(folder.resolve())]
        if self._file.exists():
            self._file.write_text("".join(line + "\n" for line in kept))

    def _lines(self) -> list[str]:
        return self._file.read_text().splitlines() if self._file.exists() else []
