"""The content-addressed half of the store: one file for each SHA-256, and files on their way in.

    blobs/sha256-<64 hex>             complete and checked; never written again
    blobs/<key>.partial               what has arrived so far; survives the process
    blobs/<key>.partial.json          what a source must remember to continue it
    locks/<key>.lock                  held by the process that writes or deletes the partial

A blob comes to be by one rename of a partial whose digest was right, so a reader never sees half a
file.  Locks are `flock`s: the kernel frees them when their holder dies, however it dies.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from filelock import FileLock, Timeout

from agentkit.cancel import CancelToken
from agentkit.errors import DiskFull, MachineError, human_bytes

CHUNK = 1 << 20
"""Bytes between two looks at the cancel token."""

LOCK_POLL_SECONDS = 0.1

UNPINNED = re.compile(r"(?:git-[0-9a-f]{40}|address-[0-9a-f]{64})(?:-(?P<owner>.+))?")
"""A key without a SHA-256: it is of one model, or of one process if it names no owner."""


class NotAsExpected(Exception):
    """A file that arrived is not the one that was wanted: too long, too short, another digest."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What is known about a file before it arrives.  Sizes in bytes, digests in hex.

    `git_sha1` is the name that git gives to a file; the hub knows small files by it.
    """

    size: int | None = None
    sha256: str | None = None
    git_sha1: str | None = None
    address: str = ""
    """Where it comes from: names the partial while no digest is known."""
    owner: str = ""
    """The model that will continue it.  Without one, and without a SHA-256, nobody will: what is
    left of it is swept away."""

    @property
    def pinned(self) -> bool:
        """Whether a digest is known, so that bytes can be trusted wherever they come from."""
        return bool(self.sha256 or self.git_sha1)

    @property
    def key(self) -> str:
        """Names the partial and the lock."""
        if self.sha256:
            return f"sha256-{self.sha256}"
        address = hashlib.sha256(self.address.encode()).hexdigest()
        key = f"git-{self.git_sha1}" if self.git_sha1 else f"address-{address}"
        return f"{key}-{self.owner}" if self.owner else key


class Blobs:
    """The blobs of one store, in a folder that is made when first written to."""

    def __init__(self, folder: Path) -> None:
        self.root = folder
        self.folder = folder / "blobs"

    def path(self, sha256: str) -> Path:
        """Where the blob with a digest lies, or would lie."""
        return self.folder / f"sha256-{sha256}"

    def partial(
        self,
        expected: Expected,
        *,
        report: Callable[[int], None] = lambda size: None,
        cancel: CancelToken | None = None,
    ) -> Partial:
        """The file that continues to arrive: to be used in a `with`, under its lock."""
        make_folder(self.folder)
        return Partial(self.folder / f"{expected.key}.partial", expected, report, cancel)

    def arriving(self, expected: Expected) -> int:
        """Bytes of a file that are here from an interrupted pull."""
        path = self.folder / f"{expected.key}.partial"
        return path.stat().st_size if path.exists() else 0

    @contextmanager
    def lock(
        self,
        key: str,
        *,
        cancel: CancelToken | None = None,
        waiting: Callable[[], None] = lambda: None,
        patience: float | None = None,
    ) -> Iterator[None]:
        """Hold the lock of a key; `waiting` is called once if another process has it.

        With `patience` (seconds) it gives up with `TimeoutError`.  Raises `Cancelled`,
        `MachineError`.
        """
        path = self._lock_file(key)
        make_folder(path.parent)
        lock = FileLock(path)
        try:
            lock.acquire(timeout=0 if patience is None else patience)
        except Timeout:
            if patience is not None:
                raise TimeoutError(key) from None
            waiting()
            _wait_for(lock, cancel)
        except OSError as error:
            raise MachineError(f"{path} cannot be locked: {error.strerror}") from None
        try:
            yield
        finally:
            if (unpinned := UNPINNED.fullmatch(key)) and not unpinned["owner"]:
                path.unlink(missing_ok=True)  # nobody else waits for it
            lock.release()

    def _lock_file(self, key: str) -> Path:
        return self.root / "locks" / f"{key}.lock"

    def discard(self, sha256: str) -> int:
        """Delete a blob and what arrived of it; returns the bytes freed.

        What another process is bringing right now stays.  Raises `MachineError`.
        """
        return self._delete(f"sha256-{sha256}", self.path(sha256))

    def discard_unpinned(self, owner: str) -> int:
        """Delete what arrived for a model under no SHA-256; returns the bytes freed.

        To be called under the lock of the model.  Raises `MachineError`.
        """
        freed = 0
        for key in self._unpinned(owner):
            freed += self._delete(key)
            self._lock_file(key).unlink(missing_ok=True)
        return freed

    def sweep(self) -> None:
        """Delete what processes that were killed have left and nobody will continue."""
        for key in self._unpinned(""):
            with suppress(MachineError):
                self._delete(key)

    def _unpinned(self, owner: str) -> list[str]:
        """The keys of an owner that have a file of some kind."""
        files = [*self.folder.glob("*.partial*"), *(self.root / "locks").glob("*.lock")]
        keys = {re.sub(r"\.(partial(\.json)?|lock)$", "", file.name) for file in files}
        found = ((key, UNPINNED.fullmatch(key)) for key in sorted(keys))
        return [key for key, match in found if match and (match["owner"] or "") == owner]

    def _delete(self, key: str, *besides: Path) -> int:
        """Delete what arrived under a key, unless somebody has its lock; returns the bytes."""
        partial = self.folder / f"{key}.partial"
        freed = 0
        try:
            with self.lock(key, patience=0), _disk_errors(partial, Expected()):
                for path in (*besides, partial, _memory_of(partial)):
                    with suppress(FileNotFoundError):
                        size = path.stat().st_size
                        path.unlink()
                        freed += size
        except TimeoutError:
            pass
        return freed


def _wait_for(lock: FileLock, cancel: CancelToken | None) -> None:
    while True:
        if cancel:
            cancel.check()
        with suppress(Timeout):
            lock.acquire(timeout=1.0, poll_interval=LOCK_POLL_SECONDS)
            return


@dataclass
class Partial:
    """A file on its way into the store, with its digest kept up to date while it grows."""

    path: Path
    expected: Expected
    report: Callable[[int], None] = field(repr=False)
    cancel: CancelToken | None = field(default=None, repr=False)
    size: int = field(default=0, init=False)

    def __enter__(self) -> Self:
        with _disk_errors(self.path, self.expected):
            self._file: IO[bytes] = self.path.open("ab", buffering=0)
        try:
            self._read_again()
        except BaseException:
            self._file.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def _read_again(self) -> None:
        """Take up what an earlier process left: its bytes go through the digest once more."""
        self._start_digests()
        left = self.path.stat().st_size
        if self.expected.size is not None and left > self.expected.size:
            self.restart()
            return
        with self.path.open("rb", buffering=0) as before:
            while left and (chunk := before.read(min(left, CHUNK))):
                self._count(chunk)
                left -= len(chunk)

    def _start_digests(self) -> None:
        self.size = 0
        self._sha256 = hashlib.sha256()
        self._git = hashlib.sha1(usedforsecurity=False)
        self._git.update(f"blob {self.expected.size}\0".encode())

    def _count(self, chunk: bytes | memoryview) -> None:
        self._sha256.update(chunk)
        if self.expected.git_sha1:
            self._git.update(chunk)
        self.size += len(chunk)
        self.report(self.size)
        if self.cancel:
            self.cancel.check()

    @property
    def remaining(self) -> int | None:
        """Bytes still to come, if that is known."""
        return None if self.expected.size is None else self.expected.size - self.size

    def write(self, chunk: bytes) -> None:
        """Append.  Raises `NotAsExpected` if that is too much, `DiskFull`, `Cancelled`."""
        if self.remaining is not None and len(chunk) > self.remaining:
            raise NotAsExpected(f"is longer than the {self.expected.size} bytes expected")
        rest = memoryview(chunk)
        while rest:
            with _disk_errors(self.path, self.expected):
                written = self._file.write(rest)
            self._count(rest[:written])
            rest = rest[written:]

    def restart(self) -> None:
        """Forget what has arrived."""
        self._file.truncate(0)
        _memory_of(self.path).unlink(missing_ok=True)
        self._start_digests()

    def remember(self, **facts: Any) -> None:
        """Keep something that helps to continue after an interruption."""
        write_atomically(_memory_of(self.path), json.dumps({**self.memory(), **facts}))

    def memory(self) -> dict[str, Any]:
        """What was remembered; empty if nothing was, or if it cannot be read."""
        try:
            facts = json.loads(_memory_of(self.path).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return facts if isinstance(facts, dict) else {}

    def finish(self) -> str:
        """Check the digest and make it a blob; returns the SHA-256 in hex.

        Raises `NotAsExpected`: a file that is too short stays to be continued, one with the wrong
        digest is deleted.  Raises `DiskFull`, `MachineError`.
        """
        if self.remaining:
            raise NotAsExpected(f"ends after {self.size} of {self.expected.size} bytes")
        digest = self._sha256.hexdigest()
        try:
            _compare(digest, self.expected.sha256)
            _compare(self._git.hexdigest(), self.expected.git_sha1)
        except NotAsExpected:
            self.discard()
            raise
        with _disk_errors(self.path, self.expected):
            os.fsync(self._file.fileno())
            self.path.chmod(0o444)
            self.path.replace(self.path.with_name(f"sha256-{digest}"))
            sync_folder(self.path.parent)
            _memory_of(self.path).unlink(missing_ok=True)
        return digest

    def discard(self) -> None:
        """Delete what has arrived."""
        self.path.unlink(missing_ok=True)
        _memory_of(self.path).unlink(missing_ok=True)


def _compare(found: str, wanted: str | None) -> None:
    if wanted and found != wanted:
        raise NotAsExpected(f"digest is {found[:12]}…, expected {wanted[:12]}…")


def _memory_of(partial: Path) -> Path:
    return partial.with_name(partial.name + ".json")


def digest_of(path: Path, cancel: CancelToken | None = None) -> str:
    """SHA-256 of a file in hex.  Raises `Cancelled`."""
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            if cancel:
                cancel.check()
    return digest.hexdigest()


# -- folders and disks ---------------------------------------------------------------------------


def make_folder(folder: Path) -> Path:
    """The folder, made if need be.  Raises `MachineError` if that cannot be done."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MachineError(
            f"{folder} cannot be made: {error.strerror}",
            hint="choose another place for models: AGENTKIT_MODELS_DIR=/other/folder",
        ) from None
    return folder


