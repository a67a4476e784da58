"""The `ChatModel` adapter on llama.cpp in this process.

One context, one sequence: a request waits until the one before it is done, and then reads only
what its prompt does not share with the tokens that the cache still holds.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from agentkit.cancel import CancelToken
from agentkit.engine.answer import Answer
from agentkit.engine.context import Context
from agentkit.engine.grammar import Grammars, Matcher
from agentkit.engine.sampling import Sampler, check
from agentkit.engine.template import ChatTemplate
from agentkit.engine.weights import Weights
from agentkit.errors import ModelError, PromptTooLong, UserError
from agentkit.messages import ChatRequest, Delta, JsonSchema, Message, ToolSchema

ANSWER_RESERVE = 64
"""Tokens kept free for an answer when the request names no `max_tokens`."""

WAIT_SECONDS = 0.05
"""How often a request that waits for its turn looks whether it was cancelled."""


class LlamaChatModel:
    """A GGUF file that answers chat requests.

    `context_tokens` bounds prompt and answer together.  Raises `ModelDamaged` or `NotEnoughMemory`
    if the model cannot be loaded.

    A stream that has begun has its turn until it is read to the end, closed or dropped; requests
    of other threads wait.  The thread that reads it would wait for itself: it gets an error.
    """

    def __init__(
        self, path: Path, name: str, *, context_tokens: int, threads: int, gpu_layers: int = -1
    ) -> None:
        self.name = name
        self._context: Context | None = None
        self._weights = Weights(path, name, gpu_layers=gpu_layers)
        self._vocabulary = self._weights.vocabulary
        self._grammars = Grammars(self._vocabulary)
        try:
            self._template = ChatTemplate(self._weights.chat_template, self._vocabulary)
            self._context = Context(self._weights, context_tokens=context_tokens, threads=threads)
        except BaseException:
            self._free()
            raise
        self.context_tokens = self._context.size
        self._turn = threading.Lock()
        self._reader: int | None = None
        self._guard = threading.RLock()  # of the two below
        self._users = 0
        self._closed = False

    def warm(self, messages: Sequence[Message], tools: Sequence[ToolSchema] = ()) -> None:
        """Not yet."""

    def count_tokens(self, messages: Sequence[Message], tools: Sequence[ToolSchema] = ()) -> int:
        """Length of the rendered prompt in tokens."""
        with self._in_use():
            return len(self._template.tokens(messages))

    def stream(self, request: ChatRequest, cancel: CancelToken | None = None) -> Iterator[Delta]:
        """See `ports.ChatModel.stream`.  What is wrong with a request is said by this call."""
        check(request.sampling)
        with self._in_use():
            prompt = self._template.tokens(request.messages)
            budget = self._budget(len(prompt), request.max_tokens)
            wanted = request.constraint
            matcher = (
                self._grammars.matcher(wanted.schema) if isinstance(wanted, JsonSchema) else None
            )
        return self._answer(request, prompt, budget, matcher, cancel or CancelToken())

    def close(self) -> None:
        """Refuse new requests, cancel running ones; memory is freed when the last has ended."""
        with self._guard:
            self._closed = True
            if not self._users:
                self._free()

    # -- one answer ------------------------------------------------------------------------------

    def _answer(
        self,
        request: ChatRequest,
        prompt: list[int],
        budget: int,
        matcher: Matcher | None,
        cancel: CancelToken,
    ) -> Iterator[Delta]:
        def stopped() -> bool:
            return cancel.cancelled or self._closed

        with self._in_use() as context, Sampler(request.sampling, self._vocabulary.size) as sampler:
            answer = Answer(
                self.name,
                context,
                self._vocabulary,
                prompt,
                budget=budget,
                stop=request.stop,
                matcher=matcher,
                sampler=sampler,
                cancelled=stopped,
            )
            if self._reader == threading.get_ident():
                raise UserError(
                    f"{self.name!r} is in the middle of another answer to this thread",
                    hint="read the first stream to its end, or close it",
                )
            while not self._turn.acquire(timeout=WAIT_SECONDS):
                if stopped():
                    yield Delta(completion=answer.completion("cancelled"))
                    return
            try:
                self._reader = threading.get_ident()
                for delta in answer.deltas():
                    yield delta
                    self._reader = threading.get_ident()
            finally:
                self._reader = None
                self._turn.release()

    def _budget(self, prompt_tokens: int, max_tokens: int | None) -> int:
        """How many tokens the answer may have."""
        if max_tokens is not None and max_tokens < 1:
            raise UserError(f"max_tokens must be at least 1, not {max_tokens}")
        room = self.context_tokens - prompt_tokens
        reserved = ANSWER_RESERVE if max_tokens is None else max_tokens
        if room < reserved:
            raise PromptTooLong(
                prompt_tokens=prompt_tokens, reserved=reserved, context_tokens=self.context_tokens
            )
        return room if max_tokens is None else max_tokens

    # -- life and death --------------------------------------------------------------------------

    @contextmanager
    def _in_use(self) -> Iterator[Context]:
        """Nothing is freed within; whoever leaves a closed model last frees it."""
        with self._guard:
            if self._closed or self._context is None:
                raise ModelError(f"the model {self.name!r} was closed")
            self._users += 1
            context = self._context
        try:
            yield context
        finally:
            with self._guard:
                self._users -= 1
                if self._closed and not self._users:
                    self._free()

    def _free(self) -> None:
        if self._context is not None:
            self._context.close()
            self._context = None
        self._weights.close()
