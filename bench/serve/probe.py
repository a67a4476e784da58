"""Who asks how a server is, in a process of its own: what waits here waits for nobody else's work.

    python -m bench.serve.probe HOST:PORT...    until its standard input is closed

Asks each address in turn for `/health`, on a connection of its own, and prints at the end how long
each took to answer.  `bare` is the least that can be asked: a server of asyncio that says "ok" and
does nothing else, in a process of its own, too.  How long that one takes is what the machine takes.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection

LOOK = 0.1
"""Seconds between two looks at the same server."""

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"


@dataclass
class Waits:
    """Seconds that each look took, for each address."""

    seconds: list[list[float]] = field(default_factory=list)


@contextmanager
def bare() -> Iterator[str]:
    """The address of a server that does nothing but answer."""
    command = [sys.executable, "-m", __name__, "bare"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.stdin.close()


@contextmanager
def probing(addresses: Sequence[str]) -> Iterator[Waits]:
    """Look while the block lasts; what was found is there afterwards."""
    found = Waits()
    command = [sys.executable, "-m", __name__, *addresses]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield found
        found.seconds = json.loads(process.communicate("")[0])


def look(addresses: Sequence[str], ended: threading.Event) -> list[list[float]]:
    """Ask in turn until it is over.  Raises for an answer that is not 200."""
    waits: list[list[float]] = [[] for _ in addresses]
    while not ended.is_set():
        for number, address in enumerate(addresses):
            began = time.perf_counter()
            wire = HTTPConnection(address, timeout=60)
            wire.request("GET", "/health")
            answer = wire.getresponse()
            answer.read()
            wire.close()
            if answer.status != 200:
                raise RuntimeError(f"{address} answered {answer.status}")
            waits[number].append(time.perf_counter() - began)
            ended.wait(LOOK / len(addresses))
    return waits


async def answer_ok() -> None:
    """Serve, and say where on standard output."""

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        writer.close()

    server = await asyncio.start_server(one, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    print(f"{host}:{port}", flush=True)
    await asyncio.to_thread(sys.stdin.read)


def main() -> None:
    """See the top of the file."""
    if sys.argv[1] == "bare":
        asyncio.run(answer_ok())
        return
    ended = threading.Event()

    def until_closed() -> None:
        sys.stdin.read()
        ended.set()

    threading.Thread(target=until_closed, daemon=True).start()
    print(json.dumps(look(sys.argv[1:], ended)))


if __name__ == "__main__":
    main()
