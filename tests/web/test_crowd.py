"""Whom nobody would wait on is refused at once, and the others begin one after the other."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection, MutableMapping
from typing import Any

import pytest

from agentkit.web.crowd import Crowd

CHAT = "/v1/chat/completions"

Message = MutableMapping[str, Any]


class Behind:
    """The application behind: which paths it began with, and what it read."""

    def __init__(self) -> None:
        self.began: list[str] = []
        self.read: list[bytes] = []

    async def __call__(self, scope: Message, receive: Any, send: Any) -> None:
        self.began.append(scope["path"])
        body, more = b"", scope["method"] == "POST"
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        self.read.append(body)
        await send({"type": "http.response.start", "status": 200, "headers": []})


async def ask(
    behind: Behind, path: str, *pieces: bytes, full: Collection[str] = (), most: int = 1000
) -> tuple[int, dict[bytes, bytes]]:
    """Status and headers of the answer to a request."""
    crowd = Crowd(behind, full=lambda: full, usual="usual", most=most)
    return await asked(crowd, path, *pieces)


async def asked(crowd: Crowd, path: str, *pieces: bytes) -> tuple[int, dict[bytes, bytes]]:
    waiting = [
        {"type": "http.request", "body": piece, "more_body": number < len(pieces)}
        for number, piece in enumerate(pieces, 1)
    ]
    said: list[Message] = []

    async def receive() -> Message:
        return waiting.pop(0) if waiting else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        said.append(message)

    method = "POST" if pieces else "GET"
    await crowd({"type": "http", "path": path, "method": method}, receive, send)
    return said[0]["status"], dict(said[0]["headers"])


@pytest.mark.parametrize(
    ("body", "refused"),
    [
        ({"model": "small"}, True),
        ({"model": "other"}, False),
        ({}, False),
        ({"model": 7}, False),
    ],
)
def test_a_request_for_a_model_without_a_place_is_refused_before_it_is_read(
    body: dict[str, Any], refused: bool
) -> None:
    behind, text = Behind(), json.dumps(body).encode()
    status, headers = asyncio.run(ask(behind, CHAT, text[:3], text[3:], full={"small"}))
    assert (status, behind.read) == ((429, []) if refused else (200, [text]))
    assert (b"retry-after" in headers) == refused


def test_who_names_no_model_means_the_usual_one() -> None:
    assert asyncio.run(ask(Behind(), CHAT, b"{}", full={"usual"}))[0] == 429


@pytest.mark.parametrize(
    "pieces",
    [(b'{"model": "usual"',), (b"[" * 900,), (b'"usual"',), (b" " * 600, b" " * 600, b"{}")],
    ids=["broken", "deep", "no object", "too big to be looked at"],
)
def test_what_cannot_be_read_comes_through_as_it_is(pieces: tuple[bytes, ...]) -> None:
    behind = Behind()
    assert asyncio.run(ask(behind, CHAT, *pieces, full={"small"}))[0] == 200
    assert behind.read == [b"".join(pieces)]


def test_other_requests_are_not_about_models() -> None:
    behind, text = Behind(), b'{"model": "small"}'
    assert asyncio.run(ask(behind, "/api/runs", text, full={"small"}))[0] == 200


def test_they_begin_one_after_the_other_and_health_is_told_in_between() -> None:
    behind = Behind()

    async def come() -> None:
        crowd = Crowd(behind, full=set, usual="usual", most=1000)
        crowding = [asyncio.create_task(asked(crowd, CHAT, b"{}")) for _ in range(20)]
        await asyncio.sleep(0)
        await asked(crowd, "/health")
        await asyncio.gather(*crowding)

    asyncio.run(come())
    assert len(behind.began) == 21
    assert behind.began.index("/health") <= 1
