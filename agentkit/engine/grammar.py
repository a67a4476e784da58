"""JSON Schema as a mask over the next token, and the tokens it leaves no choice about.

llguidance does the work; this module fixes how the JSON is written.  Separators are `", "` and
`": "`, as `json.dumps` writes and as models were trained: forced into another style a small model
degenerates, and with fixed separators most tokens of an answer are forced.
"""

from __future__ import annotations

import ctypes
import json
import threading
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentkit.engine.vocabulary import Vocabulary
from agentkit.errors import ModelError, UserError

STYLE = {"item_separator": ", ", "key_separator": ": ", "whitespace_flexible": False}

CACHED_GRAMMARS = 64


class Grammars:
    """Compiles schemas for one vocabulary and keeps the latest ones.  Thread-safe."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._compiled: dict[str, Any] = {}
        self._compiling = threading.Lock()

    def matcher(self, schema: Mapping[str, Any]) -> Matcher:
        """A fresh matcher for a schema.  Raises `UserError` for what cannot be enforced."""
        try:
            text = json.dumps(schema)  # not sorted: properties come in the order of the answer
        except (TypeError, ValueError, RecursionError) as error:
            raise UserError(f"the schema is not valid: {error}") from None
        with self._compiling:
            compiled = self._compiled.pop(text, None)
            if compiled is None:
                compiled = self._compile(text)
            self._compiled[text] = compiled  # the last ones in the dict are the latest used
            if len(self._compiled) > CACHED_GRAMMARS:
                del self._compiled[next(iter(self._compiled))]
        return Matcher(compiled.deep_copy(), self._vocabulary.size)

    def _compile(self, schema: str) -> Any:
        from llguidance import LLMatcher

        try:
            grammar = LLMatcher.grammar_from_json_schema(schema, defaults=STYLE)
        except ValueError as error:
            raise UserError(f"the schema is not valid: {error}") from None
        compiled = LLMatcher(self._tokenizer, grammar)
        if compiled.is_error():
            reason = compiled.get_error().split("\n")[0]
            raise UserError(f"the schema cannot be enforced while decoding: {reason}")
        return compiled

    @cached_property
    def _tokenizer(self) -> Any:
        import llama_cpp
        from llguidance import LLTokenizer

        ends = self._vocabulary.end_of_generation - {self._vocabulary.eos}
        return LLTokenizer.from_llamacpp(
            tokens=self._vocabulary.all_pieces,
            vocab_ptr=self._vocabulary.handle,
            tokenize_fptr=ctypes.cast(
                llama_cpp.llama_cpp._lib.llama_tokenize, ctypes.c_void_p
            ).value,
            eos_token=[self._vocabulary.eos, *sorted(ends)],
        )


class Matcher:
    """The state of one answer.  `forced`, then `allowed`, then `accept`, until `finished`."""

    def __init__(self, matcher: Any, vocabulary_size: int) -> None:
        self._matcher = matcher
        self._vocabulary_size = vocabulary_size
        self._mask = np.full((vocabulary_size + 31) // 32, -1, dtype=np.int32)

    def forced(self) -> list[int]:
        """Take the tokens that the grammar leaves no choice about; maybe none."""
        tokens: list[int] = self._matcher.compute_ff_tokens()
        if tokens:
            self.accept(tokens)
        return tokens

    def allowed(self) -> NDArray[np.intp]:
        """Ids of the tokens that may come next, at least one."""
        self._matcher.unsafe_compute_mask_ptr(self._mask.ctypes.data, self._mask.nbytes)
        bits = np.unpackbits(self._mask.view(np.uint8), bitorder="little")
        ids = np.flatnonzero(bits[: self._vocabulary_size])
        if not len(ids):
            raise ModelError(f"the grammar lost its way: {self._matcher.get_error()}")
        return ids

    def accept(self, tokens: list[int]) -> None:
        """Go on with tokens that were `allowed`."""
        if not self._matcher.consume_tokens(tokens):
            raise ModelError(f"the grammar lost its way: {self._matcher.get_error()}")

    @property
    def finished(self) -> bool:
        """Whether the value is complete and nothing may follow."""
        return bool(self._matcher.is_stopped())
