"""One request while it is worked on: what was read, what was written, what it cost.

The loop writes token by token, but pays for as few decodes as it can: what the cache holds of the
prompt is not read again, and what the grammar dictates is not sampled but read as one batch.

(Guessing ahead by n-grams of the prompt, checked in the same decode, was measured and left out: on
two CPU cores a row costs nearly as much as a decode, so that 40 % fewer decodes gained 4 %, and the
other shape of the batches changed one answer in twelve.)
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from agentkit.engine.context import BATCH, Context
from agentkit.engine.grammar import Matcher
from agentkit.engine.sampling import Sampler
from agentkit.engine.text import TextStream
from agentkit.engine.vocabulary import Vocabulary
from agentkit.messages import Completion, Delta, FinishReason, Usage


class Answer:
    """Iterate over `deltas` once; what it says then is `completion`."""

    def __init__(
        self,
        model: str,
        context: Context,
        vocabulary: Vocabulary,
        prompt: list[int],
        *,
        budget: int,
        stop: tuple[str, ...],
        matcher: Matcher | None,
        sampler: Sampler,
        cancelled: Callable[[], bool],
    ) -> None:
        self._model = model
        self._context = context
        self._vocabulary = vocabulary
        self._prompt = prompt
        self._budget = budget
        self._matcher = matcher
        self._sampler = sampler
        self._cancelled = cancelled
        self._stream = TextStream(stop)
        self._shown: list[str] = []
        self._fresh = ""
        self._cut = False
        self._cached = self._written = self._forced = self._decodes = 0
        self._began = self._prefilled = time.perf_counter()

    def deltas(self) -> Iterator[Delta]:
        """Read the prompt, then write until something ends the answer."""
        self._began = self._prefilled = time.perf_counter()
        pending = self._unread()
        reason = self._read(pending + self._take_forced())
        self._prefilled = time.perf_counter()
        yield from self._show()
        while reason is None:
            token = self._draw()
            if token in self._vocabulary.end_of_generation:
                reason = "stop"
            else:
                self._write([token])
                pending = [token, *self._take_forced()]
                yield from self._show()
                reason = self._read(pending)
        self._fresh += self._stream.finish()
        yield from self._show()
        yield Delta(completion=self.completion(reason))

    def completion(self, reason: FinishReason) -> Completion:
        """The answer as it stands."""
        usage = Usage(
            prompt_tokens=len(self._prompt),
            cached_tokens=self._cached,
            completion_tokens=self._written,
            forced_tokens=self._forced,
            decode_calls=self._decodes,
            prefill_seconds=self._prefilled - self._began,
            decode_seconds=time.perf_counter() - self._prefilled,
        )
        return Completion("".join(self._shown), reason, usage, self._model)

    # -- reading ---------------------------------------------------------------------------------

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
        for start in range(0, len(tokens), BATCH):
            ended = self._ended()
            if ended:
                return ended
            self._context.decode(tokens[start : start + BATCH])
            self._decodes += 1
        return None

    # -- writing ---------------------------------------------------------------------------------

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
        dictated = self._matcher.forced()
        forced = dictated[: self._budget - self._written]
        self._cut = len(forced) < len(dictated)
        self._forced += len(forced)
        self._write(forced)
        return forced

    def _write(self, tokens: list[int]) -> None:
        self._sampler.accept(tokens)
        self._written += len(tokens)
        for token in tokens:
            self._fresh += self._stream.push(self._vocabulary.piece(token))

    def _show(self) -> Iterator[Delta]:
        if self._fresh:
            fresh, self._fresh = self._fresh, ""
            self._shown.append(fresh)
            yield Delta(text=fresh)

    def _ended(self) -> FinishReason | None:
        if self._cancelled():
            return "cancelled"
        if self._stream.stopped or (self._matcher and self._matcher.finished and not self._cut):
            return "stop"
        return "length" if self._written >= self._budget else None
