"""How much is taken: requests at a time, requests in a second, seconds for the body of one.

The bytes of a body are FastAPI's to count (`max_body_size`), those of its head h11's.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import MutableMapping
from typing import Any

from starlette.exceptions import HTTPException

from agentkit.web.gate import App, Caller, Receive, Scope, Send
from agentkit.web.problems import SOON, refuse

BURST = 2.0
"""Seconds' worth of requests that may come at once."""
SLOW = 30.0
"""Seconds between two pieces of a body."""
KNOWN = 10_000
"""Callers whose pace is remembered."""

ALWAYS = ("/health", "/ready")
"""What is answered however much there is to do."""


class Bucket:
    """A token bucket: `rate` a second on average, and what was saved up at once."""

    def __init__(self, rate: float, now: float) -> None:
        self._rate = rate
        self._most = max(1.0, rate * BURST)
        self._left = self._most
        self._seen = now

    def take(self, now: float) -> float:
        """0 if there was one; otherwise the seconds until there will be."""
        self._left = min(self._most, self._left + (now - self._seen) * self._rate)
        self._seen = now
        if self._left < 1:
            return (1 - self._left) / self._rate
        self._left -= 1
        return 0.0


class Limits:
    """An ASGI application in front of another, behind the gate.

    One token has at most half of the places, the owner all of them: nobody locks him out.
    """

    def __init__(self, app: App, *, requests: int, rate: float) -> None:
        self._app = app
        self._most = requests
        self._rate = rate
        self._now = 0
        self._each: dict[str, int] = {}
        self._buckets: dict[str, Bucket] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what is not too much."""
        if scope["type"] != "http" or scope["path"] in ALWAYS:
            return await self._app(scope, receive, send)
        wait = self._bucket(scope["caller"].name).take(time.monotonic())
        if wait:
            return await too_much(scope, send, "this token asks too often", 1 + int(wait))
        caller: Caller = scope["caller"]
        share = self._most if caller.owner else max(1, self._most // 2)
        if self._now >= self._most or self._each.get(caller.name, 0) >= share:
            return await too_much(scope, send, "enough requests are being answered already", SOON)
        self._now += 1
        self._each[caller.name] = self._each.get(caller.name, 0) + 1
        try:
            await self._app(scope, _patient(receive), send)
        finally:
            self._now -= 1
            self._each[caller.name] -= 1
            if not self._each[caller.name]:
                del self._each[caller.name]
        return None

    def _bucket(self, name: str) -> Bucket:
        if len(self._buckets) > KNOWN:
            self._buckets.clear()
        return self._buckets.setdefault(name, Bucket(self._rate, time.monotonic()))


async def too_much(scope: Scope, send: Send, said: str, seconds: int) -> None:
    """Refuse, and say after how many seconds it is worth to ask again."""
    after = (b"retry-after", str(seconds).encode())
    await refuse(scope, send, 429, "rate_limit_exceeded", said, [after])


def _patient(receive: Receive) -> Receive:
    """Wait for the next piece of a body only so long; afterwards, for as long as it takes."""
    whole = False

    async def next_piece() -> MutableMapping[str, Any]:
        nonlocal whole
        if whole:
            return await receive()
        try:
            async with asyncio.timeout(SLOW):
                message = await receive()
        except TimeoutError:
            raise HTTPException(408, f"{SLOW:g} seconds went by without a byte") from None
        whole = not message.get("more_body", False)
        return message

    return next_piece
