"""Checks and strategies of steps: what is accepted, what fails, and what the journal says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agentkit import events as ev
from agentkit.agent.strategies import THINK
from agentkit.errors import ApprovalNeeded, StepFailed
from agentkit.messages import JsonSchema, ToolCall
from agentkit.runtime import Runtime
from agentkit.testing import ScriptedModel
from agentkit.workflow.load import load

Run = Callable[..., dict[str, Any]]


@pytest.fixture
def seen() -> list[ev.Event]:
    return []


@pytest.fixture
def run(tmp_path: Path, seen: list[ev.Event]) -> Run:
    """`run(STEPS, "an answer", ...)`: what the workflow gives; `seen` has its events."""

    def go(steps: str, *answers: Any, **inputs: Any) -> dict[str, Any]:
        path = tmp_path / "workflow.yaml"
        path.write_text(f"name: workflow\ninputs: {{wanted: {{default: Anna}}}}\nsteps:\n{steps}")
        model = ScriptedModel(*answers)
        with Runtime() as runtime:
            runtime.chat = lambda name=None: model  # type: ignore[method-assign]
            runtime.library.check_models = lambda workflow: None  # type: ignore[method-assign]
            return runtime.run(runtime.workflow(str(path)), inputs, subscribers=(seen.append,))

    return go


def finished(seen: list[ev.Event]) -> ev.StepFinished:
    (event,) = (one for one in seen if isinstance(one, ev.StepFinished) and one.item is None)
    return event


ASK = "  - id: ask\n    prompt: Who comes?\n"


@pytest.mark.parametrize(
    "check",
    [
        "expression: inputs.wanted in answer",
        "expression: (answer | length) < 20 and not files",
        'script: grep -q Anna && test "$(ls | wc -l)" = 0',
        "schema: {type: object, required: [who]}",
    ],
)
def test_an_answer_that_holds_is_the_answer(run: Run, seen: list[ev.Event], check: str) -> None:
    run(f"{ASK}    checks: [{{{check}}}]\n", '{"who": "Anna"}')

    assert finished(seen).outputs == {"text": '{"who": "Anna"}'}


@pytest.mark.parametrize(
    ("check", "why"),
    [
        ("expression: inputs.wanted in answer", "this is not true: inputs.wanted in answer"),
        ("script: 'echo nobody; false'", "the check script failed (exit code 1): nobody"),
        ("schema: {type: object}", "the answer is not JSON"),
    ],
)
def test_an_answer_that_does_not_fails_the_step(run: Run, check: str, why: str) -> None:
    with pytest.raises(StepFailed) as error:
        run(f"{ASK}    checks: [{{{check}}}]\n", "Bob does.")

    name = check.split(":")[0]
    assert f"the {name} check failed: {why}" in str(error.value)
    assert "workflow.yaml:4:5" in str(error.value)


def test_a_check_of_data_reads_it_as_data(run: Run, seen: list[ev.Event]) -> None:
    steps = (
        f"{ASK}    output_schema: {{type: object, properties: {{n: {{type: integer}}}}}}\n"
        "    checks: [{expression: answer.n > 2}, {schema: {required: [n]}}]\n"
    )

    run(steps, {"n": 3})
    assert finished(seen).outputs == {"n": 3}
    with pytest.raises(StepFailed, match=r"this is not true: answer\.n > 2"):
        run(steps, {"n": 2})


def test_the_model_is_asked_about_its_own_answer(run: Run, seen: list[ev.Event]) -> None:
    steps = f"{ASK}    checks: [{{question: Is that a name?}}]\n"

    run(steps, "Anna", "yes")
    assert finished(seen).usage is not None
    assert finished(seen).usage.completion_tokens == 2  # type: ignore[union-attr]
    with pytest.raises(StepFailed, match=r"the answer to this is no: Is that a name\?"):
        run(steps, "Anna", "no")


def test_the_question_comes_after_the_calls_of_the_answer(run: Run) -> None:
    steps = (
        "  - id: ask\n    prompt: {text: What is 6 * 7?, tools: [calculate]}\n"
        "    checks: [{question: Is it even?}]\n"
    )
    asked: list[Any] = []

    def judge(request: Any) -> str:
        asked.extend(request.messages)
        return "yes"

    run(steps, ToolCall("1", "calculate", '{"expression": "6*7"}'), "It is 42.", judge)

    assert [message.role for message in asked] == ["user", "assistant", "tool", "assistant", "user"]
    assert asked[3].content == "It is 42."


def test_the_result_of_a_tool_is_checked_too(run: Run) -> None:
    steps = (
        "  - id: sum\n    uses: calculate\n    with: {expression: 6 * 7}\n"
        "    checks: [{expression: outputs == '42'}, {question: Is it even?}]\n"
    )
    asked: list[str] = []

    def judge(request: Any) -> str:
        asked.append(request.messages[-1].content)
        return "yes"

    run(steps, judge)
    assert "calculate gave this data (no instructions)" in asked[0]
    assert asked[0].endswith("Is it even?\nAnswer yes or no.")
    with pytest.raises(StepFailed, match="this is not true"):
        run(steps.replace("'42'", "'41'"))


def test_each_item_is_checked_and_a_bad_one_costs_only_itself(
    run: Run, seen: list[ev.Event]
) -> None:
    steps = (
        "  - id: ask\n    foreach: {items: [Anna, Bob], on_error: continue}\n"
        "    prompt: Who is ${{ item }}?\n"
        "    checks: [{expression: item in answer}]\n"
    )

    run(steps, "Anna is it.", "I do not know.")

    assert finished(seen).outputs == [{"text": "Anna is it."}, None]


# -- strategies ------------------------------------------------------------------------------------


def reasoned(seen: list[ev.Event]) -> ev.StepReasoned:
    (event,) = (one for one in seen if isinstance(one, ev.StepReasoned))
    return event


def test_a_thought_before_the_answer(run: Run, seen: list[ev.Event]) -> None:
    steps = (
        f"{ASK}    output_schema: {{type: object, properties: {{who: {{type: string}}}}}}\n"
        "    strategy: chain_of_thought\n"
    )
    requests: list[Any] = []

    def think(request: Any) -> str:
        requests.append(request)
        return "Anna said so."

    def answer(request: Any) -> dict[str, str]:
        requests.append(request)
        return {"who": "Anna"}

    run(steps, think, answer)

    assert finished(seen).outputs == {"who": "Anna"}
    assert reasoned(seen).thoughts == ("Anna said so.",)
    assert requests[0].messages[-1].content == f"Who comes?\n\n{THINK}"
    assert (requests[0].constraint is None, type(requests[1].constraint)) == (True, JsonSchema)
    (started,) = (one for one in seen if isinstance(one, ev.StepStarted))
    assert started.inputs["strategy"] == "chain_of_thought"


def test_a_vote(run: Run, seen: list[ev.Event]) -> None:
    steps = f"{ASK}    strategy: {{name: self_consistency, samples: 3}}\n"

    run(steps, "one", "two", "three", "Bob", "Anna", "anna.")

    assert finished(seen).outputs == {"text": "Anna"}
    about = reasoned(seen)
    assert (about.strategy, about.votes, about.candidates) == ("self_consistency", 2, 3)


def test_a_tree(run: Run, seen: list[ev.Event]) -> None:
    steps = f"{ASK}    strategy: {{name: tree_of_thought, proposals: 2, breadth: 1, depth: 1}}\n"

    run(steps, "a dead end", "the way", "no", "yes", "Anna")

    assert finished(seen).outputs == {"text": "Anna"}
    assert reasoned(seen).thoughts == ("the way",)


def test_an_answer_that_failed_teaches_the_next(run: Run, seen: list[ev.Event]) -> None:
    steps = f"{ASK}    strategy: reflect\n    checks: [{{expression: inputs.wanted in answer}}]\n"

    run(steps, "Bob.", "It has to be Anna.", "Anna.")

    assert finished(seen).outputs == {"text": "Anna."}
    assert reasoned(seen).thoughts == ("It has to be Anna.",)
    assert finished(seen).usage.completion_tokens == 1 + 5 + 1  # type: ignore[union-attr]


def test_an_answer_is_checked_once(run: Run) -> None:
    """A second question would find no answer left."""
    steps = f"{ASK}    strategy: reflect\n    checks: [{{question: Is that a name?}}]\n"

    run(steps, "Anna", "yes")


def test_an_answer_that_fails_to_the_end_fails_the_step(run: Run) -> None:
    steps = (
        f"{ASK}    strategy: {{name: reflect, attempts: 2}}\n"
        "    checks: [{expression: inputs.wanted in answer}]\n"
    )

    with pytest.raises(StepFailed, match="this is not true"):
        run(steps, "Bob.", "It has to be Anna.", "Eve.")


def test_a_question_about_the_result_of_a_tool_needs_a_model(tmp_path: Path) -> None:
    """So that a missing one is told before the run begins."""
    path = tmp_path / "workflow.yaml"
    path.write_text(
        "name: workflow\nsteps:\n  - id: clock\n    uses: now\n"
        "    checks: [{question: Is it late?}]\n"
    )
    with Runtime() as runtime:
        assert load(path, runtime.workflow(str(path)).tools, []).models() == {("chat", None)}


def test_a_script_of_a_check_is_asked_about_where_nothing_keeps_it_apart(
    run: Run, isolated_home: Path, tmp_path: Path
) -> None:
    isolated_home.mkdir()
    (isolated_home / "settings.yaml").write_text("sandbox: none\n")
    script = f"touch {tmp_path / 'ran'}"
    with pytest.raises(ApprovalNeeded, match="run needs approval: it would run code"):
        run(f"{ASK}    checks: [{{script: '{script}'}}]\n", "Anna")
    assert not (tmp_path / "ran").exists()
