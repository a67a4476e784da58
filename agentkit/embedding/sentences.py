"""The `Embedder` adapter on sentence-transformers: a folder that turns texts into vectors.

All texts are measured before the first is computed, since the library would cut off what is too
long without a word.  Nothing is looked for outside the folder: no hub, no code that came with it.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from agentkit.cancel import CancelToken
from agentkit.compute import Compute
from agentkit.embedding.bert import Bert
from agentkit.embedding.folder import Folder
from agentkit.errors import MachineError, ModelDamaged, ModelError, NotEnoughMemory, PromptTooLong

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from tokenizers import Encoding

BATCH = {"cpu": 32, "cuda": 256}
"""Texts between two looks at the cancel token."""

FEW_TOKENS = 64
"""So many in all texts together are computed without torch: that is faster in any case."""

Device = Literal["auto", "cpu", "cuda"]


class SentenceTransformersEmbedder:
    """May be called from any thread; texts of several callers take turns, a batch each.

    Raises `ModelDamaged` for a folder that cannot be read; what torch finds wrong with the weights
    is told when it first loads them.
    """

    def __init__(
        self,
        path: Path,
        name: str,
        *,
        threads: int | None = None,
        device: Device = "auto",
        compute: Compute | None = None,
    ) -> None:
        self._folder = Folder(path, name)
        self._name = name
        self._threads = threads
        self._device: Device = device
        self._compute = compute or Compute()
        self._guard = threading.Lock()
        self._closed = False
        self._model: Any = None
        self.context_tokens = self._folder.longest
        self._dimensions = self._folder.dimensions
        self._quick = Bert.of(self._folder)
        self._folder.encode([""])  # a broken tokenizer is told now

    @property
    def name(self) -> str:
        """The name under which settings know the model."""
        return self._name

    @property
    def dimensions(self) -> int:
        """Length of the vectors."""
        return self._dimensions

    def embed(self, texts: Sequence[str], cancel: CancelToken | None = None) -> NDArray[np.float32]:
        """See `ports.Embedder.embed`."""
        cancel = cancel or CancelToken()
        tokens = self._folder.encode(list(texts))
        for one in tokens:
            if len(one) > self.context_tokens:
                raise PromptTooLong(
                    prompt_tokens=len(one), reserved=0, context_tokens=self.context_tokens
                )
        vectors = np.empty((len(texts), self.dimensions), np.float32)
        size = BATCH["cuda" if self._on_gpu else "cpu"]
        by_length = sorted(range(len(texts)), key=lambda at: len(tokens[at]))  # little padding
        for first in range(0, len(texts), size):
            cancel.check()
            batch = by_length[first : first + size]
            with self._guard, self._compute.turn():
                self._check_open()
                vectors[batch] = self._computed([texts[at] for at in batch],
                                                [tokens[at] for at in batch])  # fmt: skip
        return vectors

    def count_tokens(self, texts: Sequence[str]) -> int:
        """See `ports.Embedder.count_tokens`."""
        return sum(map(len, self._folder.encode(list(texts))))

    def text(self, tokens: Sequence[int]) -> str:
        """See `ports.Embedder.text`."""
        return self._folder.decode(tokens)

    def close(self) -> None:
        """Give memory back, after the batch that is being computed.  Idempotent."""
        with self._guard:
            self._closed = True
            self._model = self._quick = None

    @property
    def _on_gpu(self) -> bool:
        return self._model is not None and self._model.device.type == "cuda"

    def _computed(self, texts: list[str], tokens: list[Encoding]) -> NDArray[np.float32]:
        if self._quick and sum(map(len, tokens)) <= FEW_TOKENS:
            return self._quick.embed(tokens)
        if self._model is None:
            self._model = _load(self._folder, self._device)
        if self._threads:
            import torch

            torch.set_num_threads(self._threads)
        plain = [text.encode("utf-8", "replace").decode() for text in texts]
        vectors: NDArray[np.float32] = self._model.encode(
            plain, batch_size=len(plain), normalize_embeddings=True, show_progress_bar=False
        )
        return vectors

    def _check_open(self) -> None:
        if self._closed:
            raise ModelError(f"the model {self._name!r} was closed")


def _load(folder: Folder, device: Device) -> Any:
    try:
        import torch
        from sentence_transformers import SentenceTransformer
        from transformers.utils import logging
    except ImportError as error:
        raise MachineError(
            f"{folder.name} needs sentence-transformers, which cannot be imported: {error}",
            hint="pip install sentence-transformers, or use a GGUF file: agentkit models add "
            "FILE.gguf --role embed",
        ) from None
    logging.disable_progress_bar()
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return SentenceTransformer(
            str(folder.path), device=device, local_files_only=True, trust_remote_code=False
        )
    except (MemoryError, torch.OutOfMemoryError):
        raise NotEnoughMemory(
            f"{folder.name} does not fit into memory",
            hint="close other programs, or choose a smaller model: agentkit models list",
        ) from None
    except Exception as error:  # torch, safetensors and transformers raise what they like
        raise ModelDamaged(folder.name, f"cannot be loaded: {error}") from error
