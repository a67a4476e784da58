"""Over HTTP, nobody comes in without the token, and no web page at all."""

from __future__ import annotations

import asyncio
import http.client
import json
import re
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from agentkit.mcp.gate import Gate

from .conftest import Served

TOKEN = "a-token-of-thirty-two-characters"
RIGHT = [(b"host", b"127.0.0.1:8377"), (b"authorization", f"Bearer {TOKEN}".encode())]

Message = MutableMapping[str, Any]


def answered(headers: list[tuple[bytes, bytes]], kind: str = "http") -> list[Message]:
    """What a gate sends for a request; behind it, there is an application that says 200."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {}

    async def app(scope: Message, receive: object, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    asyncio.run(Gate(app, TOKEN, 8377)({"type": kind, "headers": headers}, receive, send))
    return sent


def status(headers: list[tuple[bytes, bytes]]) -> int:
    return int(answered(headers)[0]["status"])


def without(name: bytes) -> list[tuple[bytes, bytes]]:
    return [(key, value) for key, value in RIGHT if key != name]


def test_who_knows_the_token_comes_in() -> None:
    assert status(RIGHT) == 200
    for host in (b"localhost:8377", b"[::1]:8377"):
        assert status([*without(b"host"), (b"host", host)]) == 200
    assert status([*RIGHT, (b"origin", b"http://localhost:8377")]) == 200
    lower = (b"authorization", f"bearer  {TOKEN}".encode())
    assert status([*without(b"authorization"), lower]) == 200


@pytest.mark.parametrize(
    "given",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        f"Basic {TOKEN}",
        TOKEN,
        f"Bearer {TOKEN[:-1]}",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN.upper()}",
        f"Bearer x {TOKEN}",
        "Bearer \xff\xfe",
    ],
)
def test_a_token_that_is_missing_or_wrong_is_refused(given: str | None) -> None:
    headers = without(b"authorization")
    if given is not None:
        headers.append((b"authorization", given.encode("latin-1")))
    start, body = answered(headers)
    assert start["status"] == 401
    assert (b"www-authenticate", b'Bearer realm="agentkit"') in start["headers"]
    assert body["body"] == b"the token is missing or wrong"


def test_two_tokens_are_none() -> None:
    assert status([*RIGHT, (b"authorization", b"Bearer other")]) == 401


@pytest.mark.parametrize(
    "host",
    [None, "", "evil.example", "evil.example:8377", "127.0.0.1", "127.0.0.1:80",
     "127.0.0.1:8377.evil.example", "localhost:8377@evil.example", "192.168.1.7:8377"],
)  # fmt: skip
def test_a_name_that_was_pointed_here_is_refused_even_with_the_token(host: str | None) -> None:
    headers = without(b"host")
    if host is not None:
        headers.append((b"host", host.encode()))
    assert status(headers) == 421
    assert status([*RIGHT, (b"host", b"evil.example")]) == 421


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "null", "", "https://127.0.0.1:8377", "http://127.0.0.1:8377.evil",
     "http://127.0.0.1:3000"],
)  # fmt: skip
def test_a_web_page_is_refused_even_with_the_token(origin: str) -> None:
    assert status([*RIGHT, (b"origin", origin.encode())]) == 403


def test_what_is_no_request_is_not_passed_on() -> None:
    assert answered(RIGHT, "websocket") == []
    assert len(answered([], "lifespan")) == 1


def test_the_server_that_runs_has_the_gate_in_front(over_http: Served) -> None:
    parts = urlsplit(over_http.url)
    assert parts.port is not None
    hello = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "ping"})

    def ask(**headers: str) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", parts.port, timeout=20)
        try:
            given = {"Content-Type": "application/json", **headers}
            connection.request("POST", parts.path, hello, given)
            return connection.getresponse().status
        finally:
            connection.close()

    right = {"Authorization": f"Bearer {over_http.token}"}
    assert ask() == 401
    assert ask(Authorization="Bearer wrong") == 401
    assert ask(Host="evil.example", **right) == 421
    assert ask(Origin="http://evil.example", **right) == 403
    assert ask(Accept="application/json, text/event-stream", **right) < 401


def test_it_listens_on_this_machine_only(over_http: Served) -> None:
    port = urlsplit(over_http.url).port
    table = Path("/proc/net/tcp").read_text()
    listening = re.findall(rf"([0-9A-F]{{8}}):{port:04X} 00000000:0000 0A", table)
    assert listening == ["0100007F"]
