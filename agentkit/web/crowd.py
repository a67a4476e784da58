"""When many come at once: they begin one after the other, and whom nobody would wait on goes first.

What a request takes before it is in line for a model (to be read, checked, rendered) is a few
milliseconds of the loop.  Two hundred of them at once would make everybody else wait for a second,
those who only ask how the service is, too: so the loop begins with one of them at a time, and looks
after all others in between.  Clients that are told to come again do: if each time was as much work
as an answer, the work would be done for those who get none.  So where a model has no place left, a
request for it is refused before anything is made of it but its name.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Collection, MutableMapping
from typing import Any

from agentkit.web.gate import ALWAYS, App, Receive, Scope, Send
from agentkit.web.problems import SOON, too_much

ASKED = ("/v1/chat/completions", "/v1/completions", "/v1/responses")
"""Where an answer of a chat model is asked for, named in `model`."""


class Crowd:
    """An ASGI application in front of another.

    `full` tells the chat models that would refuse a request; `usual` is the one that is meant where
    a request names none.  Of bodies with more than `most` bytes nothing is looked at.
    """

    def __init__(
        self, app: App, *, full: Callable[[], Collection[str]], usual: str, most: int
    ) -> None:
        self._app = app
        self._full = full
        self._usual = usual
        self._most = most
        self._turn = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what is worth to begin with, when its turn has come."""
        if scope["type"] != "http" or scope["path"] in ALWAYS:
            return await self._app(scope, receive, send)
        async with self._turn:
            await asyncio.sleep(0)  # others first, once
        if scope["path"] in ASKED and (full := self._full()):
            arrived = _Arrived(receive)
            model = _named(await arrived.body(self._most)) or self._usual
            if model in full:
                said = f"{model!r} is busy: as many requests as may wait for it already"
                return await too_much(scope, send, said, SOON)
            receive = arrived.again
        return await self._app(scope, receive, send)


class _Arrived:
    """The body of a request, read once and given out once more."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._messages: list[MutableMapping[str, Any]] = []

    async def body(self, most: int) -> bytes:
        """All of it; nothing if it has more than `most` bytes, or does not come to its end."""
        pieces: list[bytes] = []
        while sum(map(len, pieces)) <= most:
            self._messages.append(message := await self._receive())
            if message["type"] != "http.request":
                return b""
            pieces.append(message.get("body", b""))
            if not message.get("more_body", False):
                return b"".join(pieces)
        return b""

    async def again(self) -> MutableMapping[str, Any]:
        """What `receive` gave, and then what it gives."""
        return self._messages.pop(0) if self._messages else await self._receive()


def _named(body: bytes) -> str | None:
    """The model that a request names.  Whether it is well formed is for others to say."""
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        return None
    model = asked.get("model") if isinstance(asked, dict) else None
    return model if isinstance(model, str) else None
