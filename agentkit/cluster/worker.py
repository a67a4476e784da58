"""The near end of a machine that does work for us: files sent, work begun, news asked for.

A machine that gives no sign of life for a while is lost, whatever the network thinks of it.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from agentkit.cancel import CancelToken
from agentkit.cluster.host import News
from agentkit.errors import MachineError, WorkerLost

PIECE = 4_000_000
"""Bytes of a file that travel at once."""

WAIT = 1.0
"""Seconds that a question for news waits for some."""

SIGN_OF_LIFE = 60.0
"""Seconds in which a machine answers, or is lost."""

GRACE = 10.0
"""Seconds that work which was cancelled has to come to an end."""


class Link(Protocol):
    """Calls a method of a `Host` on another machine.  May be used from any thread."""

    def __call__(self, method: str, *arguments: Any, look: Callable[[], None]) -> Any:
        """Its value; `look` is called now and then while there is none.

        Raises `WorkerLost`, and what the method or `look` raises.
        """


def _nothing() -> None:
    """To look at while a machine does not answer."""


@dataclass(frozen=True, slots=True)
class RemoteWorker:
    """`ports.Worker` at the other end of a link."""

    machine: str
    link: Link

    def send(self, files: Mapping[str, Path], cancel: CancelToken) -> None:
        """See `ports.Worker.send`."""
        for digest in self._call("lacking", list(files), look=cancel.check):
            sender, offset = secrets.token_hex(16), 0
            with files[digest].open("rb") as file:
                while True:
                    piece = file.read(PIECE)
                    last = len(piece) < PIECE
                    arguments = (sender, digest, offset, piece, last)
                    self._call("keep", *arguments, look=cancel.check)
                    offset += len(piece)
                    if last:
                        break

    @contextmanager
    def work(self, order: Any, cancel: CancelToken) -> Iterator[RemoteWork]:
        """See `ports.Worker.work`."""
        work_id = self._call("begin", order)  # a cancel is heard with the first news
        try:
            yield RemoteWork(self, work_id, cancel)
        finally:
            with suppress(MachineError):  # then it is over there, too
                self._call("end", work_id)

    def _call(self, method: str, *arguments: Any, look: Callable[[], None] = _nothing) -> Any:
        until = time.monotonic() + SIGN_OF_LIFE

        def patient() -> None:
            look()
            if time.monotonic() > until:
                raise WorkerLost(self.machine, "it gives no sign of life")

        return self.link(method, *arguments, look=patient)


class RemoteWork:
    """`ports.Work` at the other end of a link."""

    def __init__(self, worker: RemoteWorker, work_id: str, cancel: CancelToken) -> None:
        self._worker = worker
        self._id = work_id
        self._cancel = cancel
        self._stopped: float | None = None
        self._end = News()

    def told(self) -> Iterator[Any]:
        """See `ports.Work.told`."""
        while not self._end.over:
            self._end = self._worker._call("news", self._id, WAIT, look=self._look)
            yield from self._end.told

    @property
    def value(self) -> Any:
        """See `ports.Work.value`."""
        for _ in self.told():
            pass
        if self._end.error is not None:
            self._cancel.check()  # it knows better why
            raise self._end.error
        return self._end.value

    def fetch(self, name: str, sha256: str, size: int, into: BinaryIO) -> None:
        """See `ports.Work.fetch`."""
        digest, offset = hashlib.sha256(), 0
        while offset < size:
            wanted = min(PIECE, size - offset)
            arguments = (self._id, name, offset, wanted)
            piece = self._worker._call("read", *arguments, look=self._cancel.check)
            if not piece or len(piece) > wanted:
                break
            digest.update(piece)
            into.write(piece)
            offset += len(piece)
        if offset != size or digest.hexdigest() != sha256:
            called = repr(Path(name).name)
            raise MachineError(f"{called} was damaged on its way from {self._worker.machine}")

    def _look(self) -> None:
        """Pass a cancel on, once, and wait for the work to end; not for ever."""
        if not self._cancel.cancelled:
            return
        if self._stopped is None:
            self._stopped = time.monotonic()
            self._worker._call("stop", self._id, self._cancel.reason)
        elif time.monotonic() > self._stopped + GRACE:
            self._cancel.check()
