"""Calls in threads of their own: they take long, and the loop that speaks the protocol must not.

A client that cancels is answered at once; the call ends as soon as it looks at its token.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from agentkit.cancel import CancelToken

MOST = 16
"""Calls at the same time; others wait."""
GRACE = 10.0
"""Seconds that calls have to end when the server does."""

T = TypeVar("T")


class Threads:
    """Lives on one loop."""

    def __init__(self, most: int = MOST) -> None:
        self._room = asyncio.Semaphore(most)
        self._working: dict[threading.Thread, CancelToken] = {}

    async def run(self, work: Callable[[CancelToken], T]) -> T:
        """What some work gives.  When this is cancelled, the work is asked to stop."""
        await self._room.acquire()
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()
        cancel = CancelToken()

        def settle(set_outcome: Callable[[Any], None], outcome: Any) -> None:
            self._room.release()
            if not done.done():
                set_outcome(outcome)

        def body() -> None:
            ended: tuple[Callable[[Any], None], Any]
            try:
                ended = (done.set_result, work(cancel))
            except BaseException as error:  # whatever it is, somebody waits for it
                ended = (done.set_exception, error)
            with suppress(RuntimeError):  # unless the loop has ended
                loop.call_soon_threadsafe(settle, *ended)

        # A daemon: what does not look at its token must not keep a dead server alive.
        thread = threading.Thread(target=body, name="agentkit-mcp-call", daemon=True)
        self._working = {t: c for t, c in self._working.items() if t.is_alive()}
        self._working[thread] = cancel
        thread.start()
        try:
            return await done
        finally:
            cancel.cancel("cancelled by the client")

    def end(self) -> None:
        """Ask all work to stop, and wait for it a while."""
        for cancel in self._working.values():
            cancel.cancel("the server ends")
        deadline = time.monotonic() + GRACE
        for thread in self._working:
            thread.join(max(0.0, deadline - time.monotonic()))
