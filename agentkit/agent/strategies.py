"""Ways to answer one hard question with a model that would get it wrong in one go.

    chain_of_thought   think in words first, then answer in the form that was asked for
    self_consistency   n such chains from one prompt, vote (Wang et al. 2022, arXiv:2203.11171)
    tree_of_thought    propose, score, keep the best b, d deep (Yao et al. 2023, arXiv:2305.10601)
    reflect            answer, check, learn, answer again (Shinn et al. 2023, arXiv:2303.11366)

What was asked and thought stays in the conversation, so that no token of it is read twice.  A
thought is never the answer: that comes from a question of its own, with the constraint that was
asked for.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import field, replace
from typing import Any

from agentkit.cancel import CancelToken
from agentkit.errors import Cancelled
from agentkit.messages import ChatRequest, Choices, Completion, Message, Sampling, Usage
from agentkit.ports import ChatModel
from agentkit.values import dataclass

THINK = "Think about it step by step, in a few short sentences. Do not give the final answer yet."
ANSWER = "Now give the final answer only."
NEXT = "Write the next step of the solution in one or two sentences, and nothing else."
PROMISING = "Is this step right, and does it bring us nearer to the answer? Answer yes or no."
MISTAKE = (
    "This answer was rejected: {fault}\nSay in one or two sentences what went wrong and what to do "
    "differently. Do not give a new answer yet."
)

THOUGHT_TOKENS = 256

LESSONS = 3
"""The newest lessons stand in the prompt."""

Exchange = tuple[str, str]
"""What was asked, and what was said to it; the first of several is asked with the question itself.
"""

Check = Callable[[str], str]
"""What is wrong with an answer; empty if nothing is."""


@dataclass(frozen=True, slots=True)
class Solution:
    """An answer, and how it came about.

    `thoughts` are those that led to it, `votes` counts how many of `candidates` say the same.
    """

    completion: Completion
    thoughts: tuple[str, ...] = ()
    votes: int = 1
    candidates: int = 1


@dataclass
class Asker:
    """A question as it would be asked without a strategy, and what all that was asked has cost."""

    model: ChatModel
    request: ChatRequest
    cancel: CancelToken
    usage: Usage = field(default_factory=Usage)

    def think(self, ask: str, so_far: Sequence[Exchange] = (), *, samples: int = 1) -> list[str]:
        """Thoughts, in words; several ones are drawn at random."""
        sampling = replace(self.request.sampling, temperature=0.7, top_p=0.95)
        completions = self._complete(
            self._turns(so_far, ask),
            max_tokens=THOUGHT_TOKENS,
            constraint=None,
            stop=(),
            sampling=sampling if samples > 1 else Sampling(),
            samples=samples,
        )
        return [done.text.strip() for done in completions]

    def answer(self, so_far: Sequence[Exchange] = ()) -> Completion:
        """The final answer after some thoughts."""
        (done,) = self._complete(self._turns(so_far, ANSWER if so_far else ""))
        return done

    def likely(self, ask: str, so_far: Sequence[Exchange] = ()) -> float:
        """The probability of a yes, from 0 to 1."""
        (done,) = self._complete(
            self._turns(so_far, ask),
            max_tokens=4,
            constraint=Choices(("yes", "no")),
            stop=(),
            sampling=Sampling(),
            top_logprobs=0,
        )
        sure = math.exp(sum(token.allowed_logprob for token in done.logprobs))
        return sure if done.text == "yes" else 1 - sure

    def _turns(self, so_far: Sequence[Exchange], ask: str) -> tuple[Message, ...]:
        *before, question = self.request.messages
        first, *others = (*(asked for asked, _ in so_far), ask)
        if first:
            question = replace(question, content=f"{question.content}\n\n{first}")
        said = (Message("assistant", text) for _, text in so_far)
        then = (Message("user", text) for text in others)
        return (
            *before,
            question,
            *(turn for pair in zip(said, then, strict=True) for turn in pair),
        )

    def _complete(self, messages: tuple[Message, ...], **other: Any) -> list[Completion]:
        found: dict[int, Completion] = {}
        request = replace(self.request, messages=messages, tool_choice="none", **other)
        for delta in self.model.stream(request, self.cancel):
            if delta.completion is not None:
                found[delta.sample] = delta.completion
        if any(done.finish_reason == "cancelled" for done in found.values()):
            self.cancel.check()
            raise Cancelled
        self.usage += sum((done.usage for done in found.values()), Usage())
        return [found[sample] for sample in sorted(found)]


Strategy = Callable[[Asker], Solution]
"""How a question is answered; its numbers are bound already."""


def chain_of_thought(asker: Asker) -> Solution:
    """Two questions: the way, then the answer."""
    thoughts = asker.think(THINK)
    return Solution(asker.answer([(THINK, thoughts[0])]), tuple(thoughts))


def self_consistency(asker: Asker, *, samples: int = 5) -> Solution:
    """The answer that most of the chains agree on; of several, the one that came first.

    What was cut off has no vote, unless all were.
    """
    chains = asker.think(THINK, samples=samples)
    pairs = [(chain, asker.answer([(THINK, chain)])) for chain in chains]
    whole = [pair for pair in pairs if pair[1].finish_reason != "length"] or pairs
    (said, votes), *_ = Counter(_meaning(answer.text) for _, answer in whole).most_common(1)
    chain, answer = next(pair for pair in whole if _meaning(pair[1].text) == said)
    return Solution(answer, (chain,), votes, samples)


def tree_of_thought(
    asker: Asker, *, proposals: int = 3, breadth: int = 2, depth: int = 2
) -> Solution:
    """`proposals` next steps from each of the best `breadth` paths, `depth` times."""
    paths: list[tuple[float, tuple[str, ...]]] = [(1.0, ())]
    considered = 0
    for _ in range(depth):
        grown = [
            (score * promise, (*path, step))
            for score, path in paths
            for step, promise in _next_steps(asker, path, proposals)
        ]
        considered += len(grown)
        paths = sorted(grown, key=lambda path: -path[0])[:breadth]
    _, best = paths[0]
    return Solution(asker.answer([(NEXT, step) for step in best]), best, candidates=considered)


def _next_steps(asker: Asker, path: Sequence[str], count: int) -> Iterator[tuple[str, float]]:
    """Different steps, each with how likely it leads on."""
    so_far = [(NEXT, step) for step in path]
    for step in dict.fromkeys(asker.think(NEXT, so_far, samples=count)):
        yield step, asker.likely(PROMISING, [*so_far, (NEXT, step)])


def reflect(asker: Asker, check: Check, *, attempts: int = 3) -> Solution:
    """Answer until a check passes; each attempt knows what went wrong before.

    The last answer is returned also if it fails: the check is the caller's, and so is the verdict.
    """
    asked, lessons = asker.request, list[str]()
    answer = asker.answer()
    for _ in range(attempts - 1):
        fault = check(answer.text)
        if not fault:
            break
        lessons += asker.think(MISTAKE.format(fault=fault), [("", answer.text)])
        asker.request = _taught(asked, lessons[-LESSONS:])
        answer = asker.answer()
    return Solution(answer, tuple(lessons), candidates=len(lessons) + 1)


def _taught(request: ChatRequest, lessons: Sequence[str]) -> ChatRequest:
    *before, last = request.messages
    learned = "\n".join(f"- {lesson}" for lesson in lessons)
    content = f"{last.content}\n\nWhat earlier attempts taught:\n{learned}"
    return replace(request, messages=(*before, replace(last, content=content)))


def _meaning(answer: str) -> str:
    """Equal for answers that say the same: data by value, words by their letters."""
    try:
        return json.dumps(json.loads(answer), sort_keys=True)
    except ValueError:
        return " ".join(answer.lower().split()).rstrip(".")
