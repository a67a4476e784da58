"""One answer while it is worked on: the tokens so far, how the next one is drawn, what it cost.

A generation is a list of tokens of which the first `position` are in the cache.  What is behind
them is `pending`: the prompt at first, later the token drawn last and those that the grammar
dictates after it.  Everything is read in the same way, so nothing here tells prefill from decode;
a generation that loses its place in the cache just starts again from position 0.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agentkit.engine.context import Context, Piece
from agentkit.engine.grammar import Matcher
from agentkit.engine.logprobs import token_logprob
from agentkit.engine.output import Output
from agentkit.engine.prefixes import Namespace
from agentkit.engine.sampling import Sampler
from agentkit.engine.vocabulary import Vocabulary
from agentkit.errors import AgentkitError
from agentkit.messages import Completion, Delta, FinishReason, Priority, TokenLogprob, Usage

Logits = NDArray[np.float32]

SCORED = 64
"""Rows of a batch with logits of their own: each is as large as the vocabulary."""

Deliver = Callable[[Delta | AgentkitError], None]
"""Hands a delta, or the error that ended the answer, to whoever waits for it."""


@dataclass(slots=True)
class Task:
    """What a generation is to do.

    `tokens` are the prompt, and `continuation` what must follow it and is only scored.  `stable`
    of the prompt's tokens are a beginning that other prompts will share.  `budget` is how many
    tokens may be written; 0 reads only.  `pin`: what was read stays in the cache.  `verify` raises
    `ModelError` for a finished text that a grammar could not fully enforce.
    """

    tokens: Sequence[int]
    deliver: Deliver
    budget: int = 0
    continuation: Sequence[int] = ()
    stable: int = 0
    namespace: Namespace = ()
    priority: Priority = "interactive"
    cancelled: Callable[[], bool] = lambda: False
    deadline: float | None = None
    top_logprobs: int | None = None
    sample: int = 0
    pin: bool = False
    verify: Callable[[str], None] | None = None
    notes: tuple[str, ...] = ()


class Generation:
    """See the top of the file.  Owned by the decode thread."""

    def __init__(
        self,
        task: Task,
        model: str,
        vocabulary: Vocabulary,
        output: Output,
        sampler: Sampler,
        matcher: Matcher | None = None,
    ) -> None:
        self.task = task
        self.tokens = [*task.tokens, *task.continuation]
        self.prompt_length = len(task.tokens)
        self.position = 0
        self.sequence: int | None = None
        self.order = 0
        self.faults = 0
        self.dismissed = False
        self.matcher = matcher
        self._model = model
        self._vocabulary = vocabulary
        self._output = output
        self._sampler = sampler
        self._logprobs: list[TokenLogprob] = []
        self._told_logprobs = 0
        self._forced_at: set[int] = set(range(self.prompt_length, len(self.tokens)))
        self._ending: FinishReason | None = None
        self._cached = self._forced = self._decodes = 0
        self._began = time.perf_counter()
        self._admitted = self._prefilled = 0.0

    # -- reading ---------------------------------------------------------------------------------

    @property
    def pending(self) -> int:
        """Tokens that are known and not in the cache yet."""
        return len(self.tokens) - self.position

    @property
    def written(self) -> int:
        """Tokens of the answer so far."""
        return len(self.tokens) - self.prompt_length

    @property
    def reusable(self) -> list[int]:
        """The tokens of which a beginning may be taken from the cache, but never the last one.

        Whatever still has to be scored must be read, to see what the model thinks of it.
        """
        if self.task.top_logprobs is None:
            return self.tokens
        return self.tokens[: self.prompt_length + len(self._logprobs)]

    @property
    def writing(self) -> bool:
        """Whether the prompt is read: from then on somebody may be watching."""
        return self.position >= self.prompt_length

    @property
    def room(self) -> int:
        """Tokens that may still be written."""
        return max(0, self.task.budget - self.written)

    def admitted(self, sequence: int, cached: int) -> None:
        """It has a place in the cache, in which so many of its tokens lie already."""
        if not self._admitted:
            self._admitted = time.perf_counter()
            self._cached = min(cached, self.prompt_length)
            self._take_forced()
        self.sequence, self.position = sequence, cached

    def piece(self, limit: int) -> Piece:
        """The next pending tokens, at most so many."""
        assert self.sequence is not None
        count = min(limit, self.pending)
        if self.task.top_logprobs is None:
            outputs = 1 if self.task.budget and count == self.pending else 0
        else:
            unscored = max(0, self.prompt_length - 1 - self.position)
            count = min(count, unscored + SCORED)
            outputs = max(0, count - unscored)
        tokens = self.tokens[self.position : self.position + count]
        return Piece(self.sequence, self.position, tokens, outputs)

    def draws(self, piece: Piece) -> bool:
        """Whether a token is drawn after this piece."""
        ends = piece.start + len(piece.tokens) == len(self.tokens)
        return ends and self.task.budget > 0 and self._over is None

    def read(self, piece: Piece, context: Context, first: int) -> None:
        """A piece was decoded, as rows of the batch from `first` on: score it, go on writing."""
        self._decodes += 1
        self.position += len(piece.tokens)
        if self.task.top_logprobs is not None:
            self._score(piece, context, first)
        if self.writing and not self._prefilled:
            self._prefilled = time.perf_counter()
        if self.draws(piece):
            self._draw(context.logits(first + len(piece.tokens) - 1))

    # -- writing ---------------------------------------------------------------------------------

    def _draw(self, logits: Logits) -> None:
        token = self._sampler.draw(logits, self.matcher)
        if token in self._vocabulary.end_of_generation:
            self._ending = "stop"
            return
        if self.task.top_logprobs is not None:
            self._note_logprob(logits, token, forced=False)
        if self.matcher:
            self.matcher.accept([token])
        self._write([token])
        self._take_forced()

    def _take_forced(self) -> None:
        """Write the tokens that the grammar dictates now, as far as the budget goes."""
        if self.matcher is None or self._over:
            return
        dictated = self.matcher.forced()
        taken = dictated[: self.room]
        self._forced_at.update(range(len(self.tokens), len(self.tokens) + len(taken)))
        self._forced += len(taken)
        self._write(taken)
        if len(taken) < len(dictated):
            self._ending = "length"

    def _write(self, tokens: list[int]) -> None:
        self._sampler.accept(tokens)
        self.tokens += tokens
        for token in tokens:
            self._output.push(token)

    # -- log probabilities -----------------------------------------------------------------------

    def _score(self, piece: Piece, context: Context, first: int) -> None:
        """Note the tokens that were known before the model was asked."""
        for row in range(len(piece.tokens) - piece.outputs, len(piece.tokens)):
            place = piece.start + row + 1
            if place in self._forced_at and len(self._logprobs) == place - self.prompt_length:
                self._note_logprob(context.logits(first + row), self.tokens[place], forced=True)

    def _note_logprob(self, logits: Logits, token: int, *, forced: bool) -> None:
        top = self.task.top_logprobs or 0
        matcher = None if forced else self.matcher
        self._logprobs.append(
            token_logprob(
                logits, token, top=top, matcher=matcher, forced=forced, vocabulary=self._vocabulary
            )
        )

    # -- the end ---------------------------------------------------------------------------------

    def ended(self, now: float) -> FinishReason | None:
        """Why there is nothing more to do, if so."""
        if self.dismissed or self.task.cancelled():
            return "cancelled"
        if self.task.deadline is not None and now >= self.task.deadline:
            return "deadline"
        if not self.task.budget:
            return None if self.pending > self._unscored_tail else "stop"
        return None if self._owes_logprobs else self._over

    @property
    def _over(self) -> FinishReason | None:
        """Why nothing more is written, if so."""
        if self._output.stopped:
            return "stop"
        if self._ending:
            return self._ending
        if self.matcher and self.matcher.finished:
            return "stop"
        return None if self.room else "length"

    @property
    def _unscored_tail(self) -> int:
        """The last token of a text that is only scored need not be read."""
        return 1 if self.task.continuation else 0

    @property
    def _owes_logprobs(self) -> bool:
        return self.task.top_logprobs is not None and len(self._logprobs) < self.written

    @property
    def verbatim(self) -> bool:
        """Whether the message says exactly what the tokens say."""
        return not self._output.stopped

    def deliver(self) -> None:
        """Give out what was written since the last time."""
        for delta in self._output.take():
            self._give(delta)

    def finish(self, reason: FinishReason) -> Completion:
        """Give out the rest, and the completion.

        Raises `ModelError` for an answer that fails the `verify` of its task.
        """
        self._output.finish()
        if reason == "stop" and self.verbatim and self.task.verify is not None:
            self.task.verify(self._output.text)
        self.deliver()
        if len(self._logprobs) > self._told_logprobs:
            self._give(Delta())
        if reason == "stop" and self._output.calls:
            reason = "tool_calls"
        completion = Completion(
            text=self._output.text,
            finish_reason=reason,
            usage=self.usage(),
            model=self._model,
            reasoning=self._output.reasoning,
            tool_calls=self._output.calls,
            logprobs=tuple(self._logprobs),
            notes=(*self._output.notes, *self.task.notes),
        )
        self.task.deliver(Delta(sample=self.task.sample, completion=completion))
        return completion

    def fail(self, error: AgentkitError) -> None:
        """Give out the error instead of the rest."""
        self.task.deliver(error)

    def usage(self) -> Usage:
        """What it cost so far."""
        now = time.perf_counter()
        admitted = self._admitted or now
        prefilled = self._prefilled or now
        return Usage(
            prompt_tokens=self.prompt_length,
            cached_tokens=self._cached,
            completion_tokens=self.written,
            forced_tokens=self._forced,
            decode_calls=self._decodes,
            queued_seconds=admitted - self._began,
            prefill_seconds=prefilled - admitted,
            decode_seconds=now - prefilled,
        )

    def _give(self, delta: Delta) -> None:
        logprobs = tuple(self._logprobs[self._told_logprobs :])
        self._told_logprobs = len(self._logprobs)
        self.task.deliver(
            Delta(delta.text, delta.reasoning, delta.call, logprobs, self.task.sample)
        )
