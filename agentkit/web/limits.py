"""How much is taken: requests at a time, requests in a second, seconds for the body of one.

The bytes of a body are FastAPI's to count (`max_body_size`), those of its head h11's.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import MutableMapping
from typing import Any

from starlette.exceptions import HTTPException

from agentkit.web.gate import ALWAYS, App, Caller, Receive, Scope, Send
from agentkit.web.pace import Pace
from agentkit.web.problems import SOON, too_much

SLOW = 30.0
"""Seconds between two pieces of a body."""


class Limits:
    """An ASGI application in front of another, behind the gate.

    One token has at most half of the places, the owner all of them: nobody locks him out.
    """

    def __init__(self, app: App, *, requests: int, rate: float) -> None:
        self._app = app
        self._most = requests
        self._now = 0
        self._each: dict[str, int] = {}
        self._pace = Pace(rate)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what is not too much."""
        if scope["type"] != "http" or scope["path"] in ALWAYS:
            return await self._app(scope, receive, send)
        wait = self._pace.take(scope["caller"].name, time.monotonic())
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
