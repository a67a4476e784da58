"""Ways to answer one hard question: what is asked, what is kept, and what becomes the answer."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from agentkit.agent.strategies import (
    ANSWER,
    MISTAKE,
    NEXT,
    PROMISING,
    THINK,
    Asker,
    Solution,
    chain_of_thought,
    reflect,
    self_consistency,
    tree_of_thought,
)
from agentkit.cancel import CancelToken
from agentkit.errors import Cancelled
from agentkit.messages import ChatRequest, Delta, JsonSchema, Message
from agentkit.testing import ScriptedModel

QUESTION = (Message("system", "Be good."), Message("user", "What is 6 times 7?"))
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


def asker(*answers: Any, schema: dict[str, Any] | None = None) -> tuple[Asker, ScriptedModel]:
    model = ScriptedModel(*answers)
    constraint = None if schema is None else JsonSchema(schema)
    request = ChatRequest(QUESTION, 40, stop=("###",), constraint=constraint)
    return Asker(model, request, CancelToken()), model


def said(solution: Solution) -> Any:
    return (
        solution.completion.text
        if solution.completion.text[:1] != "{"
        else json.loads(solution.completion.text)
    )


def same_beginning(model: ScriptedModel) -> bool:
    """Whether all prompts share the system's turn and the question."""
    return all(
        request.messages[0] == QUESTION[0]
        and request.messages[1].content.startswith(QUESTION[1].content)
        for request in model.requests
    )


# -- chain of thought ------------------------------------------------------------------------------


def test_a_thought_comes_first_and_the_answer_is_a_question_of_its_own() -> None:
    ask, model = asker("Six sevens are forty-two.", {"n": 42}, schema=SCHEMA)

    solution = chain_of_thought(ask)

    assert said(solution) == {"n": 42}
    assert solution.thoughts == ("Six sevens are forty-two.",)
    think, answer = model.requests
    assert think.messages[-1].content == f"{QUESTION[1].content}\n\n{THINK}"
    assert think.constraint is None
    assert answer.messages[-2:] == (
        Message("assistant", "Six sevens are forty-two."),
        Message("user", ANSWER),
    )
    assert answer.constraint == JsonSchema(SCHEMA)
    assert same_beginning(model)
    assert (think.stop, answer.stop, answer.max_tokens) == ((), ("###",), 40)
    assert ask.usage.completion_tokens == 4 + 2


def test_an_answer_in_words_is_text() -> None:
    ask, _ = asker("A thought.", " 42 \n")

    assert chain_of_thought(ask).completion.text.strip() == "42"


def test_whoever_cancels_gets_no_answer() -> None:
    ask, _ = asker("A thought.", "42")
    ask.cancel = CancelToken()
    ask.cancel.cancel()

    with pytest.raises(Cancelled):
        chain_of_thought(ask)


# -- self-consistency ------------------------------------------------------------------------------


def test_the_answer_that_most_chains_agree_on_wins() -> None:
    ask, model = asker("one", "two", "three", {"n": 41}, {"n": 42}, {"n": 42}, schema=SCHEMA)

    solution = self_consistency(ask, samples=3)

    assert (said(solution), solution.votes, solution.candidates) == ({"n": 42}, 2, 3)
    assert solution.thoughts == ("two",)
    assert model.requests[0].samples == 3
    assert model.requests[0].sampling.temperature > 0
    assert [request.messages[-2].content for request in model.requests[1:]] == [
        "one", "two", "three",
    ]  # fmt: skip
    assert all(request.sampling.temperature == 0 for request in model.requests[1:])


def test_answers_that_say_the_same_are_counted_together() -> None:
    ask, _ = asker("a", "b", "c", "d", "Forty  one", "Forty-Two.", "forty-two", " forty-two. ")

    solution = self_consistency(ask, samples=4)

    assert (said(solution), solution.votes) == ("Forty-Two.", 3)


def test_the_order_of_keys_makes_no_other_answer() -> None:
    ask, _ = asker("a", "b", "c", {"n": 1}, {"n": 2, "m": 3}, {"m": 3, "n": 2}, schema=SCHEMA)

    assert self_consistency(ask, samples=3).votes == 2


def test_of_several_with_the_same_votes_the_first_one_is_taken() -> None:
    ask, _ = asker("a", "b", "c", "red", "blue", "green")

    solution = self_consistency(ask, samples=3)

    assert (said(solution), solution.votes, solution.thoughts) == ("red", 1, ("a",))


def test_an_answer_that_was_cut_off_has_no_vote() -> None:
    long = " ".join(["word"] * 50)
    ask, _ = asker("a", "b", "c", long, long, "short")

    solution = self_consistency(ask, samples=3)

    assert (said(solution), solution.votes, solution.candidates) == ("short", 1, 3)


def test_where_all_were_cut_off_one_of_them_is_the_answer() -> None:
    long = " ".join(["word"] * 50)
    ask, _ = asker("a", "b", long, long)

    assert self_consistency(ask, samples=2).completion.finish_reason == "length"


# -- tree of thought -------------------------------------------------------------------------------

SURE = {"bad": 0.1, "good": 0.9, "fair": 0.6}
"""How likely a yes is, by the last word of a thought."""


