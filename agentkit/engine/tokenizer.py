"""The tokens of a model without its weights: read in a fraction of a second."""

from __future__ import annotations

from pathlib import Path

from agentkit.engine.weights import Weights


class LlamaTokenizer:
    """That of a GGUF file.  May be called from any thread.

    Raises `ModelDamaged` if the file cannot be read.
    """

    def __init__(self, path: Path, name: str) -> None:
        self._weights = Weights(path, name, gpu_layers=0, only_vocabulary=True)

    def beginning(self, text: str, count: int) -> str:
        """The beginning of a text that has at most `count` tokens; all of it if it has no more."""
        return self._weights.vocabulary.beginning(text, count)

    def close(self) -> None:
        """Give the memory back.  Idempotent."""
        self._weights.close()
