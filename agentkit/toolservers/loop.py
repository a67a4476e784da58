"""The event loop that the SDK needs, in a thread of its own: one for all servers of a process.

It runs while a server is open.  Callers come from any thread and wait there, with an eye on their
token.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import wait
from typing import Any, TypeVar

from agentkit.cancel import CancelToken

TICK = 0.05
"""How often a waiting caller looks whether it was cancelled."""

T = TypeVar("T")


class Loop:
    """Started by the first who enters, ended by the last who leaves."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None

    def enter(self) -> None:
        """Have it running from now on."""
        with self._lock:
            self._users += 1
            if self._thread is None:
                started = threading.Event()
                self._thread = threading.Thread(
                    target=self._serve, args=(started,), name="agentkit-mcp", daemon=True
                )
                self._thread.start()
                started.wait()

    def leave(self) -> None:
        """Need it no more.  Returns when the thread has ended, if nobody else needs it."""
        with self._lock:
            self._users -= 1
            if self._users or self._thread is None:
                return
            assert self._loop is not None
            assert self._stop is not None
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()
            self._thread = self._loop = self._stop = None

    def run(self, work: Coroutine[Any, Any, T], cancel: CancelToken | None = None) -> T:
        """Do some work there and wait for what comes of it.

        Raises what it raises, and `Cancelled`: then the work is cancelled, too.
        """
        self.enter()  # it must not end while somebody waits
        try:
            assert self._loop is not None
            future = asyncio.run_coroutine_threadsafe(work, self._loop)
            try:
                while not wait([future], TICK).done:
                    if cancel:
                        cancel.check()
                return future.result()
            finally:
                future.cancel()
        finally:
            self.leave()

    def _serve(self, started: threading.Event) -> None:
        with asyncio.Runner() as runner:
            self._loop = runner.get_loop()
            self._stop = asyncio.Event()
            started.set()
            runner.run(self._until(self._stop))

    async def _until(self, stop: asyncio.Event) -> None:
        await stop.wait()


LOOP = Loop()
"""The one that all servers share."""
