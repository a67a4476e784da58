"""What all tests share: a home of their own, and the real models of this machine."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agentkit import machine
from agentkit.config import Settings
from agentkit.engine import LlamaChatModel
from agentkit.errors import ModelMissing
from agentkit.runtime import Runtime

from .engine.minilm import write_gguf

_MODELS = Settings.load().models_folder
"""The store as it was before any test looked: models are large, and only read here."""


@pytest.fixture(autouse=True)
def isolated_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test reads or writes somebody's own settings, journal or runs."""
    for name in list(os.environ):
        if name.startswith("AGENTKIT_"):
            monkeypatch.delenv(name)
    home = tmp_path / "home"
    monkeypatch.setenv("AGENTKIT_HOME", str(home))
    return home


@pytest.fixture(scope="session")
def models_folder() -> Path:
    """The real store."""
    return _MODELS


@pytest.fixture
def real_models(models_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let the test, and the programs it starts, use the models of this machine."""
    monkeypatch.setenv("AGENTKIT_MODELS_DIR", str(models_folder))
    return models_folder


@pytest.fixture(scope="session")
def model_path(models_folder: Path) -> Callable[[str], Path]:
    """`model_path("whisper-base")`: where it is, or a failure that says how to get it."""
    store = Runtime(Settings(models_dir=models_folder)).store

    def resolve(name: str) -> Path:
        try:
            return store.resolve(name)
        except ModelMissing as error:
            pytest.fail(f"{error}: {error.hint}, or: make models")

    return resolve


@pytest.fixture(scope="session")
def minilm_gguf(
    model_path: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """all-minilm-l6-v2 as a file that llama.cpp can read."""
    path = tmp_path_factory.mktemp("gguf") / "minilm.gguf"
    return write_gguf(model_path("all-minilm-l6-v2"), path)


@pytest.fixture(scope="module")
def chat_model(model_path: Callable[[str], Path]) -> Iterator[Callable[[str], LlamaChatModel]]:
    """`chat_model("smollm2-135m")`: loaded once for a module, closed at its end."""
    loaded: dict[str, LlamaChatModel] = {}

    def load(name: str) -> LlamaChatModel:
        if name not in loaded:
            path = model_path(name)
            loaded[name] = LlamaChatModel(
                path, name, context_tokens=1024, threads=machine.physical_cores()
            )
        return loaded[name]

    yield load
    for model in loaded.values():
        model.close()
