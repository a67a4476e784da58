"""How much memory a model will take, told from its header before it is loaded.

    weights   the file: it is mapped into memory, or copied to the GPU, as it is
    repacked  on a CPU, the second copy of some tensors in the order that its vector units like
    kv        keys and values of every token of the context, in every layer
    compute   the logits of one batch, the activations on the way there, the vocabulary

Each part but the last is what llama.cpp reports, to the byte; of `compute` it reserves what is said
here and touches less of it, so the total is an upper bound (figures: `tests/models/test_fit.py`).
A sliding window is counted as full: the engine keeps the whole context, so that prefixes can be
shared.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from agentkit.models.gguf import Gguf

KvType = Literal["f16", "q8_0"]

BYTES_PER_VALUE: dict[KvType, float] = {"f16": 2.0, "q8_0": 34 / 32}
CELL_BLOCK = 256
"""llama.cpp rounds the context up to a multiple of this."""
BYTES_PER_WORD = 350
"""What llama.cpp keeps in memory for each entry of the vocabulary."""


@dataclass(frozen=True, slots=True)
class MemoryNeed:
    """Bytes that a model needs with a context of so many tokens."""

    context_tokens: int
    weights: int
    repacked: int
    kv: int
    compute: int

    @property
    def total(self) -> int:
        """All of it on a CPU; on a GPU, `repacked` falls away."""
        return self.weights + self.repacked + self.kv + self.compute


def estimate(
    gguf: Gguf, context_tokens: int, *, batch_tokens: int = 512, kv_type: KvType = "f16"
) -> MemoryNeed:
    """The need of a model with a context, reading prompts in pieces of `batch_tokens`."""
    cells = -(-context_tokens // CELL_BLOCK) * CELL_BLOCK
    values = sum(gguf.kv_heads) * (gguf.key_length + gguf.value_length)
    buffer = batch_tokens * (gguf.vocabulary + 2 * gguf.embedding_length) * 4
    return MemoryNeed(
        context_tokens=context_tokens,
        weights=gguf.file_size,
        repacked=gguf.repacked_size,
        kv=int(cells * values * BYTES_PER_VALUE[kv_type]),
        compute=buffer + gguf.vocabulary * BYTES_PER_WORD,
    )


def usual_contexts(gguf: Gguf) -> tuple[int, ...]:
    """4k, 8k, 16k and 32k tokens, as far as the model was trained for."""
    trained = gguf.context_length or 4096
    usual = tuple(size for size in (4096, 8192, 16384, 32768) if size <= trained)
    return usual or (trained,)
