"""Source `file:`: a file, or a folder with the files of a model, on a disk of this machine."""

from __future__ import annotations

from pathlib import Path

from agentkit.models.blobs import CHUNK, Expected, Partial
from agentkit.models.catalog import ModelFile
from agentkit.models.sources.base import SourceFailed


class Local:
    """Copies from a path."""

    def __init__(self, label: str, path: Path) -> None:
        self.label = label
        self._path = path

    def look(self, file: ModelFile) -> Expected:
        """The catalog's digest, and the size that the file has."""
        path = self._place(file)
        try:
            size = path.stat().st_size
        except OSError as error:
            raise SourceFailed(f"{path}: {(error.strerror or str(error)).lower()}") from None
        if file.size is not None and size != file.size:
            raise SourceFailed(f"{path}: has {size} bytes, expected {file.size}")
        return Expected(size=size, sha256=file.sha256, address=f"{self.label} {file.path} {size}")

    def fetch(self, file: ModelFile, partial: Partial) -> None:
        """Copy what is missing."""
        if not partial.expected.pinned:
            partial.restart()
        path = self._place(file)
        try:
            with path.open("rb", buffering=0) as original:
                original.seek(partial.size)
                while chunk := original.read(CHUNK):
                    partial.write(chunk)
        except OSError as error:
            raise SourceFailed(f"{path}: {(error.strerror or str(error)).lower()}") from None

    def close(self) -> None:
        """Nothing is held."""

    def _place(self, file: ModelFile) -> Path:
        return self._path / file.path if self._path.is_dir() else self._path
