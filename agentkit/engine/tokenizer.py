"""The tokens of a model without its weights: read in a fraction of a second."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

from agentkit.engine.template import ChatTemplate
from agentkit.engine.vocabulary import Vocabulary
from agentkit.engine.weights import Weights
from agentkit.errors import ModelError
from agentkit.messages import Message, ToolSchema


class LlamaTokenizer:
    """That of a GGUF file.  May be called from any thread; callers take turns.

    Raises `ModelDamaged` if the file cannot be read, and `ModelError` once it is closed.
    """

    def __init__(self, path: Path, name: str) -> None:
        self._name = name
        self._guard = threading.Lock()
        self._closed = False
        self._weights = Weights(path, name, gpu_layers=0, only_vocabulary=True)

    def beginning(self, text: str, count: int) -> str:
        """The beginning of a text that has at most `count` tokens; all of it if it has no more."""
        with self._vocabulary() as vocabulary:
            return vocabulary.beginning(text, count)

    def tokens(self, text: str, *, alone: bool = True) -> list[int]:
        """See `ports.Tokenizer`."""
        with self._vocabulary() as vocabulary:
            return vocabulary.begun(text) if alone else vocabulary.tokenize(text, special=True)

    def infill(self, before: str | Sequence[int], after: str) -> list[int]:
        """See `ports.Tokenizer`."""
        with self._vocabulary() as vocabulary:
            return vocabulary.infill(before, after)

    def prompt(self, messages: Sequence[Message], tools: Sequence[ToolSchema] = ()) -> list[int]:
        """See `ports.Tokenizer`."""
        with self._vocabulary():
            return self._template.render(messages, tools).tokens

    def text(self, tokens: Sequence[int]) -> str:
        """See `ports.Tokenizer`."""
        with self._vocabulary() as vocabulary:
            return vocabulary.written(tokens)

    @contextmanager
    def _vocabulary(self) -> Iterator[Vocabulary]:
        """It, for one caller at a time; it is not freed meanwhile."""
        with self._guard:
            if self._closed:
                raise ModelError(f"the model {self._name!r} was closed")
            yield self._weights.vocabulary

    @cached_property
    def _template(self) -> ChatTemplate:
        return ChatTemplate(self._weights.chat_template, self._weights.vocabulary)

    def close(self) -> None:
        """Give the memory back, after the call that is under way.  Idempotent."""
        self._closed = True  # before the guard, so that one who calls again and again lets go
        with self._guard:
            self._weights.close()
