"""Served over stdin and stdout, to the program that started us.

The protocol has both for itself: while we serve, what anything else in this process prints goes to
stderr, and children find stdin empty.  It ends when the client closes our stdin, or with a signal.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from typing import TYPE_CHECKING, cast

import anyio
import anyio.lowlevel

from agentkit.mcp.server import Service
from agentkit.runtime import Runtime

if TYPE_CHECKING:
    from anyio import AsyncFile

CHUNK = 65_536
STOP = (signal.SIGINT, signal.SIGTERM)


def serve_pipes(runtime: Runtime, patterns: Sequence[str] = ()) -> None:
    """Serve until the client goes, or until SIGINT or SIGTERM."""
    with _stdin() as incoming, suppress(asyncio.CancelledError):
        asyncio.run(_serve(runtime, patterns, incoming))


async def _serve(runtime: Runtime, patterns: Sequence[str], incoming: int) -> None:
    from mcp.server.stdio import stdio_server

    service = Service(runtime, patterns)
    server = service.sdk_server()
    lines = cast("AsyncFile[str]", _lines(incoming))
    try:
        with _signals():
            async with stdio_server(stdin=lines) as (read, write):
                with redirect_stdout(sys.stderr):
                    await server.run(read, write, server.create_initialization_options())
    except* BrokenPipeError:
        pass  # the client is gone
    finally:
        service.end()


@contextmanager
def _stdin() -> Iterator[int]:
    """Stdin for us alone: a copy for us, nothing for everybody else."""
    ours = fcntl.fcntl(0, fcntl.F_DUPFD_CLOEXEC, 3)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    try:
        yield ours
    finally:
        os.dup2(ours, 0)
        os.close(ours)


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
    """Lines of a pipe.  Waiting for one can be left: a thread that reads could not be."""
    rest = b""
    while True:
        try:
            await anyio.wait_readable(pipe)
        except PermissionError:  # a file: it always is
            await anyio.lowlevel.checkpoint()
        chunk = os.read(pipe, CHUNK)
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line.decode("utf-8", "replace")
        if not chunk:
            return
