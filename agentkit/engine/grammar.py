"""Constraints as a mask over the next token, and the tokens they leave no choice about.

llguidance does the work; this module fixes how JSON is written.  Separators are `", "` and `": "`,
as `json.dumps` writes and as models were trained: forced into another style a small model
degenerates, and with fixed separators most tokens of an answer are forced.
"""

from __future__ import annotations

import ctypes
import json
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentkit.engine.conformance import check_schema, enforceable, in_one_line, unenforced
from agentkit.engine.vocabulary import Vocabulary
from agentkit.errors import ModelError, UserError
from agentkit.messages import Choices, Constraint, JsonSchema, Lark, Regex

STYLE = {"item_separator": ", ", "key_separator": ": ", "whitespace_flexible": False}

ASCII_CLASSES = "dws"
r"""`\d`, `\w` and `\s` mean ASCII characters only: whoever wants `\d{4}` wants no Tamil digits."""

CACHED_GRAMMARS = 64

SPARSE = 4
"""Under one in so many 32-bit words of the mask, a list of the allowed ids is the cheaper form."""

_TOKENIZE = ctypes.CFUNCTYPE(
    ctypes.c_int32,
    *(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int32),  # the vocabulary; the text; its length
    *(ctypes.c_void_p, ctypes.c_int32),  # the tokens; how many there is room for
    *(ctypes.c_bool, ctypes.c_bool),  # whether to add bos; whether markers are control tokens
)
"""The type of `llama_tokenize`."""


