"""More clients than there is room for: none gets an error of ours, and the service stays awake."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections import Counter
from pathlib import Path
from typing import TextIO
from urllib.parse import urlsplit

import httpx

from bench.serve.asking import ask, client, question
from bench.serve.probe import bare, probing
from bench.servers import Side

LOOK = 0.1
"""Seconds between two looks at the memory."""

AWAKE = 0.05
"""Seconds within which 99 of 100 looks at `/health` are answered."""

FLAT = 1.1
"""How much more memory than in the second quarter of the time is none that grows."""


async def flood(side: Side, clients: int, seconds: float, out: TextIO) -> list[str]:
    """Let so many clients ask again and again for so long, and say what came of it.

    Returns:
        What was promised and not kept, a line each.
    """
    statuses: Counter[str] = Counter()
    sizes: list[int] = []
    tokens = 0
    async with client(side) as http:
        await ask(http, question(side, 999, 4))
        until = time.monotonic() + seconds
        number = 0

        async def one() -> None:
            nonlocal number, tokens
            while True:
                number += 1
                try:
                    written = await ask(http, question(side, number, 24))
                    tokens += written  # not in one line: others count while this one waits
                    statuses["200"] += 1
                except httpx.HTTPStatusError as error:
                    status = error.response.status_code
                    after = error.response.headers.get("retry-after")
                    statuses[f"{status}{'' if after else ' without Retry-After'}"] += 1
                    await asyncio.sleep(float(after or 1))
                except (httpx.TransportError, RuntimeError) as error:
                    statuses[type(error).__name__] += 1

        async def watch() -> None:
            while time.monotonic() < until:
                sizes.append(memory(side.pid))
                await asyncio.sleep(LOOK)

        began = time.monotonic()
        readers = [asyncio.create_task(one()) for _ in range(clients)]
        with bare() as other, probing([urlsplit(side.url).netloc, other]) as waits:
            await watch()
        took = time.monotonic() - began
        for reader in readers:
            reader.cancel()  # all of them hang up at once
        await asyncio.gather(*readers, return_exceptions=True)
        left = time.monotonic()
        await ask(http, question(side, 998, 4))
        free = time.monotonic() - left
    quarters = [max(part) for part in parts(sizes, 4)]
    print(f"{clients} clients for {took:.0f} s: {dict(statuses)}, {tokens / took:.1f} tokens/s\n"
          f"/health: {ranks(waits.seconds[0])}\n"
          f"a server that does nothing else, asked in turn: {ranks(waits.seconds[1])}\n"
          f"memory: {sizes[0] / 1e6:.0f} MB at first, at most "
          f"{', '.join(f'{size / 1e6:.0f}' for size in quarters)} MB in the quarters of the time\n"
          f"when all have hung up, the next one is answered in {free:.1f} s", file=out)  # fmt: skip
    return [
        *(f"status {status}" for status in statuses if status not in ("200", "429")),
        *([f"/health took {AWAKE} s"] if p99(waits.seconds[0]) >= AWAKE else []),
        *(["memory grew"] if quarters[3] > FLAT * quarters[1] else []),
    ]


def parts(values: list[int], count: int) -> list[list[int]]:
    """As many parts of the same length, in order; what is left over is in none."""
    size = len(values) // count
    return [values[n * size : (n + 1) * size] for n in range(count)]


def p99(waits: list[float]) -> float:
    """Seconds that one of a hundred exceeds."""
    return statistics.quantiles(waits, n=100)[98]


def ranks(waits: list[float]) -> str:
    """Median, 99th of a hundred, and the worst."""
    return (f"median {statistics.median(waits) * 1000:.1f} ms, p99 {p99(waits) * 1000:.1f} ms, "
            f"worst {max(waits) * 1000:.1f} ms")  # fmt: skip


def memory(pid: int) -> int:
    """Bytes of a process in main memory that are its own, without mapped files."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) * 1024
    return 0
