"""Vocabularies of real models without the weights: read in a moment, and enough for most tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agentkit.engine.vocabulary import Vocabulary


@pytest.fixture(scope="session")
def vocabulary_of(model_path: Callable[[str], Path]) -> Iterator[Callable[[str], Vocabulary]]:
    """`vocabulary_of("smollm2-135m")`: read once."""
    import llama_cpp as lib

    models: dict[str, Any] = {}

    def read(name: str) -> Vocabulary:
        if name not in models:
            params = lib.llama_model_default_params()
            params.vocab_only = True
            models[name] = lib.llama_model_load_from_file(bytes(model_path(name)), params)
        return Vocabulary(lib.llama_model_get_vocab(models[name]))

    yield read
    for model in models.values():
        lib.llama_model_free(model)
