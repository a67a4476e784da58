"""Constraints as a mask over the next token, and the tokens they leave no choice about.

llguidance does the work; this module fixes how JSON is written.  Separators are `", "` and `": "`,
as `json.dumps` writes and as models were trained: forced into another style a small model
degenerates, and with fixed separators most tokens of an answer are forced.
"""

from __future__ import annotations

import ctypes
import json
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentkit.engine.vocabulary import Vocabulary
from agentkit.errors import ModelError, UserError
from agentkit.messages import Choices, Constraint, JsonSchema, Lark, Regex

STYLE = {"item_separator": ", ", "key_separator": ": ", "whitespace_flexible": False}

CACHED_GRAMMARS = 64


@dataclass(frozen=True, slots=True)
class _Compiled:
    start: Any
    unenforced: tuple[str, ...] = ()


class Grammars:
    """Compiles constraints for one vocabulary and keeps the latest ones.  Thread-safe."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._compiled: dict[tuple[str, str], _Compiled] = {}
        self._compiling = threading.Lock()

    def warm(self) -> None:
        """Do what the first constraint would have to wait for: up to a second or two."""
        with self._compiling:
            _ = self._tokenizer

    def matcher(self, constraint: Constraint | Mapping[str, Any]) -> Matcher:
        """A fresh matcher.  Raises `UserError` for what is not valid or cannot be enforced."""
        if isinstance(constraint, Mapping):
            constraint = JsonSchema(constraint)
        key = (type(constraint).__name__, _text(constraint))
        with self._compiling:
            compiled = self._compiled.pop(key, None)
            if compiled is None:
                compiled = self._compile(constraint, key[1])
            self._compiled[key] = compiled  # the last ones in the dict are the latest used
            if len(self._compiled) > CACHED_GRAMMARS:
                del self._compiled[next(iter(self._compiled))]
        return Matcher(compiled.start.deep_copy(), self._vocabulary.size, compiled.unenforced)

    def _compile(self, constraint: Constraint, text: str) -> _Compiled:
        from llguidance import LLMatcher

        match constraint:
            case JsonSchema():
                return self._compile_schema(text)
            case Regex():
                return _Compiled(self._start(LLMatcher.grammar_from_regex(text), "regex"))
            case Choices(options):
                lark = "start: " + " | ".join(json.dumps(option) for option in options)
                return _Compiled(self._start(LLMatcher.grammar_from_lark(lark), "choices"))
            case Lark():
                return _Compiled(self._start(LLMatcher.grammar_from_lark(text), "grammar"))

    def _compile_schema(self, schema: str) -> _Compiled:
        from llguidance import LLMatcher

        try:
            strict = LLMatcher.grammar_from_json_schema(schema, defaults=STYLE)
            lenient = LLMatcher.grammar_from_json_schema(
                schema, defaults=STYLE, overrides={"lenient": True}
            )
        except ValueError as error:
            raise UserError(f"the schema is not valid: {error}") from None
        try:
            return _Compiled(self._start(strict, "schema"))
        except UserError:
            start = self._start(lenient, "schema")
            return _Compiled(start, tuple(start.get_grammar_warnings()))

    def _start(self, grammar: str, what: str) -> Any:
        from llguidance import LLMatcher

        start = LLMatcher(self._tokenizer, grammar)
        if start.is_error():
            reason = _in_one_line(start.get_error())
            raise UserError(f"the {what} cannot be enforced while decoding: {reason}")
        return start

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


def _text(constraint: Constraint) -> str:
    """What a constraint says, as text.  Raises `UserError` for what is no constraint."""
    match constraint:
        case JsonSchema(schema):
            try:
                return json.dumps(schema)  # not sorted: properties come in the order of the answer
            except (TypeError, ValueError, RecursionError) as error:
                raise UserError(f"the schema is not valid: {error}") from None
        case Regex(pattern):
            return pattern
        case Choices(options):
            if not options:
                raise UserError("there are no choices to choose from")
            return json.dumps(options)
        case Lark(grammar):
            return grammar


def _in_one_line(error: str) -> str:
    """llguidance's words without the drawings: the verdict on a regular expression stands below."""
    first, *rest = error.split("\n")
    verdict = next((line[7:] for line in rest if line.startswith("error: ")), None)
    return f"{first.removesuffix(': regex parse error:')}: {verdict}" if verdict else first


def check_answer(constraint: Constraint, text: str) -> None:
    """Raise `ModelError` for a finished answer that does not fit, and say where and why."""


class Matcher:
    """The state of one answer.  `forced`, then `allowed`, then `accept`, until `finished`.

    `unenforced` names what the grammar does not keep to: only `check_answer` can tell.
    """

    def __init__(
        self, matcher: Any, vocabulary_size: int, unenforced: tuple[str, ...] = ()
    ) -> None:
        self.unenforced = unenforced
        self._matcher = matcher
        self._size = vocabulary_size
        self._mask = np.zeros((vocabulary_size + 31) // 32, dtype=np.uint32)
        self._computed = False

    def forced(self) -> list[int]:
        """Take the tokens that the grammar leaves no choice about; maybe none."""
        tokens: list[int] = self._matcher.compute_ff_tokens()
        if tokens:
            self.accept(tokens)
        return tokens

    def compute_mask(self) -> None:
        """Find out which tokens may come next, unless that is known.

        Other threads may run meanwhile, but must not use this matcher.
        """
        if not self._computed:
            self._matcher.unsafe_compute_mask_ptr(self._mask.ctypes.data, self._mask.nbytes)
            self._computed = True

    def permits(self, token: int) -> bool:
        """Whether a token may come next."""
        self.compute_mask()
        return bool(self._mask[token >> 5] >> np.uint32(token & 31) & 1)

    def allowed(self) -> NDArray[np.intp]:
        """Ids of the tokens that may come next, in ascending order, at least one."""
        self.compute_mask()
        words = np.flatnonzero(self._mask)
        bits = np.unpackbits(self._mask[words].view(np.uint8), bitorder="little")
        places = np.flatnonzero(bits.view(bool))
        ids: NDArray[np.intp] = words[places >> 5] * 32 + (places & 31)
        if not len(ids):
            raise ModelError(f"the grammar lost its way: {self._matcher.get_error()}")
        return ids

    def accept(self, tokens: list[int]) -> None:
        """Go on with tokens that were `allowed`."""
        self._computed = False
        if not self._matcher.consume_tokens(tokens):
            raise ModelError(f"the grammar lost its way: {self._matcher.get_error()}")

    @property
    def finished(self) -> bool:
        """Whether the text is complete and nothing may follow."""
        return bool(self._matcher.is_stopped())


class MaskWorker:
    """Computes masks in a thread of its own, while the model decodes."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="masks")
        self._running: Future[None] | None = None

    def start(self, matchers: Sequence[Matcher]) -> None:
        """Begin with the masks of these matchers; nobody may use them before `wait`."""

        def compute() -> None:
            for matcher in matchers:
                matcher.compute_mask()

        self.wait()
        if matchers:
            self._running = self._thread.submit(compute)

    def wait(self) -> None:
        """Until the masks are there."""
        if self._running:
            self._running.result()
            self._running = None

    def close(self) -> None:
        """End the thread.  Idempotent."""
        self._thread.shutdown()
