"""One conversation with a server, from the handshake to its end.  Lives on the loop.

A connection is opened once and never again: whoever finds it over opens another.  It is held open
by one task, because what the SDK opens has to be closed by the task that opened it; what is asked
is asked in tasks of their own, so that none waits for another.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from contextlib import AbstractAsyncContextManager
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import anyio
import httpx2
from pydantic import TypeAdapter

from agentkit import __version__
from agentkit.toolservers.guard import Guard
from agentkit.toolservers.offered import MAX_TOOLS, Listed
from agentkit.toolservers.plain import plain
from agentkit.toolservers.trouble import (
    FORGOTTEN,
    MAX_WORDS,
    STAND_INS,
    Forgotten,
    Refused,
    Trouble,
    explained,
    leaf,
)

if TYPE_CHECKING:
    from mcp import ClientSession
    from mcp.client._transport import TransportStreams
    from mcp.types import CallToolResult, InputRequiredResult, Tool

MAX_PAGES = 100
"""Of the list of tools."""
PATIENCE = 3.0
"""Seconds to learn why a connection is over."""

T = TypeVar("T")


class Way(Protocol):
    """How a server is reached, once."""

    def open(self) -> AbstractAsyncContextManager[TransportStreams]:
        """Messages in and out, until the block ends.  Raises `Trouble`."""

    def refusal(self) -> str:
        """Why the last question got no answer, as a sentence with "it"; empty where it did."""

    def account(self) -> tuple[str, ...]:
        """What is known of why nothing more is heard, as such sentences."""


class Connection:
    """Use it after `open`, until it is `over`.  `timeout` in seconds, for each thing it does."""

    def __init__(self, way: Way, timeout: float) -> None:
        self._way = way
        self._timeout = timeout
        self._session: ClientSession | None = None
        self._guard: Guard | None = None
        self._fault = ""
        self._retired = False
        self._asked: set[asyncio.Task[Any]] = set()
        self._opened, self._over = asyncio.Event(), asyncio.Event()
        self._opening = anyio.CancelScope()
        self._life = asyncio.create_task(self._live())

    @property
    def over(self) -> bool:
        """Whether nothing more can be asked."""
        return self._retired or self._over.is_set()

    @property
    def gone(self) -> bool:
        """Whether nothing is left of it."""
        return self._life.done()

    async def open(self) -> None:
        """Wait until it is open.  Raises `Trouble` if it cannot be."""
        await self._opened.wait()
        if self._session is None:
            await asyncio.shield(self._life)
            raise Trouble(self._why())

    async def tools(self) -> Listed:
        """What is listed.  Raises `Trouble`."""
        assert self._guard is not None
        self._guard.refused.clear()
        tools, more = await self._ask(_list(self._open_session))
        return Listed(tools, dict(self._guard.refused), more)

    async def call(self, tool: str, arguments: Mapping[str, Any]) -> CallToolResult:
        """What a call gave.  Raises `Trouble`; when it is cancelled, the server is told."""
        return await self._ask(_call(self._open_session, tool, arguments))

    async def close(self) -> None:
        """End it, and wait until nothing is left of it."""
        self._fault = self._fault or "it was closed"
        self._over.set()
        if not self._opened.is_set():
            self._opening.cancel()
        await asyncio.shield(self._life)

    # -- its life --------------------------------------------------------------------------------

    async def _live(self) -> None:
        """Open, shake hands, and stay until the end."""
        try:
            with self._opening:
                async with self._way.open() as (incoming, outgoing):
                    self._guard = Guard(incoming, self._over)
                    async with _session(self._guard, outgoing) as session:
                        await self._shake_hands(session)
                        self._session = session
                        self._opened.set()
                        await self._over.wait()
        except Exception as error:  # somebody else's program, over somebody else's network
            self._fault = self._fault or self._explained(leaf(error))
        finally:
            self._over.set()
            self._opened.set()

    async def _shake_hands(self, session: ClientSession) -> None:
        """The handshake that nearly all servers know; the newer one where it is refused."""
        from mcp import MCPError

        try:
            with anyio.fail_after(self._timeout):
                try:
                    await session.initialize()
                except MCPError as first:
                    try:
                        await session.discover()
                    except (MCPError, RuntimeError):
                        raise first from None
        except TimeoutError:
            raise Trouble(f"it did not answer within {self._timeout:g} s") from None

    @property
    def _open_session(self) -> ClientSession:
        assert self._session is not None, "not open"
        return self._session

    def _why(self) -> str:
        """Why it is over, as well as it is known."""
        guard = self._guard
        nonsense = guard.nonsense if guard else ""
        parts = [self._fault, guard.fault if guard else "", *self._way.account()]
        if nonsense:
            parts.append(f"it writes what is no message: {nonsense!r}")
        return "; ".join(dict.fromkeys(part for part in parts if part)) or "it ended"

    # -- questions -------------------------------------------------------------------------------

    async def _ask(self, question: Coroutine[Any, Any, T]) -> T:
        """The answer within the time.  One that takes longer ends the connection, not the others:
        it is retired, and goes when what else was asked is done.
        """
        assert self._guard is not None
        self._guard.asked()
        task = asyncio.create_task(question)
        self._asked.add(task)
        task.add_done_callback(self._answered)
        try:
            await asyncio.wait({task}, timeout=self._timeout)
            if not task.done():
                self._retired = True
                raise Trouble(f"it took longer than {self._timeout:g} s")
            return task.result()
        except Trouble:
            raise
        except Exception as error:
            raise await self._trouble(error) from None
        finally:
            task.cancel()

    def _answered(self, task: asyncio.Task[Any]) -> None:
        self._asked.discard(task)
        if not task.cancelled():
            task.exception()  # was told to whoever still waited
        if self._retired and not self._asked:
            self._over.set()

    async def _trouble(self, error: Exception) -> Trouble:
        """What an error of the SDK means."""
        from mcp import MCPError
        from mcp.types import CONNECTION_CLOSED, INVALID_PARAMS

        if self._over.is_set() or getattr(error, "code", None) == CONNECTION_CLOSED:
            self._fault = self._fault or self._explained(error)
            self._over.set()
            await asyncio.wait({self._life}, timeout=PATIENCE)
            return Trouble(self._why())
        if not isinstance(error, MCPError):
            return Trouble(self._explained(error))
        if error.message == FORGOTTEN:
            self._retired = True
            return Forgotten(self._explained(error))
        if error.message in STAND_INS:
            return Trouble(self._explained(error))
        words = plain(error.message, MAX_WORDS) or f"error {error.code}"
        return Refused(words, invalid=error.code == INVALID_PARAMS)

    def _explained(self, error: BaseException) -> str:
        """An error as a sentence; where the SDK hides the status of an answer, that status."""
        stands_in = getattr(error, "message", "") in STAND_INS
        hidden = stands_in or isinstance(error, httpx2.StreamError)
        return (self._way.refusal() if hidden else "") or explained(error)


async def _list(session: ClientSession) -> tuple[list[Tool], bool]:
    from mcp import MCPError
    from mcp.types import METHOD_NOT_FOUND, PaginatedRequestParams

    tools: list[Tool] = []
    cursor = None
    for _ in range(MAX_PAGES):
        try:
            page = await session.list_tools(params=PaginatedRequestParams(cursor=cursor))
        except MCPError as error:
            if error.code == METHOD_NOT_FOUND and not tools:
                return [], False  # a server of prompts, maybe
            raise
        tools += page.tools
        cursor = page.next_cursor
        if cursor is None:
            return tools, False
        if len(tools) > MAX_TOOLS:
            break
    return tools, True


async def _call(session: ClientSession, tool: str, arguments: Mapping[str, Any]) -> CallToolResult:
    """Not `session.call_tool`: it would check the result on the loop, with a schema that nobody has
    looked at.
    """
    from mcp.types import CallToolRequest, CallToolRequestParams, CallToolResult

    params = CallToolRequestParams(name=tool, arguments=dict(arguments))
    result = await session.send_request(CallToolRequest(params=params), _results())
    if not isinstance(result, CallToolResult):
        raise Refused("it wants to ask a person or a model in between, which it may not")
    return result


@cache
def _results() -> TypeAdapter[CallToolResult | InputRequiredResult]:
    from mcp.types import CallToolResult, InputRequiredResult

    return TypeAdapter(CallToolResult | InputRequiredResult)


def _session(incoming: Guard, outgoing: Any) -> ClientSession:
    """Offers nothing to the server: what it asks of us (a model, files, a person) is refused."""
    from mcp import ClientSession
    from mcp.types import Implementation

    about = Implementation(name="agentkit", version=__version__)
    return ClientSession(incoming, outgoing, client_info=about)
