"""Blocking work on a thread of its own, for the loop.

The core is synchronous: whoever reads an answer waits for its next piece.  Each request has a
thread that does so.  There is no pool of them, since a pool that is full would be a queue that
nobody sees; how many requests there are is bounded at the door (`limits`).
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Generic, TypeVar

from fastapi import Request

from agentkit.cancel import CancelToken

SILENCE = 15.0
"""Seconds after which a stream says that it is still there: a long prompt takes longer to read."""

T = TypeVar("T")


class Elsewhere(Generic[T]):
    """What an iterator gives, as it comes.

    `begin` and all steps of the iterator run on one thread.  Where pieces come faster than they
    are taken, several are given at once.
    """

    def __init__(self, begin: Callable[[CancelToken], Iterator[T]]) -> None:
        self._begin = begin
        self._cancel = CancelToken()
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._arrived: deque[T] = deque()
        self._started = self._ended = self._told = False
        self._error: BaseException | None = None
        threading.Thread(target=self._work, name="request", daemon=True).start()

    async def started(self) -> None:
        """Return when there is an iterator; raises what `begin` raised."""
        while not (self._started or self._ended):
            await self._wait()
        if not self._started and self._error is not None:
            raise self._error

    async def pieces(self) -> AsyncIterator[list[T]]:
        """What has come since the last time, until the end; raises what the iterator raised.

        Nothing, as often as nothing has come for `SILENCE`.
        """
        while True:
            ended = self._ended  # asked first: what comes before the end is there by then
            arrived = [self._arrived.popleft() for _ in range(len(self._arrived))]
            if arrived or not ended:
                if arrived or not await self._wait():
                    yield arrived
                continue
            if self._error is not None:
                raise self._error
            return

    async def everything(self) -> list[T]:
        """All of it.  Raises `Cancelled` if nobody wants it any more."""
        found = [piece async for pieces in self.pieces() for piece in pieces]
        self._cancel.check()
        return found

    def cancel(self) -> None:
        """Nobody wants it any more."""
        self._cancel.cancel("the client went away")

    async def _wait(self) -> bool:
        """Whether something came before `SILENCE` was over."""
        self._news.clear()
        self._told = False
        if not (self._arrived or self._ended):
            late = self._loop.call_later(SILENCE, self._news.set)
            await self._news.wait()
            late.cancel()
        return self._told or bool(self._arrived) or self._ended

    def _work(self) -> None:
        try:
            pieces = self._begin(self._cancel)
            self._started = True
            self._tell()
            for piece in pieces:
                self._arrived.append(piece)
                self._tell()
        except BaseException as error:
            self._error = error
        self._ended = True
        self._tell()

    def _tell(self) -> None:
        if not self._told:
            self._told = True
            with suppress(RuntimeError):  # the loop is gone, and so is who waits
                self._loop.call_soon_threadsafe(self._news.set)


@asynccontextmanager
async def working(
    request: Request, begin: Callable[[CancelToken], Iterator[T]]
) -> AsyncIterator[Elsewhere[T]]:
    """Work for as long as the client waits for it: within the block."""
    work = Elsewhere(begin)
    watching = asyncio.create_task(_gone(request, work))
    try:
        yield work
    finally:
        watching.cancel()
        work.cancel()


async def result(request: Request, function: Callable[[CancelToken], T]) -> T:
    """What a function gives."""
    async with working(request, lambda cancel: iter([function(cancel)])) as work:
        (found,) = await work.everything()
        return found


def pushed(work: Callable[[Callable[[T], None]], None]) -> Iterator[T]:
    """What work tells while it goes on, as an iterator; raises what the work raises."""
    told: queue.SimpleQueue[tuple[T] | BaseException | None] = queue.SimpleQueue()

    def carry_out() -> None:
        try:
            work(lambda piece: told.put((piece,)))
        except BaseException as error:
            told.put(error)
        else:
            told.put(None)

    threading.Thread(target=carry_out, name="request", daemon=True).start()
    while (piece := told.get()) is not None:
        if isinstance(piece, BaseException):
            raise piece
        yield piece[0]


async def _gone(request: Request, work: Elsewhere[T]) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
    work.cancel()
