"""Ways to answer one hard question with a model that would get it wrong in one go.

    chain_of_thought   think in words first, then answer in the form that was asked for
    self_consistency   n such chains from one prompt, vote (Wang et al. 2022, arXiv:2203.11171)
    tree_of_thought    propose, score, keep the best b, d deep (Yao et al. 2023, arXiv:2305.10601)
    reflect            answer, check, learn, answer again (Shinn et al. 2023, arXiv:2303.11366)

All of them share the prompt's prefix, so that it is read once; a thought is never the answer, which
comes from a question of its own, bound to the schema.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from agentkit.cancel import CancelToken
from agentkit.errors import Cancelled, ModelError
from agentkit.messages import (
    ChatRequest,
    Choices,
    Completion,
    Constraint,
    JsonSchema,
    Message,
    Sampling,
    Usage,
)
from agentkit.ports import ChatModel

THINK = "Think about it step by step, in a few short sentences. Do not give the final answer yet."
ANSWER = "Now give the final answer only."
NEXT = "Write the next step of the solution in one or two sentences, and nothing else."
PROMISING = "Is this step right, and does it bring us nearer to the answer? Answer yes or no."
MISTAKE = (
    "This answer was rejected: {fault}\nSay in one or two sentences what went wrong and what to do "
    "differently. Do not give a new answer yet."
)

THOUGHT_TOKENS = 256
ANSWER_TOKENS = 512
WARM = Sampling(temperature=0.7, top_p=0.95)
"""How thoughts are drawn where several different ones are wanted."""

Check = Callable[[Any], str]
"""What is wrong with an answer; empty if nothing is."""


@dataclass(frozen=True, slots=True)
class Thought:
    """A step on the way: its text, and how good the model finds it, from 0 to 1."""

    text: str
    score: float = 1.0


@dataclass(frozen=True, slots=True)
class Solution:
    """An answer (data where there was a schema, text otherwise), and how it came about.

    `votes` counts how many of `candidates` say the same.
    """

    answer: Any
    usage: Usage
    thoughts: tuple[Thought, ...] = ()
    votes: int = 1
    candidates: int = 1
    lessons: tuple[str, ...] = ()


@dataclass
class Asker:
    """A conversation that questions are put to, and what they cost together."""

    model: ChatModel
    messages: Sequence[Message]
    schema: dict[str, Any] | None = None
    cancel: CancelToken | None = None
    usage: Usage = field(default_factory=Usage)

    def think(self, ask: str, so_far: Sequence[str] = (), *, samples: int = 1) -> list[str]:
        """Thoughts, in words; several ones are drawn at random."""
        request = ChatRequest(
            self._turns(so_far, ask),
            THOUGHT_TOKENS,
            sampling=WARM if samples > 1 else Sampling(),
            samples=samples,
        )
        return [done.text.strip() for done in self._complete(request)]

    def answer(self, thoughts: Sequence[str]) -> Any:
        """The final answer after some thoughts."""
        constraint: Constraint | None = None if self.schema is None else JsonSchema(self.schema)
        turns = self._turns(thoughts, ANSWER) if thoughts else tuple(self.messages)
        (done,) = self._complete(ChatRequest(turns, ANSWER_TOKENS, constraint=constraint))
        if self.schema is None:
            return done.text.strip()
        if done.finish_reason == "length":
            raise ModelError(f"the answer was cut off after {ANSWER_TOKENS} tokens")
        return json.loads(done.text)

    def likely(self, ask: str, so_far: Sequence[str]) -> float:
        """The probability of a yes, from 0 to 1."""
        request = ChatRequest(
            self._turns(so_far, ask), 4, constraint=Choices(("yes", "no")), top_logprobs=0
        )
        (done,) = self._complete(request)
        sure = math.exp(sum(token.allowed_logprob for token in done.logprobs))
        return sure if done.text == "yes" else 1 - sure

    def _turns(self, thoughts: Sequence[str], ask: str) -> tuple[Message, ...]:
        said = [Message("assistant", "\n".join(thoughts))] if thoughts else []
        if said:
            return (*self.messages, *said, Message("user", ask))
        *before, last = self.messages
        return (*before, replace(last, content=f"{last.content}\n\n{ask}"))

    def _complete(self, request: ChatRequest) -> list[Completion]:
        found: dict[int, Completion] = {}
        for delta in self.model.stream(request, self.cancel):
            if delta.completion is not None:
                found[delta.sample] = delta.completion
        if any(done.finish_reason == "cancelled" for done in found.values()):
            raise Cancelled
        for done in found.values():
            self.usage += done.usage
        return [found[sample] for sample in sorted(found)]


def chain_of_thought(asker: Asker) -> Solution:
    """Two questions: the way, then the answer."""
    thoughts = asker.think(THINK)
    return Solution(asker.answer(thoughts), asker.usage, (Thought(thoughts[0]),))


def self_consistency(asker: Asker, *, n: int = 5) -> Solution:
    """The answer that most of `n` chains agree on; of several, the one that came first."""
    chains = asker.think(THINK, samples=n)
    answers = [asker.answer([chain]) for chain in chains]
    votes = Counter(_same(answer) for answer in answers)
    best, count = votes.most_common(1)[0]
    position = [_same(answer) for answer in answers].index(best)
    return Solution(answers[position], asker.usage, (Thought(chains[position]),), count, n)


def tree_of_thought(asker: Asker, *, breadth: int = 2, depth: int = 2, width: int = 3) -> Solution:
    """`width` next steps from each of the best `breadth` paths, `depth` times."""
    paths: list[tuple[Thought, ...]] = [()]
    for _ in range(depth):
        grown = [(*path, step) for path in paths for step in _steps(asker, path, width)]
        grown.sort(key=lambda path: math.prod(step.score for step in path), reverse=True)
        paths = grown[:breadth]
    best = paths[0]
    answer = asker.answer([thought.text for thought in best])
    return Solution(answer, asker.usage, best, candidates=width**depth)


def _steps(asker: Asker, path: Sequence[Thought], width: int) -> Iterator[Thought]:
    so_far = [thought.text for thought in path]
    for text in dict.fromkeys(asker.think(NEXT, so_far, samples=width)):
        yield Thought(text, asker.likely(PROMISING, [*so_far, text]))


def reflect(asker: Asker, check: Check, *, attempts: int = 3) -> Solution:
    """Answer until a check passes; each attempt knows what went wrong before.

    The last answer is returned also if it fails: the check is the caller's, and so is the verdict.
    """
    lessons: list[str] = []
    asked = tuple(asker.messages)
    answer = asker.answer([])
    for _ in range(attempts - 1):
        fault = check(answer)
        if not fault:
            break
        said = answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)
        lessons += asker.think(MISTAKE.format(fault=fault), [said])
        asker.messages = _with_lessons(asked, lessons[-3:])
        answer = asker.answer([])
    return Solution(answer, asker.usage, lessons=tuple(lessons), candidates=len(lessons) + 1)


def _with_lessons(messages: Sequence[Message], lessons: Sequence[str]) -> tuple[Message, ...]:
    *before, last = messages
    learned = "\n".join(f"- {lesson}" for lesson in lessons)
    content = f"{last.content}\n\nWhat earlier attempts taught:\n{learned}"
    return (*before, replace(last, content=content))


def _same(answer: Any) -> str:
    """Equal for answers that say the same."""
    if isinstance(answer, str):
        return " ".join(answer.lower().split()).rstrip(".")
    return json.dumps(answer, sort_keys=True, ensure_ascii=False)
