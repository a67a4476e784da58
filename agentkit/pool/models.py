"""Models that are loaded when they are called, and again if they had to go in between.

Each keeps the interface of its port and takes a lease for each call, so that callers need not know
that there is a pool.  `close` unloads the model; it may be used again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from agentkit.cancel import CancelToken
from agentkit.errors import Cancelled
from agentkit.messages import ChatRequest, Completion, Delta, Message, Score, ToolSchema, Usage
from agentkit.pool.leases import Closable, Pool, Prepare
from agentkit.ports import (
    ChatModel,
    Embedder,
    Heard,
    Progress,
    Scorer,
    Transcriber,
    no_progress,
    nothing_heard,
)
from agentkit.transcript import Transcript

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

M = TypeVar("M", bound=Closable)


class LocalChatModel(ChatModel, Scorer, Protocol):
    """What the engine offers: a chat model whose probabilities can be read."""


class _Pooled(Generic[M]):
    """A name, and the way to have the model behind it for a while."""

    def __init__(self, pool: Pool, name: str, prepare: Prepare[M]) -> None:
        self._pool = pool
        self._name = name
        self._prepare = prepare

    @property
    def name(self) -> str:
        """The name under which settings and workflows know it."""
        return self._name

    def close(self) -> None:
        """Unload it, now or as soon as nobody uses it."""
        self._pool.drop(self._name)

    def _fact(self, key: str) -> Any:
        """Something that a loaded model knows of itself; loads it if need be."""
        model = self._pool.peek(self._name)
        if model is not None:
            return getattr(model, key)
        with self._pool.lease(self._name, self._prepare) as loaded:
            return getattr(loaded, key)


class PooledChat(_Pooled[LocalChatModel]):
    """A `ChatModel` and `Scorer`.  Its context may be another one after it was loaded again."""

    @property
    def context_tokens(self) -> int:
        """See `ports.ChatModel`."""
        tokens: int = self._fact("context_tokens")
        return tokens

    def count_tokens(self, messages: Sequence[Message], tools: Sequence[ToolSchema] = ()) -> int:
        """See `ports.ChatModel`."""
        with self._pool.lease(self._name, self._prepare) as model:
            return model.count_tokens(messages, tools)

    def stream(self, request: ChatRequest, cancel: CancelToken | None = None) -> Iterator[Delta]:
        """See `ports.ChatModel`.  The model is in use until the stream is read, closed, dropped."""
        try:
            answer = self._stream(request, cancel)
            next(answer)  # takes the lease, and lets the model say at once what is wrong
        except Cancelled:
            return self._nothing(request)
        return answer

    def warm(self, messages: Sequence[Message], tools: Sequence[ToolSchema] = ()) -> None:
        """See `ports.ChatModel`."""
        with self._pool.lease(self._name, self._prepare) as model:
            model.warm(messages, tools)

    def score(
        self, prompt: Sequence[Message], continuation: str, cancel: CancelToken | None = None
    ) -> Score:
        """See `ports.Scorer`."""
        with self._pool.lease(self._name, self._prepare, cancel) as model:
            return model.score(prompt, continuation, cancel)

    def read(self, tokens: Sequence[int], top: int = 0, cancel: CancelToken | None = None) -> Score:
        """See `ports.Scorer`."""
        with self._pool.lease(self._name, self._prepare, cancel) as model:
            return model.read(tokens, top, cancel)

    def perplexity(self, text: str) -> float:
        """See `ports.Scorer`."""
        with self._pool.lease(self._name, self._prepare) as model:
            return model.perplexity(text)

    def _stream(self, request: ChatRequest, cancel: CancelToken | None) -> Iterator[Delta]:
        with self._pool.lease(self._name, self._prepare, cancel) as model:
            deltas = model.stream(request, cancel)
            yield Delta()
            yield from deltas

    def _nothing(self, request: ChatRequest) -> Iterator[Delta]:
        """What a request gets that was cancelled while it waited for the model."""
        for sample in range(request.samples):
            yield Delta(sample=sample, completion=Completion("", "cancelled", Usage(), self._name))


class PooledTranscriber(_Pooled[Transcriber]):
    """A `Transcriber`."""

    def transcribe(
        self,
        audio: Path,
        *,
        language: str | None = None,
        progress: Progress = no_progress,
        heard: Heard = nothing_heard,
        cancel: CancelToken | None = None,
    ) -> Transcript:
        """See `ports.Transcriber`."""
        with self._pool.lease(self._name, self._prepare, cancel) as model:
            return model.transcribe(
                audio, language=language, progress=progress, heard=heard, cancel=cancel
            )


class PooledEmbedder(_Pooled[Embedder]):
    """An `Embedder`."""

    @property
    def dimensions(self) -> int:
        """See `ports.Embedder`."""
        length: int = self._fact("dimensions")
        return length

    def count_tokens(self, texts: Sequence[str]) -> int:
        """See `ports.Embedder`."""
        with self._pool.lease(self._name, self._prepare) as model:
            return model.count_tokens(texts)

    def text(self, tokens: Sequence[int]) -> str:
        """See `ports.Embedder`."""
        with self._pool.lease(self._name, self._prepare) as model:
            return model.text(tokens)

    def embed(self, texts: Sequence[str], cancel: CancelToken | None = None) -> NDArray[np.float32]:
        """See `ports.Embedder`."""
        with self._pool.lease(self._name, self._prepare, cancel) as model:
            return model.embed(texts, cancel)
