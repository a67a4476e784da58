"""Who may come in over HTTP: somebody on this machine who knows the token, and no web page.

A page in a browser can be made to send requests here, under a name of its own that it points to
this machine (DNS rebinding).  They carry that name as `Host`, or its own address as `Origin`.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

NAMES = ("127.0.0.1", "localhost", "[::1]")


class Gate:
    """An ASGI application in front of another."""

    def __init__(self, app: App, token: str, port: int) -> None:
        self._app = app
        self._token = token.encode()
        self._hosts = {f"{name}:{port}".encode() for name in NAMES}
        self._origins = {b"http://" + host for host in self._hosts}

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

    def _refusal(
        self, headers: list[tuple[bytes, bytes]]
    ) -> tuple[int, str, list[tuple[bytes, bytes]]] | None:
        """Status, words and headers; None: come in.  One value that is right is not enough."""

        def values(name: bytes) -> list[bytes]:
            return [value.strip() for key, value in headers if key.lower() == name]

        if not values(b"host") or not set(values(b"host")) <= self._hosts:
            return 421, "this is not the host that was asked for", []
        if not set(values(b"origin")) <= self._origins:
            return 403, "no web page may ask", []
        given = values(b"authorization")
        if len(given) != 1 or not self._is_token(given[0]):
            challenge = (b"www-authenticate", b'Bearer realm="agentkit"')
            return 401, "the token is missing or wrong", [challenge]
        return None

    def _is_token(self, given: bytes) -> bool:
        scheme, _, token = given.partition(b" ")
        return scheme.lower() == b"bearer" and hmac.compare_digest(token.strip(), self._token)
