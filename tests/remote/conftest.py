"""The player, and models on it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from agentkit.remote import RemoteChatModel, server

from .player import Make, Player


@pytest.fixture
def player() -> Iterator[Player]:
    with Player() as playing:
        threading.Thread(target=playing.serve_forever, args=(0.02,), daemon=True).start()
        yield playing
        playing.shutdown()


@pytest.fixture
def make(player: Player, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Makes models on the player; they wait only a moment before they try again."""
    monkeypatch.setattr(server, "FIRST_WAIT_SECONDS", 0.001)
    made: list[RemoteChatModel] = []

    def build(**how: Any) -> RemoteChatModel:
        model = RemoteChatModel(
            player.url, **{"name": "big", "context_tokens": 4096, "retries": 2, **how}
        )
        made.append(model)
        return model

    yield build
    for model in made:
        model.close()
