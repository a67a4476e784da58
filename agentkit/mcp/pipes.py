"""Served over stdin and stdout, to the program that started us.

The protocol has both for itself: while we serve, what anything else in this process or its children
prints goes to stderr, and who reads stdin finds it empty.  It ends when the client closes stdin, or
with a signal.  No thread reads or writes: one that waits for a client could not be stopped.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, cast

import anyio
import anyio.lowlevel

from agentkit.mcp.server import Service
from agentkit.runtime import Runtime

if TYPE_CHECKING:
    from anyio import AsyncFile

CHUNK = 65_536
ATOM = 4096
"""Bytes that a pipe takes without blocking when it says that it can be written to."""
STOP = (signal.SIGINT, signal.SIGTERM)


def serve_pipes(runtime: Runtime, patterns: Sequence[str] = ()) -> None:
    """Serve until the client goes, or until SIGINT or SIGTERM."""
    with _claimed() as (incoming, outgoing), suppress(asyncio.CancelledError):
        asyncio.run(_serve(runtime, patterns, incoming, outgoing))


async def _serve(runtime: Runtime, patterns: Sequence[str], incoming: int, outgoing: int) -> None:
    from mcp.server.stdio import stdio_server

    service = Service(runtime, patterns)
    server = service.sdk_server()
    stdin = cast("AsyncFile[str]", _lines(incoming))
    stdout = cast("AsyncFile[str]", _Output(outgoing))
    try:
        with _signals():
            async with stdio_server(stdin, stdout) as (read, write):
                await server.run(read, write, server.create_initialization_options())
    except* BrokenPipeError:
        pass  # the client is gone
    finally:
        service.end()


@contextmanager
def _claimed() -> Iterator[tuple[int, int]]:
    """Stdin and stdout for us alone: copies for us, nothing and stderr for everybody else."""
    ours = [fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, 3) for number in (0, 1)]
    nothing = os.open(os.devnull, os.O_RDONLY)
    sys.stdout.flush()
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    os.close(nothing)
    try:
        yield ours[0], ours[1]
    finally:
        sys.stdout.flush()  # what was printed meanwhile, to where it belongs
        for number, copy in enumerate(ours):
            os.dup2(copy, number)
            os.close(copy)


@contextmanager
def _signals() -> Iterator[None]:
    """The first signal cancels what is served; a second one ends the process at once."""
    loop, serving = asyncio.get_running_loop(), asyncio.current_task()
    assert serving is not None

    def forget() -> None:
        for number in STOP:
            loop.remove_signal_handler(number)

    def stop() -> None:
        forget()
        serving.cancel()

    for number in STOP:
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        forget()


async def _lines(pipe: int) -> AsyncIterator[str]:
    """What comes in, line by line."""
    rest = b""
    while True:
        await _ready(anyio.wait_readable, pipe)
        chunk = os.read(pipe, CHUNK)
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line.decode("utf-8", "replace")
        if not chunk:
            return


class _Output:
    """What goes out, as the SDK writes to a file."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe

    async def write(self, text: str) -> None:
        left = memoryview(text.encode())
        while left:
            await _ready(anyio.wait_writable, self._pipe)
            left = left[os.write(self._pipe, left[:ATOM]) :]

    async def flush(self) -> None:
        """Nothing is held back."""


async def _ready(wait: Callable[[int], Awaitable[None]], pipe: int) -> None:
    try:
        await wait(pipe)
    except PermissionError:  # a file, which always is
        await anyio.lowlevel.checkpoint()
