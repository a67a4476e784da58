"""An embedder that a test can foresee: texts that share words are near, and nothing is loaded."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from agentkit.cancel import CancelToken
from agentkit.errors import PromptTooLong
from agentkit.memory import Embedding

DIMENSIONS = 32


class TinyEmbedder:
    """The sum of one random vector for each word; another `language` gives others.

    `asked` counts the texts it was given.
    """

    def __init__(self, language: str = "", dimensions: int = DIMENSIONS, longest: int = 400):
        self.name = f"tiny{language}"
        self.dimensions = dimensions
        self.longest = longest
        self.asked = 0

    def embed(self, texts: Sequence[str], cancel: CancelToken | None = None) -> NDArray[np.float32]:
        for text in texts:
            if len(text.split()) > self.longest or len(text) > 20 * self.longest:
                count = max(len(text.split()), len(text) // 20)
                raise PromptTooLong(prompt_tokens=count, reserved=0, context_tokens=self.longest)
        if cancel:
            cancel.check()
        self.asked += len(texts)
        rows = [self._vector(text) for text in texts]
        return np.array(rows, np.float32).reshape(len(texts), self.dimensions)

    def count_tokens(self, texts: Sequence[str]) -> int:
        return sum(len(text.split()) for text in texts)

    def text(self, tokens: Sequence[int]) -> str:
        return bytes(tokens).decode()

    def close(self) -> None:
        pass

    def _vector(self, text: str) -> NDArray[np.float64]:
        words = re.findall(r"\w+", text.lower()) or [text]
        total = np.sum([_word(self.name + word, self.dimensions) for word in words], axis=0)
        unit: NDArray[np.float64] = total / np.linalg.norm(total)
        return unit


@lru_cache(100_000)
def _word(word: str, dimensions: int) -> NDArray[np.float64]:
    seed = hashlib.sha256(word.encode("utf-8", "replace")).digest()[:8]
    return np.random.default_rng(int.from_bytes(seed, "big")).standard_normal(dimensions)


def tiny(language: str = "", dimensions: int = DIMENSIONS, longest: int = 400) -> Embedding:
    """An embedder as collections take it, known by its name."""
    embedder = TinyEmbedder(language, dimensions, longest)
    return Embedding(embedder, f"digest of {embedder.name} {dimensions}")
