"""The way in: what a server sends reaches the SDK only if it answers or asks.

Notifications are of no use here, and lines that are no messages are of none anywhere.  Everything
is counted: a server that sends more and more is not listened to any longer.  Of a list of tools,
what the SDK would stumble over is taken out, because it would refuse the whole list.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import anyio

from agentkit.toolservers.offered import mended
from agentkit.toolservers.plain import line

if TYPE_CHECKING:
    from mcp.client._transport import ReadStream
    from mcp.shared.message import SessionMessage

    Incoming = SessionMessage | Exception

MOST = 10_000
"""Messages that a server may send for one question, or between two."""
QUESTION = 100
"""One of its own counts as so many: each takes an answer, and who floods does not read them."""


class Guard:
    """A stream of messages, as the SDK reads it, that ends early for a good reason.

    `over` is set when it has ended.  `fault` is why it was ended here, `nonsense` the first line
    that was no message, `refused` are tools that were taken out.
    """

    def __init__(self, stream: ReadStream[Incoming], over: asyncio.Event) -> None:
        self._stream = stream
        self._over = over
        self._count = 0
        self.fault = ""
        self.nonsense = ""
        self.refused: dict[str, str] = {}

    def asked(self) -> None:
        """A question goes out: the count begins anew."""
        self._count = 0

    async def receive(self) -> Incoming:
        """The next answer or question.  Raises `anyio.EndOfStream`."""
        while True:
            try:
                item = await self._stream.receive()
            except (anyio.EndOfStream, anyio.ClosedResourceError, anyio.BrokenResourceError):
                self._over.set()
                raise anyio.EndOfStream from None
            self._weigh(item)
            if isinstance(item, Exception):
                self.nonsense = self.nonsense or line(str(item), 80)
            elif hasattr(item.message, "id"):  # notifications have none
                self._mend(getattr(item.message, "result", {}))
                return item

    def _weigh(self, item: Incoming) -> None:
        message = getattr(item, "message", None)
        asks = hasattr(message, "id") and hasattr(message, "method")
        self._count += QUESTION if asks else 1
        if self._count > MOST:
            self.fault = "it sends without end what nobody asked for"
            self._over.set()
            raise anyio.EndOfStream

    def _mend(self, result: dict[str, Any]) -> None:
        if isinstance(result.get("tools"), list):
            tools, refused = mended(result["tools"])
            result["tools"] = tools
            self.refused |= refused

    # -- the rest of what the SDK asks of a stream -----------------------------------------------

    async def aclose(self) -> None:
        """Hear no more."""
        self._over.set()
        await self._stream.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Incoming:
        try:
            return await self.receive()
        except anyio.EndOfStream:
            raise StopAsyncIteration from None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        await self.aclose()