class Grower:
    """A `ChatModel` that proposes `bad`, `good` and `fair` steps, each time with a number."""

    name = "grower"
    context_tokens = 8192

    def __init__(self, steps: tuple[str, ...] = ("bad", "good", "fair")) -> None:
        self.requests: list[ChatRequest] = []
        self.steps = steps
        self.counts = Counter[str]()

    def count_tokens(self, messages: Any, tools: Any = ()) -> int:
        return ScriptedModel().count_tokens(messages)

    def stream(self, request: ChatRequest, cancel: CancelToken | None = None) -> Iterator[Delta]:
        self.requests.append(request)
        asked = request.messages[-1].content
        thought = request.messages[-2].content
        if asked.endswith(NEXT):
            depth = len(path(request))
            yield from ScriptedModel(*(f"{depth} {step}" for step in self.steps)).stream(request)
        elif asked == PROMISING:
            yield from self._likely(request, SURE[thought.split()[-1]])
        else:
            yield from ScriptedModel("42").stream(request)

    def _likely(self, request: ChatRequest, sure: float) -> Iterator[Delta]:
        """The likelier of yes and no, with how likely it is."""
        word = "yes" if sure >= 0.5 else "no"
        share = math.log(sure if word == "yes" else 1 - sure)
        for delta in ScriptedModel(word).stream(request):
            done = delta.completion
            if done is not None:
                told = tuple(replace(token, allowed_logprob=share) for token in done.logprobs)
                delta = replace(delta, completion=replace(done, logprobs=told))
            yield delta

    def warm(self, messages: Any, tools: Any = ()) -> None: ...

    def close(self) -> None: ...


def tree(model: Grower) -> Asker:
    return Asker(model, ChatRequest(QUESTION), CancelToken())


def path(request: ChatRequest) -> list[str]:
    """The steps that stand in a conversation."""
    return [message.content for message in request.messages if message.role == "assistant"]


def grown_from(model: Grower) -> list[list[str]]:
    """The paths from which next steps were asked for."""
    return [path(one) for one in model.requests if one.messages[-1].content.endswith(NEXT)]


def test_only_the_best_paths_go_on_and_the_best_of_all_leads_to_the_answer() -> None:
    model = Grower()

    solution = tree_of_thought(tree(model), breadth=2, depth=2, proposals=3)

    assert grown_from(model) == [[], ["0 good"], ["0 fair"]]
    assert solution.thoughts == ("0 good", "1 good")
    assert solution.candidates == 3 + 2 * 3
    assert said(solution) == "42"
    assert path(model.requests[-1]) == ["0 good", "1 good"]
    assert model.requests[-1].messages[-1].content == ANSWER


@pytest.mark.parametrize(("breadth", "depth", "grown"), [(1, 3, 3), (3, 2, 4), (2, 1, 1)])
def test_breadth_and_depth_bound_the_tree(breadth: int, depth: int, grown: int) -> None:
    model = Grower()

    solution = tree_of_thought(tree(model), breadth=breadth, depth=depth, proposals=3)

    assert len(grown_from(model)) == grown
    assert len(solution.thoughts) == depth


def test_the_same_step_is_judged_once() -> None:
    model = Grower(("good", "good", "fair"))

    tree_of_thought(tree(model), breadth=1, depth=1, proposals=3)

    judged = [one for one in model.requests if one.messages[-1].content == PROMISING]
    assert [request.messages[-2].content for request in judged] == ["0 good", "0 fair"]


# -- reflection ------------------------------------------------------------------------------------


def below(limit: int) -> Callable[[str], str]:
    def fault(answer: str) -> str:
        number = json.loads(answer)["n"]
        return "" if number < limit else f"{number} is too much"

    return fault


def test_an_answer_that_passes_is_not_thought_about() -> None:
    ask, model = asker({"n": 3}, schema=SCHEMA)

    solution = reflect(ask, below(10))

    assert (said(solution), solution.thoughts, solution.candidates) == ({"n": 3}, (), 1)
    assert len(model.requests) == 1


def test_the_next_attempt_knows_what_went_wrong_before() -> None:
    ask, model = asker({"n": 30}, "Take less.", {"n": 20}, "Much less.", {"n": 5}, schema=SCHEMA)

    solution = reflect(ask, below(10))

    assert said(solution) == {"n": 5}
    assert solution.thoughts == ("Take less.", "Much less.")
    assert solution.candidates == 3
    _, thought, second, _, third = model.requests
    assert thought.messages[-2] == Message("assistant", '{"n": 30}')
    assert thought.messages[-1].content == MISTAKE.format(fault="30 is too much")
    assert second.messages[-1].content.endswith("What earlier attempts taught:\n- Take less.")
    assert third.messages[-1].content.endswith("taught:\n- Take less.\n- Much less.")
    assert same_beginning(model)
    assert len(third.messages) == len(QUESTION)  # what was wrong does not stand there


def test_the_last_answer_comes_back_though_it_fails() -> None:
    ask, model = asker({"n": 30}, "Take less.", {"n": 20}, schema=SCHEMA)

    solution = reflect(ask, below(10), attempts=2)

    assert said(solution) == {"n": 20}
    assert len(model.requests) == 3


def test_only_the_newest_lessons_are_told() -> None:
    answers: list[Any] = [{"n": 99}]
    for number in range(5):
        answers += [f"Lesson {number}.", {"n": 99}]
    ask, model = asker(*answers, schema=SCHEMA)

    reflect(ask, below(10), attempts=6)

    told = model.requests[-1].messages[-1].content
    assert [f"Lesson {number}." in told for number in range(5)] == [False, False, True, True, True]
