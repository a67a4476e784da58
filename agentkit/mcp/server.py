"""Offers and calls in the words of the SDK."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from agentkit import __version__
from agentkit.cancel import CancelToken
from agentkit.mcp.calls import Calls, Told
from agentkit.mcp.offers import NotOffered, Offer, Offers
from agentkit.mcp.progress import Tell
from agentkit.mcp.threads import Threads
from agentkit.runtime import Runtime

if TYPE_CHECKING:
    from mcp.server.context import ServerRequestContext
    from mcp.server.lowlevel import Server
    from mcp.types import CallToolRequestParams, CallToolResult, ListToolsResult, ToolAnnotations

    Context = ServerRequestContext[Any, Any]

ABOUT = (
    "Tools and workflows of agentkit on this machine. Names that begin with workflow_ are "
    "workflows: they may take minutes. What settings do not allow waits for a person: the error "
    "says the command that allows it; then make the same call again."
)


class Service:
    """What a server does when it is asked; lives on one loop."""

    def __init__(self, runtime: Runtime, patterns: Sequence[str]) -> None:
        self._offers = Offers(runtime, patterns)
        self._calls = Calls(runtime)
        self._making, self._looking = Threads(), Threads()

    def sdk_server(self) -> Server[Any]:
        """The SDK's server, which asks this one."""
        from mcp.server.lowlevel import Server

        return Server(
            "agentkit",
            version=__version__,
            instructions=ABOUT,
            on_list_tools=self._list,
            on_call_tool=self._call,
        )

    def end(self) -> None:
        """Ask all calls to stop, and wait for them a while."""
        self._looking.end()
        self._making.end()

    async def _list(self, context: Context, params: object) -> ListToolsResult:
        from mcp.types import ListToolsResult, Tool

        offers = await self._looking.run(lambda cancel: self._offers.all())
        tools = [
            Tool(
                name=offer.name,
                description=offer.description,
                input_schema=dict(offer.schema),
                annotations=hints(offer),
            )
            for offer in offers
        ]
        return ListToolsResult(tools=tools, ttl_ms=0)

    async def _call(self, context: Context, params: CallToolRequestParams) -> CallToolResult:
        from mcp import MCPError
        from mcp.types import INVALID_PARAMS, CallToolResult, TextContent

        async with _progress(context) as tell:

            def make(cancel: CancelToken) -> Told:
                offer = self._offers.find(params.name)
                return self._calls.make(offer, params.arguments or {}, cancel, tell)

            try:
                told = await self._making.run(make)
            except NotOffered as error:
                raise MCPError(INVALID_PARAMS, str(error)) from None
        return CallToolResult(
            content=[TextContent(text=text) for text in told.texts],
            structured_content=told.data,
            is_error=told.failed,
        )


def hints(offer: Offer) -> ToolAnnotations:
    """What the effects of a tool are in the words of the protocol; for a workflow, the worst."""
    from mcp.types import ToolAnnotations

    if offer.effects is None:
        return ToolAnnotations(read_only_hint=False)
    effects = set(offer.effects)
    return ToolAnnotations(
        read_only_hint=effects <= {"reads"},
        destructive_hint=bool(effects - {"reads"}),
        open_world_hint="network" in effects,
    )


@asynccontextmanager
async def _progress(context: Context) -> AsyncIterator[Tell]:
    """A way to tell from any thread how far a call is; only the newest is sent."""
    loop, changed = asyncio.get_running_loop(), asyncio.Event()
    newest: list[tuple[float, float | None, str]] = []

    def tell(done: float, total: float | None, what: str) -> None:
        newest[:] = [(done, total, what)]
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(changed.set)

    async def send() -> None:
        while newest:
            await context.session.report_progress(*newest.pop())

    async def keep_sending() -> None:
        while await changed.wait():
            changed.clear()
            await send()

    sender = asyncio.create_task(keep_sending())
    try:
        yield tell
        sender.cancel()
        await send()
    finally:
        sender.cancel()
