"""Clients that do not wait for their answer: nobody works for them any longer."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import Any

import httpx
import numpy as np
import openai
import pytest
from numpy.typing import NDArray

from agentkit.cancel import CancelToken
from agentkit.errors import Cancelled
from agentkit.testing import ScriptedModel
from tests.web.conftest import LIMIT, SECRET, Served
from tests.web.openai.conftest import Place, Script
from tests.web.openai.test_chat import breaking_off

LONG = 440
"""Tokens of an answer that takes a while."""

ASKED: dict[str, dict[str, Any]] = {
    "/v1/completions": {"prompt": "Hello.", "max_tokens": LONG, "temperature": 0},
    "/v1/responses": {"input": "Hello.", "max_output_tokens": LONG, "temperature": 0},
}


def leave(url: str, token: str, path: str, body: dict[str, Any], wait: Callable[[], Any]) -> None:
    """Ask, and go away when `wait` returns."""

    async def ask() -> None:
        about = {"Authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(base_url=url, headers=about, trust_env=False) as http:
            asking = asyncio.create_task(http.post(path, json=body))
            await asyncio.to_thread(wait)
            assert not asking.done()
            asking.cancel()

    asyncio.run(ask())


@pytest.mark.parametrize("path", ASKED)
def test_who_goes_away_frees_his_place(place: Place, path: str) -> None:
    with breaking_off(place, LONG, path) as wait:
        leave(place.url, place.token, path, {"model": "tiny", **ASKED[path]}, wait)


def test_who_stops_reading_a_text_frees_his_place(place: Place, client: openai.OpenAI) -> None:
    with breaking_off(place, LONG, "/v1/completions"):
        stream = client.completions.create(
            model="tiny", prompt="Hello.", max_tokens=LONG, stream=True
        )
        next(iter(stream))
        stream.close()


def test_who_stops_reading_a_response_frees_his_place(place: Place, client: openai.OpenAI) -> None:
    with breaking_off(place, LONG, "/v1/responses"):
        stream = client.responses.create(
            model="tiny", input="Hello.", max_output_tokens=LONG, stream=True
        )
        for event in stream:
            if event.type == "response.output_text.delta":
                break
        stream.close()


@pytest.mark.parametrize("path", ["/v1/chat/completions", *ASKED])
def test_a_stream_of_which_nothing_was_written_yet_is_cancelled(
    place: Place, script: Script, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cancels: list[CancelToken] = []
    begun, go = threading.Event(), threading.Event()
    real = ScriptedModel.stream

    def stream(self: ScriptedModel, request: Any, cancel: CancelToken | None = None) -> Any:
        assert cancel is not None
        cancels.append(cancel)
        return real(self, request, cancel)

    def slowly(request: Any) -> str:
        begun.set()
        assert go.wait(LIMIT)
        return "Too late."

    monkeypatch.setattr(ScriptedModel, "stream", stream)
    script(slowly)
    asked = ASKED.get(path, {"messages": [{"role": "user", "content": "x"}]})
    try:
        leave(
            place.url, place.token, path, {**asked, "model": "scripted", "stream": True}, begun.wait
        )
        until(lambda: cancels[0].cancelled)
    finally:
        go.set()


class Slow:
    """An embedder that is at work until somebody cancels it."""

    name, dimensions = "slow", 2

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.cancelled = threading.Event()

    def embed(self, texts: Sequence[str], cancel: CancelToken | None = None) -> NDArray[np.float32]:
        assert cancel is not None
        self.begun.set()
        try:
            cancel.wait(LIMIT)
        except Cancelled:
            self.cancelled.set()
            raise
        return np.zeros((len(texts), 2), np.float32)


def test_nobody_embeds_for_who_is_gone(inside: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Slow()
    monkeypatch.setattr(inside.service.runtime, "embedder", lambda name=None: slow, raising=False)
    leave(inside.url, SECRET, "/v1/embeddings", {"model": "slow", "input": "x"}, slow.begun.wait)
    assert slow.cancelled.wait(LIMIT / 2)


def until(condition: Callable[[], bool]) -> None:
    waiting = threading.Event()
    for _ in range(int(LIMIT / 0.02)):
        if condition():
            return
        waiting.wait(0.02)
    raise AssertionError("it did not come to that")
