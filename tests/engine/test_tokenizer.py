"""Tokens without weights: a tokenizer that is closed while others use it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from agentkit.engine import LlamaTokenizer
from agentkit.errors import ModelError
from agentkit.messages import Message
from tests.locks import Told

from .tiny_models import GAP_MARKERS, MARKERS, write_model

PATIENCE = 120
"""Seconds for what another thread does; it needs none, unless something is wrong."""


@pytest.fixture
def tokenizer(tmp_path: Path) -> Iterator[LlamaTokenizer]:
    path = write_model(tmp_path / "tiny.gguf", "attention", markers=MARKERS + GAP_MARKERS)
    made = LlamaTokenizer(path, "tiny")
    yield made
    made.close()


USES: list[Callable[[LlamaTokenizer], object]] = [
    lambda tokenizer: tokenizer.beginning("a text", 3),
    lambda tokenizer: tokenizer.tokens("a text"),
    lambda tokenizer: tokenizer.tokens("a text", alone=False),
    lambda tokenizer: tokenizer.infill("a", "text"),
    lambda tokenizer: tokenizer.prompt([Message("user", "a text")]),
    lambda tokenizer: tokenizer.text([65, 66]),
]


@pytest.mark.parametrize("use", USES)
def test_one_that_is_closed_says_so(
    tokenizer: LlamaTokenizer, use: Callable[[LlamaTokenizer], object]
) -> None:
    assert use(tokenizer)
    for _ in range(2):
        tokenizer.close()
    with pytest.raises(ModelError, match="'tiny' was closed"):
        use(tokenizer)


def test_it_is_not_freed_under_a_call(
    tokenizer: LlamaTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_work, arrived = threading.Event(), threading.Event()
    monkeypatch.setattr(tokenizer, "_guard", Told(arrived), raising=False)
    weights, vocabulary = tokenizer._weights, tokenizer._weights.vocabulary
    freed, written = weights.close, vocabulary.written
    there: list[bool] = []

    def free() -> None:
        freed()
        arrived.set()

    def slowly(tokens: Sequence[int]) -> str:
        at_work.set()
        assert arrived.wait(PATIENCE)
        there.append(weights.handle is not None)
        return written(tokens) if there[0] else ""

    monkeypatch.setattr(weights, "close", free)
    monkeypatch.setattr(vocabulary, "written", slowly)
    said: list[str] = []
    caller = threading.Thread(target=lambda: said.append(tokenizer.text([72, 105])))
    caller.start()
    assert at_work.wait(PATIENCE)
    tokenizer.close()
    caller.join(PATIENCE)
    assert (there, said, weights.handle) == ([True], ["Hi"], None)