class Grammars:
    """Compiles constraints for one vocabulary and keeps the latest ones.  Thread-safe.

    The vocabulary must stay loaded as long as there are matchers.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._compiled: dict[tuple[str, str], _Compiled] = {}
        self._compiling = threading.Lock()

    def warm(self) -> None:
        """Do what the first constraint would have to wait for: up to a second or two."""
        with self._compiling:
            _ = self._tokenizer

    def matcher(self, constraint: Constraint) -> Matcher:
        """A fresh matcher.

        Raises `UserError` for a constraint that is not valid, or of which llguidance can make no
        grammar even without the keywords that it lacks.
        """
        key = (type(constraint).__name__, _text(constraint))
        with self._compiling:
            compiled = self._compiled.pop(key, None)
            if compiled is None:
                compiled = self._compile(constraint, key[1])
            self._compiled[key] = compiled  # the last ones in the dict are the latest used
            if len(self._compiled) > CACHED_GRAMMARS:
                del self._compiled[next(iter(self._compiled))]
        return Matcher(compiled, self._vocabulary.ids)

    def _compile(self, constraint: Constraint, text: str) -> _Compiled:
        from llguidance import LLMatcher, regex_to_lark

        match constraint:
            case JsonSchema():
                return self._compile_schema(text)
            case Regex():
                pattern = regex_to_lark(text, ASCII_CLASSES)
                return self._start("regular expression", LLMatcher.grammar_from_regex(pattern))
            case Choices(options):
                lark = "start: " + " | ".join(json.dumps(option) for option in options)
                return self._start("list of choices", LLMatcher.grammar_from_lark(lark))
            case Lark():
                return self._start("grammar", LLMatcher.grammar_from_lark(text))

    def _compile_schema(self, schema: str) -> _Compiled:
        from llguidance import LLMatcher

        check_schema(schema)
        options = {**STYLE, "lenient": True}
        try:
            grammar = LLMatcher.grammar_from_json_schema(enforceable(schema), overrides=options)
        except ValueError as error:
            raise UserError(f"the schema is not valid: {error}") from None
        compiled = self._start("schema", grammar)
        return replace(compiled, unenforced=unenforced(schema, compiled.unenforced))

    def _start(self, kind: str, grammar: str) -> _Compiled:
        from llguidance import LLMatcher

        start = LLMatcher(self._tokenizer, grammar, log_level=0)
        if start.is_error():
            reason = in_one_line(start.get_error())
            raise UserError(f"the {kind} cannot be enforced while decoding: {reason}")
        return _Compiled(start, tuple(start.get_grammar_warnings()), self._tokenize)

    @cached_property
    def _tokenizer(self) -> Any:
        from llguidance import LLTokenizer

        ends = self._vocabulary.end_of_generation - {self._vocabulary.eos}
        return LLTokenizer.from_llamacpp(
            tokens=self._vocabulary.all_pieces,
            vocab_ptr=self._vocabulary.handle,
            tokenize_fptr=ctypes.cast(self._tokenize, ctypes.c_void_p).value,
            eos_token=[self._vocabulary.eos, *sorted(ends)],
        )

    @cached_property
    def _tokenize(self) -> Any:
        """What llguidance asks for the tokens of a text that a grammar dictates.

        Not llama.cpp itself, which would give the real token for the text of Qwen's `<tool_call>`.
        Whoever holds a matcher must hold this, too: C has a pointer to it.
        """
        vocabulary = self._vocabulary

        def tokenize(
            _: int, text: int, length: int, into: int, room: int, _bos: bool, special: bool
        ) -> int:
            raw = ctypes.string_at(text, length)
            tokens = vocabulary.tokenize(raw.decode("utf-8", "replace"), special=special)
            if len(tokens) > room:
                return -len(tokens)
            ctypes.memmove(into, (ctypes.c_int32 * len(tokens))(*tokens), 4 * len(tokens))
            return len(tokens)

        return _TOKENIZE(tokenize)


@dataclass(frozen=True, slots=True)
class _Compiled:
    """A grammar at its start.  `tokenize` is held for the sake of C."""

    start: Any
    unenforced: tuple[str, ...]
    tokenize: Any


def _text(constraint: Constraint) -> str:
    """What a constraint says.  Raises `UserError` for nothing to choose from, or no JSON."""
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
                raise UserError("the list of choices is empty")
            return json.dumps(options)
        case Lark(grammar):
            return grammar


class Matcher:
    """The state of one answer.  `forced`, then `accept` what is `allowed`, until `finished`.

    `unenforced` names what the grammar does not keep to: only `check_answer` can tell.  Raises
    `ModelError` if llguidance gives up, as it does on grammars that are too ambiguous.
    """

    def __init__(self, compiled: _Compiled, ids: NDArray[np.intp]) -> None:
        self.unenforced = compiled.unenforced
        self._compiled = compiled
        self._ids = ids
        self._matcher = compiled.start.deep_copy()
        self._mask = np.zeros((len(ids) + 31) // 32, dtype=np.uint32)
        self._address = self._mask.ctypes.data
        self._computed = False

    def forced(self) -> list[int]:
        """Take the tokens that the grammar leaves no choice about; maybe none."""
        tokens: list[int] = self._matcher.compute_ff_tokens()
        if tokens:
            self.accept(tokens)
        return tokens

    def compute_mask(self) -> None:
        """Find out which tokens may come next, unless that is known.

        Other threads run meanwhile, but none may use this matcher.  Never raises.
        """
        if not self._computed:
            self._matcher.unsafe_compute_mask_ptr(self._address, self._mask.nbytes)
            self._computed = True

    def permits(self, token: int) -> bool:
        """Whether a token may come next."""
        self._need_mask()
        return bool(self._mask[token >> 5] >> np.uint32(token & 31) & 1)

    def allowed(self) -> NDArray[np.intp]:
        """Ids of the tokens that may come next, in ascending order, at least one."""
        self._need_mask()
        words = np.flatnonzero(self._mask)
        bits = np.unpackbits(self._mask[words].view(np.uint8), bitorder="little")
        places = np.flatnonzero(bits.view(bool))
        ids: NDArray[np.intp] = words[places >> 5] * 32 + (places & 31)
        return ids

    def candidates(
        self, logits: NDArray[np.float32]
    ) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
        """Ids of tokens, all that may come next among them, and their logits.

        Where few are allowed, those; else all, with -inf for what is not allowed.
        """
        self._need_mask()
        if np.count_nonzero(self._mask) * SPARSE < len(self._mask):
            ids = self.allowed()
            return ids, logits[ids]
        bits = np.unpackbits(self._mask.view(np.uint8), bitorder="little", count=len(logits))
        return self._ids, np.where(bits.view(bool), logits, np.float32(-np.inf))

    def accept(self, tokens: Sequence[int]) -> None:
        """Go on with tokens that were `allowed`.  Raises `ModelError` if they were not."""
        self._computed = False
        if not self._matcher.consume_tokens(tokens):
            raise self._lost()

    @property
    def finished(self) -> bool:
        """Whether the text is complete and nothing may follow."""
        if not self._matcher.is_stopped():
            return False
        if self._matcher.is_error():
            raise self._lost()
        return True

    def _need_mask(self) -> None:
        self.compute_mask()
        if self._matcher.is_error():
            raise self._lost()

    def _lost(self) -> ModelError:
        return ModelError(f"the grammar lost its way: {in_one_line(self._matcher.get_error())}")


class MaskWorker:
    """Computes masks in a thread of its own, while the model decodes."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="masks")
        self._running: Future[None] | None = None

    def start(self, matchers: Sequence[Matcher]) -> None:
        """Begin with the masks of these matchers; nobody may use them before `wait`."""
        self.wait()
        if matchers:
            self._running = self._thread.submit(_compute_masks, matchers)

    def wait(self) -> None:
        """Return when the masks are there."""
        if self._running:
            self._running.result()
            self._running = None

    def close(self) -> None:
        """End the thread.  Idempotent."""
        self._thread.shutdown()


def _compute_masks(matchers: Sequence[Matcher]) -> None:
    for matcher in matchers:
        matcher.compute_mask()
