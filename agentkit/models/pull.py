"""Bring the files of one model into the store: which are here, which source to ask, what it said.

Everything that can go wrong at one source becomes an `Attempt` and the next source is asked; a full
disk or a cancel ends the pull at once.  What has arrived stays: the next pull goes on from there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from pathlib import Path

from agentkit.cancel import CancelToken
from agentkit.errors import Attempt, ModelDamaged, PullFailed
from agentkit.models.blobs import Blobs, Expected, NotAsExpected, digest_of, ensure_room
from agentkit.models.catalog import CatalogEntry, ModelFile
from agentkit.models.gguf import read_gguf
from agentkit.models.manifest import StoredFile
from agentkit.models.sources import OpenSource, SourceFailed, open_source
from agentkit.ports import Progress


@dataclass
class Pull:
    """One pull of one model, under the lock of its name."""

    name: str
    entry: CatalogEntry
    blobs: Blobs
    progress: Progress
    cancel: CancelToken
    note: Callable[[str], None]
    attempts: list[Attempt] = field(default_factory=list)
    used: list[str] = field(default_factory=list)
    """Sources that gave something."""
    _gone: set[str] = field(default_factory=set)
    """Sources that need not be asked again."""

    def run(self, kept: dict[str, StoredFile], scratch: Path) -> tuple[StoredFile, ...]:
        """Fetch all files but those in `kept`; `scratch` is a folder for temporary files.

        Raises `PullFailed` with what each source said, `DiskFull`, `Cancelled`.
        """
        missing = [file for file in self.entry.files if file.path not in kept]
        self._check_room(missing)
        meter = _Meter(self.entry, self.progress)
        stored = dict(kept)
        for here in kept.values():
            meter.file_done(here.path, here.size)
        with ExitStack() as stack:
            sources = [open_source(source, scratch, self.cancel) for source in self.entry.sources]
            for source in sources:
                stack.enter_context(closing(source))
            for file in missing:
                stored[file.path] = self._file(file, sources, meter)
                meter.file_done(file.path, stored[file.path].size)
        return tuple(stored[file.path] for file in self.entry.files)

    def _check_room(self, missing: Sequence[ModelFile]) -> None:
        need = 0
        for file in missing:
            if file.sha256 and self.blobs.path(file.sha256).exists():
                continue
            here = self.blobs.arriving(Expected(sha256=file.sha256)) if file.sha256 else 0
            need += max(0, (file.size or 0) - here)
        ensure_room(self.blobs.folder, need, f"the model {self.name!r}")

    def _file(self, file: ModelFile, sources: Sequence[OpenSource], meter: _Meter) -> StoredFile:
        if file.sha256 and (found := self._already_here(file.path, file.sha256, file.size)):
            return found
        for source in sources:
            if source.label in self._gone:
                continue
            try:
                return self._from(source, file, meter)
            except SourceFailed as failed:
                where = "" if failed.whole or len(self.entry.files) == 1 else f"{file.path}: "
                self.attempts.append(Attempt(source.label, where + failed.reason))
                self.note(f"{source.label}: {where}{failed.reason}")
                if failed.whole:
                    self._gone.add(source.label)
        raise PullFailed(self.name, self.attempts)

    def _from(self, source: OpenSource, file: ModelFile, meter: _Meter) -> StoredFile:
        expected = replace(source.look(file), owner=self.name)

        def waiting() -> None:
            self.note(f"another process is downloading {file.path}; waiting for it")

        with self.blobs.lock(expected.key, cancel=self.cancel, waiting=waiting):
            digest = expected.sha256
            found = self._already_here(file.path, digest, expected.size) if digest else None
            if found is None:
                digest = self._receive(source, file, expected, meter)
                found = self._stored(file.path, digest)
        if source.label not in self.used:
            self.used.append(source.label)
        return found

    def _receive(
        self, source: OpenSource, file: ModelFile, expected: Expected, meter: _Meter
    ) -> str:
        """Fetch and check; bytes from before that do not fit get one second chance from zero."""
        report = meter.of(file.path, expected.size)
        while True:
            with self.blobs.partial(expected, report=report, cancel=self.cancel) as partial:
                continued = partial.size > 0
                try:
                    source.fetch(file, partial)
                    if not expected.pinned:
                        _check_format(partial.path, file.path)
                    return partial.finish()
                except NotAsExpected as fault:
                    if not continued:
                        raise SourceFailed(str(fault)) from None
                    self.note(f"{file.path}: {fault}; starting over")
                    partial.discard()

    def _already_here(self, path: str, sha256: str, size: int | None) -> StoredFile | None:
        """A blob that another model or an earlier pull brought, if it is still what it was."""
        blob = self.blobs.path(sha256)
        if not blob.exists():
            return None
        if size in (None, blob.stat().st_size) and digest_of(blob, self.cancel) == sha256:
            return self._stored(path, sha256)
        blob.unlink()
        return None

    def _stored(self, path: str, sha256: str) -> StoredFile:
        status = self.blobs.path(sha256).stat()
        return StoredFile(
            path=path, digest=sha256, size=status.st_size, mtime_ns=status.st_mtime_ns
        )


def _check_format(arrived: Path, path: str) -> None:
    """Where no digest is known, a GGUF must at least be one, and whole."""
    if not path.endswith(".gguf"):
        return
    try:
        read_gguf(arrived).check_complete(path)
    except ModelDamaged as damaged:
        raise NotAsExpected(damaged.message) from None


class _Meter:
    """Adds the files up to one progress that never runs backwards."""

    def __init__(self, entry: CatalogEntry, progress: Progress) -> None:
        self._sizes: dict[str, int | None] = {file.path: file.size for file in entry.files}
        self._done = dict.fromkeys(self._sizes, 0)
        self._shown = 0
        self._progress = progress

    def of(self, path: str, size: int | None) -> Callable[[int], None]:
        """The report of one file."""
        if size is not None:
            self._sizes[path] = size

        def report(done: int) -> None:
            self._done[path] = done
            self._show()

        return report

    def file_done(self, path: str, size: int) -> None:
        """A file is complete."""
        self._sizes[path] = self._done[path] = size
        self._show()

    def _show(self) -> None:
        self._shown = max(self._shown, sum(self._done.values()))
        sizes = list(self._sizes.values())
        total = None if None in sizes else sum(size or 0 for size in sizes)
        self._progress(self._shown, total, "B")
