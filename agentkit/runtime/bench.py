"""How fast a chat model is on this machine, and how near that is to what the memory allows.

To write a token, a model reads all its weights once: on a CPU the time of that is the bandwidth of
the memory, and no program can be faster.  Prompts are read many tokens at a time, and are bound by
arithmetic instead.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

from agentkit.errors import ModelError
from agentkit.messages import ChatRequest, Completion, Message
from agentkit.ports import ChatModel

PROMPT_TOKENS = 512
ANSWER_TOKENS = 64
ROUNDS = 3
READ_BYTES = 512 << 20
"""What is read to measure the memory: far more than any cache holds."""


@dataclass(frozen=True, slots=True)
class Speed:
    """Medians.  `prefill` and `decode` in tokens a second, times in seconds, memory in bytes.

    `first_token` is the wait for an answer to a new prompt of `prompt_tokens`, `first_token_known`
    to one that was read before.  `resident` is the memory of this process with the model in it.
    `weights_read` are the bytes that a token costs, `bandwidth` those that the memory gives in a
    second; None where they do not bound the speed, because weights are on a GPU.
    """

    model: str
    plan: str
    load_seconds: float
    prompt_tokens: int
    answer_tokens: int
    prefill: float
    decode: float
    first_token: float
    first_token_known: float
    resident: int
    weights_read: int | None
    bandwidth: float | None

    @property
    def share(self) -> float | None:
        """How much of the bandwidth decoding uses: 1 is the limit."""
        if not self.weights_read or not self.bandwidth:
            return None
        return self.decode * self.weights_read / self.bandwidth


def measure(
    model: ChatModel,
    *,
    plan: str,
    weights_read: int | None,
    threads: int,
    clock: Callable[[], float] = time.perf_counter,
) -> Speed:
    """Load a model, ask it a few times, and read the memory with as many threads.

    Raises `ModelError` for a model that answers with a single token.
    """
    start = clock()
    wanted = min(PROMPT_TOKENS, model.context_tokens // 2)
    loaded = clock() - start
    fresh, known = [], []
    for _ in range(ROUNDS):
        prompt = _prompt(model, wanted)
        fresh.append(_ask(model, prompt, clock))
        known.append(_ask(model, prompt, clock))
    answers = [completion.usage for completion, _ in fresh]
    if any(usage.completion_tokens < 2 for usage in answers):
        raise ModelError(f"{model.name} says nothing that could be timed")
    return Speed(
        model=model.name,
        plan=plan,
        load_seconds=loaded,
        prompt_tokens=answers[0].prompt_tokens,
        answer_tokens=answers[0].completion_tokens,
        prefill=median((u.prompt_tokens - u.cached_tokens) / u.prefill_seconds for u in answers),
        decode=median((u.completion_tokens - 1) / u.decode_seconds for u in answers),
        first_token=median(seconds for _, seconds in fresh),
        first_token_known=median(seconds for _, seconds in known),
        resident=_resident(),
        weights_read=weights_read,
        bandwidth=bandwidth(threads) if weights_read else None,
    )


def bandwidth(threads: int) -> float:
    """Bytes that so many threads together read from memory in a second; the best of five."""
    part = np.ones(READ_BYTES // threads // 8, np.uint64)
    parts = [part.copy() for _ in range(threads)]
    best = float("inf")
    with ThreadPoolExecutor(threads) as workers:
        for _ in range(5):
            start = time.perf_counter()
            list(workers.map(np.bitwise_or.reduce, parts))
            best = min(best, time.perf_counter() - start)
    return sum(one.nbytes for one in parts) / best


def _prompt(model: ChatModel, wanted: int) -> tuple[Message, ...]:
    """A text that was never read before, of about so many tokens, that asks for a long answer."""

    def messages(lines: int) -> tuple[Message, ...]:
        story = "\n".join(f"{n}. The fox went on, and saw the river." for n in range(lines))
        task = "Continue this story with many more numbered lines."
        return (Message("user", f"{secrets.token_hex(8)}\n{task}\n{story}"),)

    few, many = (model.count_tokens(messages(lines)) for lines in (0, 20))
    return messages(max(0, (wanted - few) * 20 // max(1, many - few)))


def _ask(
    model: ChatModel, prompt: tuple[Message, ...], clock: Callable[[], float]
) -> tuple[Completion, float]:
    """The answer, and the seconds until it began."""
    start = clock()
    first = None
    completion = None
    for delta in model.stream(ChatRequest(prompt, max_tokens=ANSWER_TOKENS)):
        first = first or clock() - start
        completion = delta.completion or completion
    if completion is None or first is None:
        raise ModelError(f"{model.name} ended a stream without a completion")
    return completion, first


def _resident() -> int:
    """Bytes of this process that are in memory; 0 where that cannot be told."""
    status = Path("/proc/self/status")
    if not status.exists():
        return 0
    lines = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
    return int(lines["VmRSS"].split()[0]) * 1024
