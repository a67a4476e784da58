"""A server that runs already, spoken to over streamable HTTP.

The SDK follows a redirect only to the same host and port, so the token goes nowhere else.  What
this adds are bounds on what comes back, and the status of a refusal, which the SDK does not tell.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, NoReturn

import httpx2

from agentkit.errors import human_bytes
from agentkit.toolservers.program import MAX_MESSAGE

if TYPE_CHECKING:
    from mcp.client._transport import TransportStreams

LOOPBACK = ("localhost", "127.0.0.1", "::1")
"""Hosts that no proxy leads to."""

CONNECT = 15.0
"""Seconds until a server that does not answer is not there."""


class Address:
    """One connection with a server; it may be silent for `timeout` seconds."""

    def __init__(self, url: str, token: str | None, timeout: float) -> None:
        self._url = url
        self._token = token
        self._timeout = timeout
        self._fault = ""

    @asynccontextmanager
    async def open(self) -> AsyncIterator[TransportStreams]:
        """Nothing is sent before the first message is."""
        from mcp.client.streamable_http import streamable_http_client

        headers = {"User-Agent": "agentkit", "Accept-Encoding": "identity"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        client = httpx2.AsyncClient(
            headers=headers,
            timeout=httpx2.Timeout(min(self._timeout, CONNECT), read=self._timeout + CONNECT),
            trust_env=httpx2.URL(self._url).host not in LOOPBACK,
            event_hooks={"response": [self._look_at]},
        )
        messages = streamable_http_client(
            self._url, http_client=client, max_sse_event_size=MAX_MESSAGE
        )
        async with client, messages as streams:
            yield streams

    def refusal(self) -> str:
        """How the last question was refused."""
        return self._fault

    def account(self) -> tuple[str, ...]:
        """Nothing is known of the other machine but that."""
        return (self._fault,)

    async def _look_at(self, response: httpx2.Response) -> None:
        """Remember a refusal; let in no more of a body than a message may have."""
        if response.request.method == "POST":
            self._fault = _refusal(response.status_code)
        if response.headers.get("content-encoding", "identity") != "identity":
            self._give_up("it packs its answers, though it was asked not to")
        if not response.headers.get("content-type", "").startswith("text/event-stream"):
            response.stream = _Bounded(response.stream, self._give_up)

    def _give_up(self, fault: str) -> NoReturn:
        self._fault = fault
        raise httpx2.StreamError(fault)


class _Bounded(httpx2.AsyncByteStream):
    """A body that ends in an error where it is larger than a message may be."""

    def __init__(self, body: object, give_up: Callable[[str], NoReturn]) -> None:
        assert isinstance(body, httpx2.AsyncByteStream)
        self._body = body
        self._give_up = give_up

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for piece in self._body:
            size += len(piece)
            if size > MAX_MESSAGE:
                self._give_up(f"it sent more than {human_bytes(MAX_MESSAGE)} at once")
            yield piece

    async def aclose(self) -> None:
        await self._body.aclose()


def _refusal(status: int) -> str:
    if status < HTTPStatus.BAD_REQUEST:
        return ""
    try:
        name = f" {HTTPStatus(status).phrase}"
    except ValueError:
        name = ""
    return f"it answers {status}{name}"
