"""The `ChatModel` adapter on llama.cpp in this process: any number of threads, one context.

A request is rendered and checked by the thread that makes it, computed by the decode thread, and
read from a `Stream` again by whoever asked.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from agentkit.cancel import CancelToken
from agentkit.compute import Compute
from agentkit.engine.conformance import check_answer
from agentkit.engine.context import Context, KvType
from agentkit.engine.decoder import Decoder
from agentkit.engine.generation import Generation, Task
from agentkit.engine.grammar import Grammars, Matcher
from agentkit.engine.logprobs import check_top
from agentkit.engine.output import Output
from agentkit.engine.prefixes import Namespace, PrefixStore, Shelf
from agentkit.engine.sampling import Sampler, check
from agentkit.engine.saved import SavedPrefixes
from agentkit.engine.scheduler import Scheduler
from agentkit.engine.shelf import MemoryShelf
from agentkit.engine.stream import Stream
from agentkit.engine.template import ChatTemplate, Prompt
from agentkit.engine.weights import Weights
from agentkit.engine.written import Written
from agentkit.errors import ModelError, PromptTooLong, UnknownName, UserError
from agentkit.messages import (
    ChatRequest,
    Completion,
    Delta,
    JsonSchema,
    Lark,
    Message,
    Sampling,
    Score,
    ToolSchema,
)

ANSWER_RESERVE = 64
"""Tokens kept free for an answer when the request names no `max_tokens`."""

KEPT_SEQUENCES = 24
"""Sequences beside those that requests work on: prefixes and conversations that wait."""

MAX_SAMPLES = 128


class LlamaChatModel:
    """A GGUF file that answers chat requests.

    `context_tokens` are shared by all that is in the cache; prompt and answer of one request must
    fit.  `slots` requests are worked on at the same time, `queue` more may wait.  What has to leave
    the cache is kept in up to `prompt_cache` MiB of main memory, and prefixes of prompts that come
    again and again in `prefix_folder` for the next process; `digest` is that of the model's file.
    `adapters` are the LoRA files that requests may name.

    Raises `ModelDamaged` or `NotEnoughMemory` if the model cannot be loaded.
    """

    def __init__(
        self,
        path: Path,
        name: str,
        *,
        context_tokens: int,
        threads: int,
        gpu_layers: int = -1,
        kv_type: KvType = "f16",
        slots: int = 8,
        queue: int = 256,
        prompt_cache: int = 1024,
        adapters: Mapping[str, Path] | None = None,
        compute: Compute | None = None,
        prefix_folder: Path | None = None,
        digest: str = "",
    ) -> None:
        self.name = name
        self._adapters = dict(adapters or {})
        self._decoder: Decoder | None = None
        self._context: Context | None = None
        self._users = 0
        self._free_to_go = threading.Condition()
        self._closed = False
        self._weights = Weights(path, name, gpu_layers=gpu_layers)
        try:
            self._vocabulary = self._weights.vocabulary
            self._grammars = Grammars(self._vocabulary)
            self._written = Written(8 * context_tokens)
            self._template = ChatTemplate(
                self._weights.chat_template, self._vocabulary, self._written
            )
            self._context = Context(
                self._weights,
                context_tokens=context_tokens,
                sequences=slots + (slots if self._weights.recurrent else KEPT_SEQUENCES),
                threads=threads,
                kv_type=kv_type,
            )
        except BaseException:
            self._free()
            raise
        self.context_tokens = self._context.size
        shelves: list[Shelf] = [MemoryShelf(prompt_cache << 20)]
        saved = None
        if prefix_folder is not None and digest:
            saved = SavedPrefixes(prefix_folder / self._context.state_key(digest))
            shelves.append(saved)
        self._store = PrefixStore(self._context, shelves)
        self._scheduler = Scheduler(
            self._context,
            self._store,
            slots=slots,
            adapters=self._loaded,
            done=self._remember,
            saved=saved,
        )
        self._decoder = Decoder(name, self._scheduler, compute=compute or Compute(), queue=queue)

    # -- the port --------------------------------------------------------------------------------

    def count_tokens(self, messages: Sequence[Message], tools: Sequence[ToolSchema] = ()) -> int:
        """Length of the rendered prompt in tokens."""
        with self._in_use():
            return len(self._template.render(messages, tools).tokens)

    def stream(self, request: ChatRequest, cancel: CancelToken | None = None) -> Iterator[Delta]:
        """See `ports.ChatModel.stream`.  The work begins with this call, not with the first delta.

        Closing or dropping the stream cancels the request.
        """
        self._check(request)
        token, stream = cancel or CancelToken(), Stream(request.samples)
        abandoned = stream.abandoned
        with self._in_use() as decoder:
            prompt = self._prompt(request)
            task = Task(
                prompt.tokens,
                stream.deliver.put,
                budget=self._budget(len(prompt.tokens), request.max_tokens),
                stable=prompt.stable,
                namespace=self._namespace(request.adapters),
                priority=request.priority,
                cancelled=lambda: token.cancelled or abandoned.cancelled,
                deadline=None if request.timeout is None else time.monotonic() + request.timeout,
                top_logprobs=request.top_logprobs,
            )
            decoder.submit(list(self._generations(request, prompt, task)))
        return stream

    @property
    def full(self) -> bool:
        """Whether a request that came now would be told that the model is busy."""
        decoder = self._decoder
        return decoder is not None and decoder.full

    def warm(self, messages: Sequence[Message], tools: Sequence[ToolSchema] = ()) -> None:
        """Read the beginning of prompts to come now, and keep it in the cache."""
        with self._in_use():
            tokens = self._template.prefix(messages, tools)
        if tokens:
            self._read(tokens, pin=True)

    def score(
        self, prompt: Sequence[Message], continuation: str, cancel: CancelToken | None = None
    ) -> Score:
        """How likely the model finds an answer, token by token.

        Raises `UserError` for an empty continuation, `PromptTooLong` if both do not fit.
        """
        with self._in_use():
            tokens = self._template.render(prompt).tokens
            wanted = self._vocabulary.tokenize(continuation, special=False)
        if not wanted:
            raise UserError("there is no continuation to score")
        return self._score(tokens, wanted, cancel=cancel)

    def read(self, tokens: Sequence[int], top: int = 0, cancel: CancelToken | None = None) -> Score:
        """How likely the model finds a plain text, token by token; the first one is given.

        Raises `UserError` for what is no token, `PromptTooLong` if it does not fit.
        """
        check_top(top)
        first, *others = self._vocabulary.checked(tokens)
        return self._score([first], others, top, cancel) if others else Score(())

    def perplexity(self, text: str) -> float:
        """`exp` of the mean negative log probability of the tokens of a plain text.

        A text longer than the context is read in windows; each token sees half a context of text
        before it, or all there is.  The first token is given where the model has no BOS.
        """
        with self._in_use():
            tokens = self._vocabulary.tokenize(text, special=False)
        if self._vocabulary.bos >= 0:
            tokens.insert(0, self._vocabulary.bos)
        if len(tokens) < 2:
            raise UserError("a text needs at least two tokens to have a perplexity")
        half = self.context_tokens // 2
        scores = [self._score(tokens[:1], tokens[1 : 2 * half])]
        for start in range(half, len(tokens) - half, half):
            scores.append(self._score(tokens[start : start + half], tokens[start + half :][:half]))
        counted = sum(len(score.tokens) for score in scores)
        return math.exp(-sum(score.logprob for score in scores) / counted)

    def close(self) -> None:
        """Refuse new requests, cancel running ones, and give the memory back.  Idempotent."""
        with self._free_to_go:
            self._closed = True
            self._free_to_go.wait_for(lambda: not self._users)
        if self._decoder is not None:
            self._decoder.close()
        self._free()

    # -- from a request to generations -----------------------------------------------------------

    def _check(self, request: ChatRequest) -> None:
        if request.text is not None and (request.messages or request.tools):
            raise UserError("a plain text is gone on with alone: without messages and tools")
        if any(message.images for message in request.messages):
            hint = "ask one on a server that sees, under `remotes` in settings"
            raise UserError(f"{self.name} reads text only, and there is a picture", hint=hint)
        check(request.sampling, self._vocabulary.size)
        if request.top_logprobs is not None:
            check_top(request.top_logprobs)
        if not 1 <= request.samples <= MAX_SAMPLES:
            raise UserError(f"samples must be between 1 and {MAX_SAMPLES}, not {request.samples}")
        if request.timeout is not None and not request.timeout > 0:
            raise UserError(f"timeout must be more than 0 seconds, not {request.timeout}")

    def _generations(
        self, request: ChatRequest, prompt: Prompt, task: Task
    ) -> Iterator[Generation]:
        """One for each sample; they share the prompt in the cache and nothing else."""
        matcher, constraint = self._matcher(request, prompt), request.constraint
        if matcher is not None and isinstance(constraint, JsonSchema):
            lost = tuple(f"not enforced while decoding: {one}" for one in matcher.unenforced)
            task = replace(task, verify=partial(check_answer, constraint), notes=lost)
        for sample in range(request.samples):
            yield Generation(
                replace(task, sample=sample),
                self.name,
                self._vocabulary,
                Output(
                    self._vocabulary,
                    request.stop,
                    None
                    if request.text is not None
                    else self._template.dialect.reader(request, thinking=prompt.thinking),
                ),
                Sampler(_seeded(request.sampling, sample), self._vocabulary),
                matcher if sample == 0 or matcher is None else self._matcher(request, prompt),
            )

    def _prompt(self, request: ChatRequest) -> Prompt:
        if request.text is None:
            return self._template.render(request.messages, request.tools, request.reasoning_effort)
        if isinstance(request.text, str):
            tokens = self._vocabulary.begun(request.text)
        else:
            tokens = self._vocabulary.checked(request.text)
        if not tokens:
            raise UserError("there is no text to go on with")
        return Prompt(tokens, stable=0, thinking=False)

    def _matcher(self, request: ChatRequest, prompt: Prompt) -> Matcher | None:
        if request.text is not None:
            return self._grammars.matcher(request.constraint) if request.constraint else None
        grammar = self._template.dialect.grammar(request, thinking=prompt.thinking)
        if grammar is not None:
            return self._grammars.matcher(Lark(grammar))
        return self._grammars.matcher(request.constraint) if request.constraint else None

    def _namespace(self, adapters: Mapping[str, float]) -> Namespace:
        for name in adapters:
            if name not in self._adapters:
                hint = "name it in settings under `adapters`"
                raise UnknownName("LoRA adapter", name, self._adapters, hint=hint)
            self._weights.adapter(self._adapters[name])
        return tuple(sorted(adapters.items()))

    def _loaded(self, namespace: Namespace) -> dict[str, tuple[Any, float]]:
        load = self._weights.adapter
        return {name: (load(self._adapters[name]), scale) for name, scale in namespace}

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

    # -- reading without an answer ---------------------------------------------------------------

    def _score(
        self,
        tokens: list[int],
        continuation: list[int],
        top: int = 0,
        cancel: CancelToken | None = None,
    ) -> Score:
        return Score(self._read(tokens, continuation, top=top, cancel=cancel).logprobs)

    def _read(
        self,
        tokens: list[int],
        continuation: Sequence[int] = (),
        *,
        top: int = 0,
        pin: bool = False,
        cancel: CancelToken | None = None,
    ) -> Completion:
        """Let the model read, and wait for it."""
        self._budget(len(tokens), len(continuation) or None)
        token, stream = cancel or CancelToken(), Stream(1)
        task = Task(
            tokens,
            stream.deliver.put,
            continuation=continuation,
            top_logprobs=top if continuation else None,
            pin=pin,
            cancelled=lambda: token.cancelled,
        )
        output = Output(self._vocabulary, (), None)
        with self._in_use() as decoder:
            sampler = Sampler(Sampling(), self._vocabulary)
            decoder.submit([Generation(task, self.name, self._vocabulary, output, sampler)])
        *_, last = stream
        token.check()
        if last.completion is None or last.completion.finish_reason != "stop":
            raise ModelError(f"the model {self.name!r} was closed")
        return last.completion

    def _remember(self, generation: Generation, completion: Completion) -> None:
        """What the model wrote must never be tokenised differently when it comes back."""
        if generation.verbatim and completion.finish_reason in ("stop", "tool_calls"):
            answer = generation.tokens[generation.prompt_length :]
            self._written.remember(completion.message, answer)

    # -- life and death --------------------------------------------------------------------------

    @contextmanager
    def _in_use(self) -> Iterator[Decoder]:
        """Nothing is freed within."""
        with self._free_to_go:
            if self._closed or self._decoder is None:
                raise ModelError(f"the model {self.name!r} was closed")
            self._users += 1
        try:
            yield self._decoder
        finally:
            with self._free_to_go:
                self._users -= 1
                self._free_to_go.notify_all()

    def _free(self) -> None:
        if self._context is not None:
            self._context.close()
            self._context = None
        self._weights.close()


def _seeded(sampling: Sampling, sample: int) -> Sampling:
    """Samples of one request differ, and each is repeatable."""
    return sampling if sampling.seed is None else replace(sampling, seed=sampling.seed + sample)
