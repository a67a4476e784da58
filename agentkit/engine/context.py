"""One llama.cpp context with one sequence, and the list of tokens that its KV cache holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentkit.engine.weights import Weights
from agentkit.errors import ModelError, NotEnoughMemory

BATCH = 256
"""Tokens in one decode: bounds both the compute buffer and how long a cancel has to wait."""


class Context:
    """The KV cache and the compute buffers.

    `held` is the truth about the cache: the tokens at positions 0, 1, 2, ...  Everything that
    llama.cpp would abort the process for (an oversized batch, a full cache) is checked here first.
    """

    def __init__(self, weights: Weights, *, context_tokens: int, threads: int) -> None:
        import llama_cpp

        self._lib = llama_cpp
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = context_tokens
        params.n_batch = params.n_ubatch = BATCH
        params.n_seq_max = 1
        if not llama_cpp.llama_supports_gpu_offload():
            # On a CPU it costs: 26 rows after 1,500 tokens took 0.49 s with, 0.42 s without.
            params.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED
        params.n_threads = params.n_threads_batch = threads
        self._handle: Any = llama_cpp.llama_init_from_model(weights.handle, params)
        if not self._handle:
            raise NotEnoughMemory(
                f"no memory for a context of {context_tokens} tokens of {weights.name!r}",
                hint="lower engine.context_tokens in settings, or choose a smaller model",
            )
        self.size = min(context_tokens, llama_cpp.llama_n_ctx(self._handle))
        self._vocabulary_size = weights.vocabulary.size
        self._memory = llama_cpp.llama_get_memory(self._handle)
        self._batch = llama_cpp.llama_batch_init(BATCH, 0, 1)
        self.held: list[int] = []

    def keep(self, count: int) -> int:
        """Forget all but the first `count` tokens; returns how many could really be kept.

        Recurrent and hybrid models cannot go back to an earlier state: they keep nothing.  What
        lies beyond is removed even if `held` knows of nothing there: an exception between a decode
        and its bookkeeping must not leave cells behind.
        """
        if not self._lib.llama_memory_seq_rm(self._memory, 0, count, -1):
            count = 0
        if count == 0:
            self._lib.llama_memory_clear(self._memory, True)
        del self.held[count:]
        return count

    def decode(self, tokens: Sequence[int]) -> None:
        """Append at most `BATCH` tokens; afterwards `logits` are those after the last one."""
        count, position = len(tokens), len(self.held)
        if not 0 < count <= BATCH or position + count > self.size:
            raise AssertionError(f"{count} tokens after {position} of {self.size}")
        batch = self._batch
        batch.n_tokens = count
        for row, token in enumerate(tokens):
            batch.token[row] = token
            batch.pos[row] = position + row
            batch.n_seq_id[row] = 1
            batch.seq_id[row][0] = 0
            batch.logits[row] = row == count - 1
        code = self._lib.llama_decode(self._handle, batch)
        if code != 0:
            self.keep(0)
            raise ModelError(f"llama_decode returned {code} at position {position}")
        self.held.extend(tokens)

    @property
    def logits(self) -> NDArray[np.float32]:
        """Logits after the last token, shape (vocabulary,); valid until the next decode."""
        pointer = self._lib.llama_get_logits_ith(self._handle, -1)
        return np.ctypeslib.as_array(pointer, shape=(self._vocabulary_size,))

    def close(self) -> None:
        """Free cache and buffers.  Idempotent."""
        if self._handle:
            self._lib.llama_batch_free(self._batch)
            self._lib.llama_free(self._handle)
            self._handle = None
