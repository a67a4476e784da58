"""The `ChatModel` adapter on llama.cpp in this process.

One context, one sequence: a request waits until the one before it is done, and then reads only
what its prompt does not share with the tokens that the cache still holds.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from agentkit.cancel import CancelToken
from agentkit.engine.context import BATCH, Context
from agentkit.engine.grammar import Grammars, Matcher
from agentkit.engine.sampling import Sampler
from agentkit.engine.template import ChatTemplate
from agentkit.engine.text import TextStream
from agentkit.engine.weights import Weights
from agentkit.errors import PromptTooLong
from agentkit.messages import ChatRequest, Completion, Delta, FinishReason, Message, Usage

ANSWER_RESERVE = 64
"""Tokens kept free for an answer when the request names no `max_tokens`."""


class LlamaChatModel:
    """A GGUF file that answers chat requests.

    `context_tokens` bounds prompt and answer together.  Raises `ModelDamaged` or `NotEnoughMemory`
    if the model cannot be loaded.
    """

    def __init__(
        self, path: Path, name: str, *, context_tokens: int, threads: int, gpu_layers: int = -1
    ) -> None:
        self.name = name
        self._weights = Weights(path, name, gpu_layers=gpu_layers)
        self._context = Context(self._weights, context_tokens=context_tokens, threads=threads)
        self._vocabulary = self._weights.vocabulary
        self._template = ChatTemplate(self._weights.chat_template, self._vocabulary)
        self._grammars = Grammars(self._vocabulary)
        self._lock = threading.Lock()

    @property
    def context_tokens(self) -> int:
        """How many tokens prompt and answer may have together."""
        return self._context.size

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """Length of the rendered prompt in tokens."""
        return len(self._template.tokens(messages))

    def stream(self, request: ChatRequest, cancel: CancelToken | None = None) -> Iterator[Delta]:
        """See `ports.ChatModel.stream`."""
        prompt = self._template.tokens(request.messages)
        budget = self._budget(len(prompt), request.max_tokens)
        matcher = self._grammars.matcher(request.json_schema) if request.json_schema else None
        sampler = Sampler(request.sampling, self._vocabulary.size)
        answer = _Answer(self, request, prompt, budget, matcher, sampler, cancel or CancelToken())
        with self._lock:
            try:
                yield from answer.deltas()
            finally:
                sampler.close()

    def close(self) -> None:
        """Free cache and weights."""
        with self._lock:
            self._context.close()
            self._weights.close()

    def _budget(self, prompt_tokens: int, max_tokens: int | None) -> int:
        """How many tokens the answer may have."""
        room = self._context.size - prompt_tokens
        reserved = ANSWER_RESERVE if max_tokens is None else max_tokens
        if room < reserved:
            raise PromptTooLong(
                prompt_tokens=prompt_tokens,
                reserved=reserved,
                context_tokens=self._context.size,
            )
        return room if max_tokens is None else max_tokens


class _Answer:
    """One request while it is worked on: what was read, what was written, what it cost."""

    def __init__(
        self,
        model: LlamaChatModel,
        request: ChatRequest,
        prompt: list[int],
        budget: int,
        matcher: Matcher | None,
        sampler: Sampler,
        cancel: CancelToken,
    ) -> None:
        self._model = model.name
        self._context = model._context
        self._vocabulary = model._vocabulary
        self._prompt = prompt
        self._budget = budget
        self._matcher = matcher
        self._sampler = sampler
        self._cancel = cancel
        self._text = TextStream(request.stop)
        self._shown: list[str] = []
        self._written = 0
        self._forced = 0
        self._decodes = 0
        self._cached = 0

    def deltas(self) -> Iterator[Delta]:
        """Read the prompt, then write token by token until something ends the answer."""
        began = time.perf_counter()
        pending = self._unread()
        pending += self._take_forced()
        reason = self._read(pending)
        prefilled = time.perf_counter()
        yield from self._show()
        while reason is None:
            token = self._draw()
            if token in self._vocabulary.end_of_generation:
                reason = "stop"
                break
            self._write([token])
            pending = [token, *self._take_forced()]
            yield from self._show()
            reason = self._ended() or self._read(pending)
        tail = self._text.finish()
        self._shown.append(tail)
        usage = Usage(
            prompt_tokens=len(self._prompt),
            cached_tokens=self._cached,
            completion_tokens=self._written,
            forced_tokens=self._forced,
            decode_calls=self._decodes,
            prefill_seconds=prefilled - began,
            decode_seconds=time.perf_counter() - prefilled,
        )
        if tail:
            yield Delta(text=tail)
        text = "".join(self._shown)
        yield Delta(completion=Completion(text, reason, usage, self._model))

    def _unread(self) -> list[int]:
        """What of the prompt the cache does not hold; at least its last token, for its logits."""
        shared, held = 0, self._context.held
        limit = min(len(self._prompt) - 1, len(held))
        while shared < limit and self._prompt[shared] == held[shared]:
            shared += 1
        self._cached = self._context.keep(shared)
        return self._prompt[self._cached :]

    def _read(self, tokens: list[int]) -> FinishReason | None:
        """Decode tokens, batch by batch; afterwards the logits are those of what comes next."""
        ended = self._ended()
        if ended:
            return ended
        for start in range(0, len(tokens), BATCH):
            if self._cancel.cancelled:
                return "cancelled"
            self._context.decode(tokens[start : start + BATCH])
            self._decodes += 1
        return None

    def _draw(self) -> int:
        allowed = self._matcher.allowed() if self._matcher else None
        token = self._sampler.draw(self._context.logits, allowed)
        if self._matcher and token not in self._vocabulary.end_of_generation:
            self._matcher.accept([token])
        return token

    def _take_forced(self) -> list[int]:
        """Tokens that the grammar dictates now, as far as the budget goes."""
        if self._matcher is None or self._matcher.finished:
            return []
        forced = self._matcher.forced()[: self._budget - self._written]
        self._forced += len(forced)
        self._write(forced)
        return forced

    def _write(self, tokens: list[int]) -> None:
        self._sampler.accept(tokens)
        self._written += len(tokens)
        for token in tokens:
            self._new += self._text.push(self._vocabulary.piece(token))

    _new = ""

    def _show(self) -> Iterator[Delta]:
        if self._new:
            self._shown.append(self._new)
            yield Delta(text=self._new)
            self._new = ""

    def _ended(self) -> FinishReason | None:
        if self._cancel.cancelled:
            return "cancelled"
        if self._text.stopped or (self._matcher and self._matcher.finished):
            return "stop"
        return "length" if self._written >= self._budget else None