def ensure_room(folder: Path, need: int, what: str) -> None:
    """Raise `DiskFull` unless `need` bytes are free on the disk of a folder."""
    free = shutil.disk_usage(make_folder(folder)).free
    if need > free:
        raise DiskFull(folder, need=need, free=free, what=what)


def write_atomically(path: Path, text: str) -> None:
    """Write a small file so that a reader, or a crash, sees the old text or the new one.

    Raises `DiskFull`, `MachineError`.
    """
    make_folder(path.parent)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with _disk_errors(path, Expected(size=len(text))):
            with temporary.open("w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make renames in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _disk_errors(path: Path, expected: Expected) -> Iterator[None]:
    """Tell what the disk says as an error of ours."""
    try:
        yield
    except OSError as error:
        folder = path.parent
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            here = path.stat().st_size if path.exists() else 0
            need = max((expected.size or 0) - here, 1)
            free = shutil.disk_usage(folder).free
            raise DiskFull(folder, need=need, free=free, what="the rest of the file") from None
        if error.errno == errno.EFBIG:
            size = human_bytes(expected.size) if expected.size else "this size"
            raise MachineError(
                f"{folder} is on a disk that allows no file of {size}",
                hint="move the store to another disk: AGENTKIT_MODELS_DIR=/other/disk",
            ) from None
        raise MachineError(f"{path} cannot be written: {error.strerror}") from None
