"""Folders of sentence-transformers: short texts without torch, and the same numbers with it."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from agentkit.embedding import SentenceTransformersEmbedder
from agentkit.embedding.bert import Bert
from agentkit.embedding.folder import Folder
from agentkit.errors import ModelDamaged, ModelError

TEXTS = ["hello", "What did we decide about the budget?", "", "Zürich, 東京, café", "a\ud800b"]

pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def path(model_path: Callable[[str], Path]) -> Path:
    return model_path("all-minilm-l6-v2")


@pytest.fixture(scope="module")
def embedder(path: Path) -> Iterator[SentenceTransformersEmbedder]:
    model = SentenceTransformersEmbedder(path, "mine", threads=2, device="cpu")
    yield model
    model.close()


def test_short_texts_have_the_vectors_that_torch_gives(
    embedder: SentenceTransformersEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = np.stack([embedder.embed([text])[0] for text in TEXTS])
    monkeypatch.setattr(embedder, "_quick", None)
    assert np.abs(embedder.embed(TEXTS) - quick).max() < 1e-5


def test_short_texts_load_no_torch(path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from agentkit.embedding import *; "
        f"e = SentenceTransformersEmbedder(Path({str(path)!r}), 'm'); e.embed(['hello']); "
        "print([m for m in ('torch', 'transformers', 'sentence_transformers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_nobody_is_called(
    embedder: SentenceTransformersEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> None:
        pytest.fail(f"connects to {arguments}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(embedder, "_model", None)
    embedder.embed(["word " * 100])


def test_what_a_folder_says(path: Path) -> None:
    folder = Folder(path, "mine")
    assert (folder.dimensions, folder.longest) == (384, 256)
    assert [kind for kind, _ in folder.modules] == ["Transformer", "Pooling", "Normalize"]


@pytest.fixture
def copy(path: Path, tmp_path: Path) -> Path:
    """The folder, to be broken."""
    return Path(shutil.copytree(path, tmp_path / "model"))


@pytest.mark.parametrize("name", ["config.json", "modules.json", "tokenizer.json"])
@pytest.mark.parametrize("content", [None, "no json"])
def test_a_broken_folder_is_told(copy: Path, name: str, content: str | None) -> None:
    (copy / name).unlink()
    if content:
        (copy / name).write_text(content)
    with pytest.raises(ModelDamaged, match=name) as caught:
        SentenceTransformersEmbedder(copy, "mine")
    assert "agentkit models pull mine" in str(caught.value.hint)


def test_weights_that_are_cut_are_told_by_whoever_reads_them(copy: Path) -> None:
    weights = (copy / "model.safetensors").read_bytes()
    (copy / "model.safetensors").unlink()
    (copy / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    model = SentenceTransformersEmbedder(copy, "mine")
    with pytest.raises(ModelDamaged, match="mine"):
        model.embed(["hello"])


@pytest.mark.parametrize(("key", "value"), [("model_type", "roberta"), ("hidden_act", "relu")])
def test_other_models_are_left_to_torch(copy: Path, key: str, value: str) -> None:
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").unlink()
    (copy / "config.json").write_text(json.dumps({**config, key: value}))
    assert Bert.of(Folder(copy, "mine")) is None


def test_a_closed_model_says_so(path: Path) -> None:
    model = SentenceTransformersEmbedder(path, "mine")
    model.close()
    model.close()
    with pytest.raises(ModelError, match="was closed"):
        model.embed(["x"])
