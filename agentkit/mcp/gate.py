"""Who may come in over HTTP: somebody on this machine who knows the token, and no web page."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from agentkit.visits import Door, Headers, bearer

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class Gate:
    """An ASGI application in front of another."""

    def __init__(self, app: App, token: str, port: int) -> None:
        self._app = app
        self._token = token.encode()
        self._door = Door(port)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what may come in."""
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        if scope["type"] != "http":
            return None
        refusal = self._refusal(scope["headers"])
        if refusal is None:
            return await self._app(scope, receive, send)
        status, said, headers = refusal
        body = said.encode()
        length = (b"content-length", str(len(body)).encode())
        head = [(b"content-type", b"text/plain"), length, *headers]
        await send({"type": "http.response.start", "status": status, "headers": head})
        await send({"type": "http.response.body", "body": body})
        return None

    def _refusal(self, headers: Headers) -> tuple[int, str, list[tuple[bytes, bytes]]] | None:
        """Status, words and headers; None: come in."""
        if refusal := self._door.refusal(headers):
            status, _, said = refusal
            return status, said, []
        if not (given := bearer(headers)) or not hmac.compare_digest(given, self._token):
            challenge = (b"www-authenticate", b'Bearer realm="agentkit"')
            return 401, "the token is missing or wrong", [challenge]
        return None
