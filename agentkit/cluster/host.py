"""The far end: one process on a machine that does what is handed to it, several things at a time.

Whoever hands in work asks for news of it again and again.  When nobody asks any more (the other
machine went away) the work is cancelled; when nobody has asked for anything for long, the process
ends and gives its memory back.
"""

from __future__ import annotations

import os
import platform
import secrets
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import agentkit
from agentkit.cancel import CancelToken
from agentkit.cluster.blobs import Blobs
from agentkit.errors import AgentkitError, MachineError

PATIENCE = 60.0
"""Seconds without a question, after which nobody waits for a piece of work any more."""

LOOK = 5.0
"""Seconds between two looks at who has gone."""


@dataclass(frozen=True, slots=True)
class About:
    """What a machine says of itself."""

    machine: str
    version: str
    python: str
    pid: int


@dataclass(frozen=True, slots=True)
class News:
    """What a piece of work told since it was asked last; its value or its error when it is over."""

    told: tuple[Any, ...] = ()
    over: bool = False
    value: Any = None
    error: AgentkitError | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """A piece of work, as who does it sees it; `folder` is its own and goes with it."""

    id: str
    order: Any
    folder: Path
    blobs: Blobs
    tell: Callable[[Any], None]
    cancel: CancelToken


class Workplace(Protocol):
    """What can be done on this machine.  May be used from any thread."""

    @property
    def folder(self) -> Path:
        """Where files of work lie."""

    @property
    def patience(self) -> float:
        """Seconds without work after which the process may end; below 0: it stays."""

    def perform(self, job: Job) -> Any:
        """Do it, and give back plain values.  Raises what went wrong."""


@dataclass
class _Work:
    """One piece of work, while somebody may ask for it."""

    folder: Path
    cancel: CancelToken = field(default_factory=CancelToken)
    told: list[Any] = field(default_factory=list)
    over: bool = False
    value: Any = None
    error: AgentkitError | None = None
    asked: float = field(default_factory=time.monotonic)
    ended: bool = False
    changed: threading.Condition = field(default_factory=threading.Condition)


class Host:
    """`open_workplace` is called when the first work comes, so that its faults can be told."""

    def __init__(self, open_workplace: Callable[[], Workplace], *, alone: bool = False) -> None:
        if alone:
            _take_the_machine()
        self._open = open_workplace
        self._opened: Workplace | None = None
        self._opening = threading.Lock()
        self._works: dict[str, _Work] = {}
        self._asked = time.monotonic()
        self._alone = alone
        threading.Thread(target=self._watch, name="who has gone", daemon=True).start()

    # -- what is called from afar ----------------------------------------------------------------

    def about(self) -> About:
        """What this machine is.  Raises what opening its workplace raises."""
        _ = self._workplace
        version = agentkit.__version__
        return About(socket.gethostname(), version, platform.python_version(), os.getpid())

    def lacking(self, digests: Iterable[str]) -> list[str]:
        """See `Blobs.lacking`."""
        return self._blobs.lacking(digests)

    def keep(self, sender: str, digest: str, offset: int, piece: bytes, last: bool) -> None:
        """See `Blobs.keep`."""
        self._blobs.keep(sender, digest, offset, piece, last)

    def begin(self, order: Any) -> str:
        """Begin a piece of work; the id under which it is asked for."""
        work_id = secrets.token_hex(8)
        folder = _works(self._workplace.folder) / work_id
        work = self._works[work_id] = _Work(folder)
        told = threading.Thread(
            target=self._perform, args=(work_id, work, order), name=f"work {work_id}", daemon=True
        )
        told.start()
        return work_id

    def news(self, work_id: str, wait: float) -> News:
        """What it told; waits for something to tell, so many seconds at most."""
        work = self._found(work_id)
        work.asked = self._asked = time.monotonic()
        with work.changed:
            work.changed.wait_for(lambda: work.told or work.over, wait)
            told, work.told = tuple(work.told), []
            over = work.over
        return News(told, over, work.value, work.error) if over else News(told)

    def read(self, work_id: str, name: str, offset: int, size: int) -> bytes:
        """A piece of a file in the folder of a piece of work that is over."""
        work = self._found(work_id)
        work.asked = self._asked = time.monotonic()
        place = work.folder / name
        if not place.resolve().is_relative_to(work.folder.resolve()):
            raise MachineError(f"{name!r} is not in the folder of the work")
        with place.open("rb") as file:
            file.seek(offset)
            return file.read(size)

    def stop(self, work_id: str, reason: str) -> None:
        """Ask it to stop."""
        if work_id in self._works:
            self._works[work_id].cancel.cancel(reason)

    def end(self, work_id: str) -> None:
        """Nobody asks for it any more: it is stopped, and what it left goes."""
        work = self._works.get(work_id)
        if work is None:
            return
        work.cancel.cancel("nobody waits for it")
        with work.changed:
            work.ended = True
            over = work.over
        if over:
            self._forget(work_id, work)

    # -- what happens here -----------------------------------------------------------------------

    @property
    def _workplace(self) -> Workplace:
        with self._opening:
            if self._opened is None:
                self._opened = self._open()
                for left in _works(self._opened.folder).parent.glob("*"):
                    if not Path("/proc", left.name).exists():
                        shutil.rmtree(left, ignore_errors=True)
            return self._opened

    @property
    def _blobs(self) -> Blobs:
        self._asked = time.monotonic()
        return Blobs(self._workplace.folder / "blobs")

    def _found(self, work_id: str) -> _Work:
        try:
            return self._works[work_id]
        except KeyError:
            raise MachineError("this work is not known here any more") from None

    def _perform(self, work_id: str, work: _Work, order: Any) -> None:
        value: Any = None
        error: AgentkitError | None = None

        def tell(said: Any) -> None:
            with work.changed:
                work.told.append(said)
                work.changed.notify_all()

        try:
            work.folder.mkdir(parents=True)
            job = Job(work_id, order, work.folder, self._blobs, tell, work.cancel)
            value = self._workplace.perform(job)
        except AgentkitError as fault:
            error = fault
        except BaseException as bug:
            error = MachineError(f"the worker broke: {type(bug).__name__}: {bug}")
        with work.changed:
            work.value, work.error, work.over = value, error, True
            ended = work.ended
            work.changed.notify_all()
        if ended:
            self._forget(work_id, work)

    def _forget(self, work_id: str, work: _Work) -> None:
        self._works.pop(work_id, None)
        shutil.rmtree(work.folder, ignore_errors=True)

    def _watch(self) -> None:
        while True:
            time.sleep(LOOK)
            now = time.monotonic()
            for work_id, work in [*self._works.items()]:
                if now - work.asked > PATIENCE:
                    self.end(work_id)
            patience = -1 if self._opened is None else self._opened.patience
            if self._works or patience < 0 or now - self._asked < patience:
                continue
            self._asked = now
            self._blobs.prune()
            if self._alone:
                _leave()
                return


def _works(folder: Path) -> Path:
    """Where the work of this process lies; what dead ones left is found by their numbers."""
    return folder / "work" / str(os.getpid())


def _leave() -> None:
    """End the process, models and all: nobody is in the middle of something."""
    os._exit(0)


def _take_the_machine() -> None:
    """Ray hides cores and GPUs from a process that reserved none; this one owns the models."""
    os.environ.pop("OMP_NUM_THREADS", None)
    if os.environ.get("CUDA_VISIBLE_DEVICES") == "":
        del os.environ["CUDA_VISIBLE_DEVICES"]
