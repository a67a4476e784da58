"""A question to the person, and what comes back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from agentkit.errors import ApprovalNeeded, ToolRetry

Call = Callable[..., Any]


def test_the_answer_is_what_the_person_said(call: Call, context: Any) -> None:
    context.says = ["in the blue folder"]

    assert call("ask_user", question=" Where is it? ") == "in the blue folder"
    assert context.asked == [("Where is it?", ())]


def test_choices_are_handed_on_once_each(call: Call, context: Any) -> None:
    context.says = ["red"]

    assert call("ask_user", question="Which?", choices=["red", " blue", "red"]) == "red"
    assert context.asked == [("Which?", ("red", "blue"))]


def test_where_nobody_is_there_the_question_waits(call: Call) -> None:
    with pytest.raises(ApprovalNeeded, match="a person has to answer: Which"):
        call("ask_user", question="Which?")


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        ({"question": "  "}, "question is empty"),
        ({"question": "Which?", "choices": ["red"]}, "two answers or more"),
        ({"question": "Which?", "choices": ["red", ""]}, "none of them empty"),
    ],
)
def test_what_is_no_question_is_not_asked(
    call: Call, context: Any, arguments: dict[str, Any], hint: str
) -> None:
    with pytest.raises(ToolRetry, match=hint):
        call("ask_user", **arguments)
    assert context.asked == []
