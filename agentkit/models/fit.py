"""How much memory a model will take, told from its header before it is loaded.

    weights   the file: it is mapped into memory, or copied to the GPU, as it is
    kv        keys and values of every token of the context, in every layer
    compute   the logits of one batch and the activations on the way there

A sliding window is counted as full: the engine keeps the whole context, so that prefixes can be
shared.  Compared with what llama.cpp really took; `tests/models/test_fit.py` holds the figures.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from agentkit.models.gguf import Gguf

KvType = Literal["f16", "q8_0"]

BYTES_PER_VALUE: dict[KvType, float] = {"f16": 2.0, "q8_0": 34 / 32}
CELL_BLOCK = 256
"""llama.cpp rounds the context up to a multiple of this."""
FIXED_BYTES = 64 << 20
"""llama.cpp itself: vocabulary, graph, code."""


@dataclass(frozen=True, slots=True)
class MemoryNeed:
    """Bytes that a model needs with a context of so many tokens."""

    context_tokens: int
    weights: int
    kv: int
    compute: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.kv + self.compute


def estimate(
    gguf: Gguf, context_tokens: int, *, batch_tokens: int = 512, kv_type: KvType = "f16"
) -> MemoryNeed:
    """The need of a model with a context, reading prompts in pieces of `batch_tokens`."""
    cells = -(-context_tokens // CELL_BLOCK) * CELL_BLOCK
    values = sum(gguf.kv_heads) * (gguf.key_length + gguf.value_length)
    logits = batch_tokens * gguf.vocabulary * 4
    activations = batch_tokens * gguf.embedding_length * 4 * 8
    return MemoryNeed(
        context_tokens=context_tokens,
        weights=gguf.file_size,
        kv=int(cells * values * BYTES_PER_VALUE[kv_type]),
        compute=logits + activations + FIXED_BYTES,
    )


def usual_contexts(gguf: Gguf) -> tuple[int, ...]:
    """4k, 8k, 16k and 32k tokens, as far as the model was trained for."""
    trained = gguf.context_length or 4096
    usual = tuple(size for size in (4096, 8192, 16384, 32768) if size <= trained)
    return usual or (trained,)
