"""Served over HTTP, on this machine and to nobody else."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

import uvicorn

from agentkit.errors import MachineError
from agentkit.mcp.gate import Gate
from agentkit.mcp.server import Service
from agentkit.runtime import Runtime

HOST = "127.0.0.1"
PATH = "/mcp"
GRACE = 2
"""Seconds that connections have to end when the server does."""


def serve_web(
    runtime: Runtime,
    patterns: Sequence[str] = (),
    *,
    port: int,
    token: str,
    ready: Callable[[int], None],
) -> None:
    """Serve until SIGINT or SIGTERM; `ready` is told the port, which is any free one for 0.

    Raises `MachineError` for a port that cannot be had.
    """
    with _listening(port) as listening:
        asyncio.run(_serve(runtime, patterns, listening, token, ready))


async def _serve(
    runtime: Runtime,
    patterns: Sequence[str],
    listening: socket.socket,
    token: str,
    ready: Callable[[int], None],
) -> None:
    port = listening.getsockname()[1]
    service = Service(runtime, patterns)
    app = service.sdk_server().streamable_http_app(streamable_http_path=PATH, host=HOST)
    config = uvicorn.Config(
        Gate(app, token, port),
        log_level="warning",
        access_log=False,
        lifespan="on",
        timeout_graceful_shutdown=GRACE,
    )
    server = uvicorn.Server(config)
    try:
        with _signals(server):
            ready(port)
            await server.serve([listening])
    finally:
        service.end()


@contextmanager
def _signals(server: uvicorn.Server) -> Iterator[None]:
    """A signal ends the server, and nothing else: uvicorn sends it once more when it has ended."""

    def stop(number: int, frame: FrameType | None) -> None:
        server.should_exit = True

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _listening(port: int) -> socket.socket:
    try:
        return socket.create_server((HOST, port))
    except OSError as error:
        raise MachineError(
            f"port {port} cannot be had: {(error.strerror or str(error)).lower()}",
            hint="take another one: agentkit mcp --http --port N (0: any that is free)",
        ) from None
