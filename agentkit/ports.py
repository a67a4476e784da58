"""What the core needs from the outside, as protocols.  Adapters hide one library each behind these.

The contract of each port is tested by one suite in `tests/contract/`, run on every adapter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from agentkit.cancel import CancelToken
from agentkit.messages import ChatRequest, Delta, Message, Score, ToolSchema
from agentkit.transcript import Transcript

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ModelRole = Literal["chat", "embed", "transcribe"]
"""What a model can be for; settings say which one does it."""

Progress = Callable[[float, float | None, str], None]
"""`progress(done, total, unit)`; `total` is None while the end is not known."""


def no_progress(done: float, total: float | None, unit: str) -> None:
    """For callers that do not want to know."""


class ChatModel(Protocol):
    """A language model that answers chat requests.  May be called from any thread."""

    @property
    def name(self) -> str:
        """The name under which settings and workflows know it."""

    @property
    def context_tokens(self) -> int:
        """How many tokens prompt and answer may have together."""

    def count_tokens(self, messages: Sequence[Message], tools: Sequence[ToolSchema] = ()) -> int:
        """Length of the rendered prompt in tokens."""

    def stream(self, request: ChatRequest, cancel: CancelToken | None = None) -> Iterator[Delta]:
        """Answer a request, piece by piece; the last delta of each sample carries its completion.

        A cancel ends the stream within one batch with a completion that says `cancelled`.
        Raises `PromptTooLong` before anything is computed, `UserError` for a schema or sampling
        parameter that cannot be honoured, `ModelBusy` if too many requests wait already,
        `ModelError` if the model fails.
        """

    def warm(self, messages: Sequence[Message], tools: Sequence[ToolSchema] = ()) -> None:
        """Read the beginning of prompts to come and keep it; nothing where that cannot be."""

    def close(self) -> None:
        """Give memory back.  Idempotent; the model cannot be used afterwards."""


class Scorer(Protocol):
    """A language model that tells how likely it finds a text.  May be called from any thread."""

    def score(self, prompt: Sequence[Message], continuation: str) -> Score:
        """The probability of an answer to a conversation, token by token."""

    def perplexity(self, text: str) -> float:
        """`exp` of the mean negative log probability of the tokens of a plain text."""


class Embedder(Protocol):
    """Turns texts into vectors.  May be called from any thread."""

    @property
    def name(self) -> str:
        """The name under which settings know the model."""

    @property
    def dimensions(self) -> int:
        """Length of the vectors."""

    def embed(self, texts: Sequence[str], cancel: CancelToken | None = None) -> NDArray[np.float32]:
        """Unit vectors, shape `(len(texts), dimensions)`.

        Raises `PromptTooLong` for a text that the model cannot read as a whole, `Cancelled`
        between two batches.
        """

    def close(self) -> None:
        """Give memory back.  Idempotent."""


class Transcriber(Protocol):
    """Turns recordings into words with times.  May be called from any thread."""

    @property
    def name(self) -> str:
        """The name under which settings know the model."""

    def transcribe(
        self,
        audio: Path,
        *,
        language: str | None = None,
        progress: Progress = no_progress,
        cancel: CancelToken | None = None,
    ) -> Transcript:
        """Write down what is said in a file.

        `language` is an ISO 639-1 code, None means: detect it.  Progress counts seconds of audio.
        A recording without speech gives a transcript without segments, not an error.
        Raises `BadAudio` for a file that cannot be decoded, `UserError` for a language that the
        model does not know, `Cancelled` within one window of audio.
        """

    def close(self) -> None:
        """Give memory back.  Idempotent."""


class ToolContext(Protocol):
    """What a tool may reach: handed in by the runtime, never imported by the tool."""

    @property
    def folder(self) -> Path:
        """The run's own folder; files written here are its artifacts."""

    @property
    def transcriber(self) -> Transcriber:
        """The model of the role `transcribe`, loaded when first asked for."""

    @property
    def cancel(self) -> CancelToken:
        """To be checked between pieces of long work."""

    def progress(self, done: float, total: float | None, unit: str) -> None:
        """Say how far the work is."""

    def warn(self, text: str) -> None:
        """Note something that a reader of the result should know."""

    def artifact(self, path: Path) -> None:
        """Record a file in `folder` as a result of the run."""
