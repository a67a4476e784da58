"""The tokens of a model without its weights: read in a fraction of a second."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from agentkit.engine.template import ChatTemplate
from agentkit.engine.weights import Weights
from agentkit.messages import Message, ToolSchema


class LlamaTokenizer:
    """That of a GGUF file.  May be called from any thread.

    Raises `ModelDamaged` if the file cannot be read.
    """

    def __init__(self, path: Path, name: str) -> None:
        self._weights = Weights(path, name, gpu_layers=0, only_vocabulary=True)

    def beginning(self, text: str, count: int) -> str:
        """The beginning of a text that has at most `count` tokens; all of it if it has no more."""
        return self._weights.vocabulary.beginning(text, count)

    def tokens(self, text: str, *, alone: bool = True) -> list[int]:
        """See `ports.Tokenizer`."""
        vocabulary = self._weights.vocabulary
        return vocabulary.begun(text) if alone else vocabulary.tokenize(text, special=True)

    def infill(self, before: str | Sequence[int], after: str) -> list[int]:
        """See `ports.Tokenizer`."""
        return self._weights.vocabulary.infill(before, after)

    def prompt(self, messages: Sequence[Message], tools: Sequence[ToolSchema] = ()) -> list[int]:
        """See `ports.Tokenizer`."""
        return self._template.render(messages, tools).tokens

    def text(self, tokens: Sequence[int]) -> str:
        """See `ports.Tokenizer`."""
        return self._weights.vocabulary.written(tokens)

    @cached_property
    def _template(self) -> ChatTemplate:
        return ChatTemplate(self._weights.chat_template, self._weights.vocabulary)

    def close(self) -> None:
        """Give the memory back.  Idempotent."""
        self._weights.close()
