"""GGUF embedding models: the vectors are right, a batch is one turn, odd models are told apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import gguf
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentkit.cancel import CancelToken
from agentkit.compute import Compute
from agentkit.engine.embed import TEXTS, LlamaEmbedder, _batches
from agentkit.errors import Cancelled, ModelDamaged, ModelError, UserError

from .minilm import Reference, write_gguf
from .tiny_models import write_model

SENTENCES = (
    "The cat sat on the mat.",
    "How do I reset my password?",
    "I forgot my login credentials.",
    "Zürich, naïve café — 東京 12:30",
    "unbelievably tokenization " * 25,
    "",
)


class Counted(Compute):
    """Counts turns, and never gives two."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    @contextmanager
    def turn(self) -> Iterator[None]:
        with super().turn():
            self.count += 1
            yield


@pytest.fixture
def compute() -> Counted:
    return Counted()


@pytest.fixture
def make(compute: Counted) -> Iterator[Callable[..., LlamaEmbedder]]:
    """Embedders that are closed after the test."""
    made: list[LlamaEmbedder] = []

    def load(path: Path, **over: int) -> LlamaEmbedder:
        made.append(LlamaEmbedder(path, "mine", threads=1, compute=compute, **over))
        return made[-1]

    yield load
    for model in made:
        model.close()


Make = Callable[..., LlamaEmbedder]


@pytest.mark.model
def test_vectors_are_those_of_the_formulas(
    make: Make, minilm_gguf: Path, model_path: Callable[[str], Path]
) -> None:
    reference = Reference(model_path("all-minilm-l6-v2"))

    vectors = make(minilm_gguf).embed(SENTENCES)

    for text, vector in zip(SENTENCES, vectors, strict=True):
        assert vector == pytest.approx(reference.embed(text), abs=2e-3)


@pytest.mark.model
def test_a_marker_in_a_text_is_text(make: Make, minilm_gguf: Path) -> None:
    """`[SEP]` ends a text for this model; written by a user it is five letters in brackets."""
    model = make(minilm_gguf)

    ended, spaced, other = model.embed(["one [SEP] two", "one [ sep ] two", "one two"])

    assert ended @ spaced > 0.9999
    assert ended @ other < 0.95


@pytest.mark.model
def test_each_batch_is_a_turn_and_a_cancel_ends_before_the_next(
    make: Make, minilm_gguf: Path, compute: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, token = make(minilm_gguf), CancelToken()
    model.embed(["hello"] * (3 * TEXTS))
    assert compute.count == 3

    honest = model._vectors

    def then_cancel(texts: list[list[int]]) -> object:
        token.cancel("enough")
        return honest(texts)

    monkeypatch.setattr(model, "_vectors", then_cancel)
    with pytest.raises(Cancelled, match="enough"):
        model.embed(["hello"] * (3 * TEXTS), token)
    assert compute.count == 4


@pytest.mark.model
def test_what_was_trained_bounds_the_texts(make: Make, minilm_gguf: Path) -> None:
    assert make(minilm_gguf).context_tokens == 512
    assert make(minilm_gguf, context_tokens=100).context_tokens == 100


def test_a_closed_model_says_so(make: Make, tmp_path: Path) -> None:
    model = make(write_model(tmp_path / "m.gguf", "attention"))
    model.close()
    with pytest.raises(ModelError, match="'mine' was closed"):
        model.embed(["one"])


@pytest.mark.parametrize("kind", ["attention", "sliding-window", "recurrent", "hybrid"])
def test_texts_in_a_batch_know_nothing_of_each_other(make: Make, tmp_path: Path, kind: str) -> None:
    """Whatever a model remembers: without quantised weights the vectors are the same to 1e-5."""
    model = make(write_model(tmp_path / "m.gguf", kind), context_tokens=128)
    texts = ["a cat", "another cat that is longer", "", "a cat"] * 20

    vectors = model.embed(texts)

    for text, vector in zip(texts[:4], vectors[-4:], strict=True):
        assert model.embed([text])[0] @ vector > 0.99999
    assert vectors[0] @ vectors[1] < 0.999


@pytest.mark.model
@pytest.mark.parametrize(
    ("pooling", "token"), [(gguf.PoolingType.CLS, 0), (gguf.PoolingType.LAST, -1)]
)
def test_the_file_says_which_token_speaks_for_a_text(
    make: Make,
    model_path: Callable[[str], Path],
    tmp_path: Path,
    pooling: gguf.PoolingType,
    token: int,
) -> None:
    folder = model_path("all-minilm-l6-v2")
    expected = Reference(folder).tokens(SENTENCES[0])[token]

    (vector,) = make(write_gguf(folder, tmp_path / "m.gguf", pooling)).embed(SENTENCES[:1])

    assert vector == pytest.approx(expected / np.linalg.norm(expected), abs=2e-3)


@pytest.mark.model
def test_a_model_that_ranks_is_refused(
    make: Make, model_path: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = model_path("all-minilm-l6-v2")
    path = write_gguf(folder, tmp_path / "m.gguf", gguf.PoolingType.RANK)
    with pytest.raises(UserError, match="mine ranks texts"):
        make(path)


def test_a_file_that_is_no_model_is_told(make: Make, tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_text("hello")
    with pytest.raises(ModelDamaged, match="mine"):
        make(tmp_path / "m.gguf")


@given(
    lengths=st.lists(st.integers(1, 50), max_size=300),
    most=st.integers(50, 400),
)
def test_batches_hold_all_texts_in_order_and_none_is_too_full(
    lengths: list[int], most: int
) -> None:
    texts = [[number] * length for number, length in enumerate(lengths)]

    batches = list(_batches(texts, most))

    assert [text for _, batch in batches for text in batch] == texts
    for first, batch in batches:
        assert batch[0] is texts[first]
        assert len(batch) <= TEXTS
        assert sum(map(len, batch)) <= most
