"""How an agent's final answer is found: a check that fails is what it learns from."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agentkit.agent.strategies import Asker
from agentkit.cancel import CancelToken
from agentkit.messages import ChatRequest, Message
from agentkit.testing import ScriptedModel
from agentkit.workflow.agents import Agent
from agentkit.workflow.steps.agent import _order

SCHEMA = {"type": "object", "required": ["sum"]}


def scope(folder: Path) -> Any:
    return SimpleNamespace(
        caller=SimpleNamespace(folder=folder), facts={}, beginning=None, without=frozenset()
    )


@pytest.mark.parametrize(
    ("checks", "wrong", "right", "fault"),
    [
        ([{"expression": "'42' in answer"}], "It is 41.", "It is 42.", "'42' in answer"),
        ([{"schema": SCHEMA}], "[]", '{"sum": 42}', "does not fit the schema"),
        ([{"schema": SCHEMA}], "It is 42.", '{"sum": 42}', "not JSON"),
    ],
)
def test_a_final_answer_is_given_again_with_what_a_failed_check_taught(
    tmp_path: Path, checks: list[Any], wrong: str, right: str, fault: str
) -> None:
    about = {"objective": "Add them up", "checks": checks, "strategy": "reflect"}
    order = _order(Agent.model_validate(about), scope(tmp_path))
    model = ScriptedModel(wrong, "Look at the last row.", right)

    assert order.strategy is not None
    asker = Asker(model, ChatRequest((Message("user", "Add them up"),)), CancelToken())
    solution = order.strategy(asker)

    assert solution.completion.text == right
    assert fault in model.requests[1].messages[-1].content
    assert "Look at the last row." in model.requests[2].messages[-1].content


def test_what_code_finds_right_is_not_asked_for_again(tmp_path: Path) -> None:
    """Questions about an answer are asked by the agent, with what it knows."""
    about = {"objective": "Add", "checks": [{"question": "Is it so?"}], "strategy": "reflect"}
    order = _order(Agent.model_validate(about), scope(tmp_path))
    model = ScriptedModel("It is 42.")

    assert order.strategy is not None
    asker = Asker(model, ChatRequest((Message("user", "Add them up"),)), CancelToken())

    assert order.strategy(asker).completion.text == "It is 42."
    assert order.checks == ("Is it so?",)
