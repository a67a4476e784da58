"""The `Embedder` adapter on llama.cpp: a GGUF file that turns texts into vectors.

It has a context of its own, which computes vectors instead of logits.  Several texts go into one
batch, each as a sequence of its own.  A batch is computed as a whole, because a token of a
bidirectional model (BERT and its kin) also sees the tokens after it, and because a mean needs all
tokens of its text: the context is as large as the longest text that may come.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from agentkit.cancel import CancelToken
from agentkit.compute import Compute
from agentkit.engine.weights import Weights
from agentkit.errors import ModelError, NotEnoughMemory, PromptTooLong, UserError

if TYPE_CHECKING:
    from numpy.typing import NDArray

CONTEXT_TOKENS = 2048
"""The longest text, unless the model was trained for less."""

TEXTS = 64
"""At most so many texts in a batch, of which the tokens have to be a multiple of this number."""


class LlamaEmbedder:
    """May be called from any thread; texts of several callers take turns, a batch each.

    `context_tokens` bounds each text, and what the model was trained for does.  How the vectors of
    the tokens become one (mean, first, last) is what the file says; where it says nothing, such as
    with a chat model, it is their mean.

    Raises `ModelDamaged` or `NotEnoughMemory` if the model cannot be loaded, `UserError` for a
    model that ranks texts instead.
    """

    def __init__(
        self,
        path: Path,
        name: str,
        *,
        threads: int,
        context_tokens: int = CONTEXT_TOKENS,
        gpu_layers: int = -1,
        compute: Compute | None = None,
    ) -> None:
        import llama_cpp

        self._lib = llama_cpp
        self._name = name
        self._compute = compute or Compute()
        self._guard = threading.Lock()
        self._handle: Any = None
        self._weights = Weights(path, name, gpu_layers=gpu_layers)
        try:
            model = self._weights.handle
            trained = llama_cpp.llama_model_n_ctx_train(model)
            self.context_tokens = min(context_tokens, trained) if trained > 0 else context_tokens
            self._batch_tokens = -(-self.context_tokens // TEXTS) * TEXTS
            self._dimensions: int = llama_cpp.llama_model_n_embd_out(model)
            self._handle = self._context(threads)
        except BaseException:
            self._weights.close()
            raise
        self._batch = llama_cpp.llama_batch_init(self._batch_tokens, 0, 1)

    @property
    def name(self) -> str:
        """The name under which settings know the model."""
        return self._name

    @property
    def dimensions(self) -> int:
        """Length of the vectors."""
        return self._dimensions

    def embed(self, texts: Sequence[str], cancel: CancelToken | None = None) -> NDArray[np.float32]:
        """See `ports.Embedder.embed`.  All texts are measured before the first is computed."""
        cancel = cancel or CancelToken()
        with self._guard:
            self._check_open()
            tokens = [self._tokens(text) for text in texts]
        for one in tokens:
            if len(one) > self.context_tokens:
                raise PromptTooLong(
                    prompt_tokens=len(one), reserved=0, context_tokens=self.context_tokens
                )
        vectors = np.empty((len(texts), self.dimensions), np.float32)
        for first, batch in _batches(tokens, self._batch_tokens):
            cancel.check()
            with self._guard, self._compute.turn():
                self._check_open()
                vectors[first : first + len(batch)] = self._vectors(batch)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors /= np.maximum(lengths, np.finfo(np.float32).tiny)
        return vectors

    def count_tokens(self, texts: Sequence[str]) -> int:
        """See `ports.Embedder.count_tokens`."""
        with self._guard:
            self._check_open()
            return sum(len(self._tokens(text)) for text in texts)

    def text(self, tokens: Sequence[int]) -> str:
        """See `ports.Embedder.text`."""
        with self._guard:
            self._check_open()
            return self._weights.vocabulary.said(tokens)

    def close(self) -> None:
        """Give memory back, after the batch that is being computed.  Idempotent."""
        with self._guard:
            if self._handle:
                self._lib.llama_batch_free(self._batch)
                self._lib.llama_free(self._handle)
                self._handle = None
                self._weights.close()

    # -- llama.cpp -------------------------------------------------------------------------------

    def _context(self, threads: int) -> Any:
        """A context with the pooling of the file, or with the mean."""
        lib = self._lib
        params = lib.llama_context_default_params()
        params.embeddings = True
        params.n_ctx = params.n_batch = params.n_ubatch = self._batch_tokens
        params.n_seq_max = TEXTS
        params.kv_unified = True
        params.n_threads = params.n_threads_batch = threads
        handle = self._opened(params)
        if lib.llama_pooling_type(handle) == lib.LLAMA_POOLING_TYPE_NONE:
            lib.llama_free(handle)
            params.pooling_type = lib.LLAMA_POOLING_TYPE_MEAN
            handle = self._opened(params)
        if lib.llama_pooling_type(handle) == lib.LLAMA_POOLING_TYPE_RANK:
            lib.llama_free(handle)
            raise UserError(
                f"{self._name} ranks texts by a question and makes no vectors of them",
                hint="choose another model for the role embed: agentkit models list",
            )
        return handle

    def _opened(self, params: Any) -> Any:
        handle = self._lib.llama_init_from_model(self._weights.handle, params)
        if not handle:
            raise NotEnoughMemory(
                f"no memory for texts of {self.context_tokens} tokens in {self._name!r}",
                hint="lower engine.context_tokens in settings, or choose a smaller model",
            )
        return handle

    def _tokens(self, text: str) -> list[int]:
        """With the marks around a text that the model was trained with; never empty."""
        lib, vocabulary = self._lib, self._weights.vocabulary
        raw = text.encode("utf-8", "replace")
        room = len(raw) + 8
        buffer = (lib.llama_token * room)()
        count = lib.llama_tokenize(vocabulary.handle, raw, len(raw), buffer, room, True, False)
        if count < 0:
            raise ModelError(f"the tokenizer wants {-count} tokens for {len(raw)} bytes of text")
        return buffer[:count] or [vocabulary.bos if vocabulary.bos >= 0 else vocabulary.eos]

    def _vectors(self, texts: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """Shape `(len(texts), dimensions)`, of any length."""
        lib, batch = self._lib, self._batch
        row = 0
        for sequence, tokens in enumerate(texts):
            for position, token in enumerate(tokens):
                batch.token[row] = token
                batch.pos[row] = position
                batch.n_seq_id[row] = 1
                batch.seq_id[row][0] = sequence
                batch.logits[row] = True
                row += 1
        batch.n_tokens = row
        memory = lib.llama_get_memory(self._handle)
        if memory:
            lib.llama_memory_clear(memory, True)
            code = lib.llama_decode(self._handle, batch)
        else:  # bidirectional
            code = lib.llama_encode(self._handle, batch)
        if code != 0:
            raise ModelError(f"llama.cpp gave up on {len(texts)} texts with code {code}")
        pointers = (
            lib.llama_get_embeddings_seq(self._handle, sequence) for sequence in range(len(texts))
        )
        return np.stack([np.ctypeslib.as_array(one, (self.dimensions,)) for one in pointers])

    def _check_open(self) -> None:
        if not self._handle:
            raise ModelError(f"the model {self._name!r} was closed")


def _batches(
    texts: Sequence[Sequence[int]], most_tokens: int
) -> Iterator[tuple[int, Sequence[Sequence[int]]]]:
    """Texts in order, as many at a time as fit; with the number of the first."""
    first = tokens = 0
    for index, text in enumerate(texts):
        if index - first == TEXTS or tokens + len(text) > most_tokens:
            yield first, texts[first:index]
            first, tokens = index, 0
        tokens += len(text)
    if first < len(texts):
        yield first, texts[first:]
