"""What every `Embedder` promises; run on each adapter, and on each kind of model that it has.

An adapter joins by a name in `ADAPTERS` and a branch in the fixture.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tokenizers import Tokenizer

from agentkit import machine
from agentkit.cancel import CancelToken
from agentkit.embedding import SentenceTransformersEmbedder
from agentkit.engine.embed import LlamaEmbedder
from agentkit.engine.tokenizer import LlamaTokenizer
from agentkit.errors import Cancelled, PromptTooLong, UserError
from agentkit.ports import Embedder

ADAPTERS = ["llama, bidirectional", "llama, causal", "sentence-transformers"]

TEXTS = (
    "The cat sat on the mat.",
    "A kitten was resting on the rug.",
    "Interest rates were raised by a quarter of a point.",
    "",
    "Zürich, 東京, café",
    "word " * 100,
)

Tokens = Callable[[str], list[int]]

SAME = 0.998
"""Of two unit vectors that mean the same: quantised weights round otherwise in other batches."""

pytestmark = pytest.mark.model


@pytest.fixture(scope="module", params=ADAPTERS)
def embedder(
    request: pytest.FixtureRequest, model_path: Callable[[str], Path], minilm_gguf: Path
) -> Iterator[Embedder]:
    """An adapter, ready to be used; no text may have more than 256 tokens."""
    if request.param == "sentence-transformers":
        folder = model_path("all-minilm-l6-v2")
        sentences = SentenceTransformersEmbedder(folder, "mine", threads=machine.physical_cores())
        yield sentences
        sentences.close()
        return
    path = minilm_gguf if request.param.endswith("bidirectional") else model_path("smollm2-135m")
    model = LlamaEmbedder(path, "mine", threads=machine.physical_cores(), context_tokens=256)
    yield model
    model.close()


@pytest.fixture
def tokens_of(
    request: pytest.FixtureRequest, model_path: Callable[[str], Path]
) -> Iterator[Tokens]:
    """What a client makes of a text, with a tokenizer of its own."""
    if request.node.callspec.params["embedder"] == "llama, causal":
        causal = LlamaTokenizer(model_path("smollm2-135m"), "mine")
        yield lambda text: causal.tokens(text, alone=False)
        causal.close()
        return
    of_file = Tokenizer.from_file(str(model_path("all-minilm-l6-v2") / "tokenizer.json"))
    of_file.no_padding()
    yield lambda text: list(of_file.encode(text).ids)


@pytest.fixture(scope="module")
def vectors(embedder: Embedder) -> NDArray[np.float32]:
    """Those of `TEXTS`."""
    return embedder.embed(TEXTS)


def test_there_is_a_vector_for_each_text(embedder: Embedder, vectors: NDArray[np.float32]) -> None:
    assert vectors.shape == (len(TEXTS), embedder.dimensions)
    assert vectors.dtype == np.float32
    assert embedder.name == "mine"


def test_no_texts_give_no_vectors(embedder: Embedder) -> None:
    assert embedder.embed([]).shape == (0, embedder.dimensions)


def test_vectors_have_the_length_one(vectors: NDArray[np.float32]) -> None:
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(len(TEXTS)), abs=1e-5)


def test_texts_of_one_meaning_are_nearer_than_others(vectors: NDArray[np.float32]) -> None:
    assert SAME > vectors[0] @ vectors[1] > vectors[0] @ vectors[2]


def test_a_vector_does_not_depend_on_the_company_of_its_text(
    embedder: Embedder, vectors: NDArray[np.float32]
) -> None:
    for text, vector in zip(TEXTS, vectors, strict=True):
        (alone,) = embedder.embed([text])
        assert alone @ vector > SAME


def test_vectors_come_in_the_order_of_the_texts(
    embedder: Embedder, vectors: NDArray[np.float32]
) -> None:
    """Also over several batches: eighty texts fit into none."""
    many = embedder.embed([TEXTS[n % 3] for n in range(80)])
    nearest = (many @ vectors[:3].T).argmax(axis=1)
    assert nearest.tolist() == [n % 3 for n in range(80)]


def test_a_text_that_is_too_long_is_told_with_the_numbers(embedder: Embedder) -> None:
    with pytest.raises(PromptTooLong) as caught:
        embedder.embed(["short", "word " * 400])
    assert caught.value.context_tokens == 256
    assert 400 <= caught.value.prompt_tokens <= 402
    assert caught.value.excess == caught.value.prompt_tokens - 256


def test_a_cancelled_token_stops_it(embedder: Embedder) -> None:
    token = CancelToken()
    token.cancel("no more")
    with pytest.raises(Cancelled, match="no more"):
        embedder.embed(["one"], token)


def test_threads_get_what_they_asked_for(embedder: Embedder, vectors: NDArray[np.float32]) -> None:
    found: dict[int, NDArray[np.float32]] = {}

    def ask(number: int) -> None:
        found[number] = embedder.embed([TEXTS[number]] * 3)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(len(TEXTS))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, several in found.items():
        assert (several @ vectors[number]).min() > SAME
    assert len(found) == len(TEXTS)


def test_closing_twice_is_no_error(model_path: Callable[[str], Path]) -> None:
    model = LlamaEmbedder(model_path("smollm2-135m"), "mine", threads=1, context_tokens=64)
    model.close()
    model.close()


def test_tokens_have_their_text_again(embedder: Embedder, tokens_of: Tokens) -> None:
    for text in ("the cat sat on the mat.", "東京, café"):
        found = embedder.text(tokens_of(text))
        assert tokens_of(found) == tokens_of(text)
    assert embedder.text(tokens_of("the cat sat on the mat")) == "the cat sat on the mat"


@pytest.mark.parametrize("token", [-1, 1 << 20, 1 << 40])
def test_what_is_no_token_is_refused(embedder: Embedder, token: int) -> None:
    with pytest.raises(UserError, match=f"{token} is no token"):
        embedder.text([5, token])


def test_tokens_are_counted_as_they_are_read(embedder: Embedder) -> None:
    one, other = (embedder.count_tokens([text]) for text in TEXTS[:2])
    assert 0 < one < len(TEXTS[0])
    assert embedder.count_tokens(TEXTS[:2]) == one + other
