"""Answers that have a form: bound to it while they are written, and never an exception.

The names end with the issues of other agents that say otherwise, as in `test_complaints`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest

from agentkit import events as ev
from agentkit.agent.budget import Budget
from agentkit.agent.checks import FitsSchema
from agentkit.messages import JsonSchema

from .player import Player, Stage, after
from .test_complaints import FILES, READ, parts, schemas, words

CITY = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "country": {"type": "string"}},
    "required": ["city", "country"],
    "additionalProperties": False,
}
LONDON = {"city": "London", "country": "United Kingdom"}


def test_an_answer_of_a_form_is_bound_to_it_pydantic_ai_200_437_576(stage: Stage) -> None:
    stage.file("a.txt", "The olympics of 2012 were held in London, United Kingdom.")
    player = Player(after(READ, answer="In London, United Kingdom."), answer=LONDON)

    result = stage.pursue(player, "Where were they held?", schema=CITY, checks=(FitsSchema(CITY),))

    assert (result.answer, result.reason) == (
        '{"city": "London", "country": "United Kingdom"}',
        "done",
    )
    asked = player.phases("answer")
    assert asked
    assert all(about.request.constraint == JsonSchema(CITY) for about in asked)
    assert stage.told(ev.CheckFailed) == []


@dataclass(frozen=True)
class Never:
    """A check that no answer passes."""

    name: str = "validation"

    def fault(self, answer: Any) -> str:
        return f"{answer['city']} is not it"


@pytest.mark.parametrize("attempts", [1, 2, 3])
def test_an_answer_that_stays_wrong_ends_with_a_report_pydantic_ai_200_576(
    stage: Stage, attempts: int
) -> None:
    """After as many attempts as the budget says, and with what was found all the same."""
    player = Player("In London, United Kingdom.", answer=LONDON)
    checks, budget = (FitsSchema(CITY), Never()), Budget(attempts=attempts)

    result = stage.pursue(
        player, "Where were they held?", schema=CITY, checks=checks, budget=budget
    )

    assert (json.loads(result.answer), result.reason) == (LONDON, "nothing_left")
    assert [fault.fault for fault in stage.told(ev.CheckFailed)] == ["London is not it"] * attempts
    assert "In London, United Kingdom." in stage.report


def test_every_pattern_says_where_it_begins_and_ends_openclaw_108671(stage: Stage) -> None:
    """A server that makes a grammar of all tools refuses all requests for one loose pattern."""
    stage.file("a.txt", "See https://example.org/x " + words("word", 600))  # no look shows all
    player = Player(after(READ), complete="no", more={"tasks": ["Look again"]})
    tools = (*FILES, "search_files", "fetch_url", "calculate", "now", "read_more", "edit_file")

    stage.pursue(player, "Look at a.txt", tools)

    found = [part for one in player.requests for schema in schemas(one) for part in parts(schema)]
    patterns = {part["pattern"] for part in found if isinstance(part.get("pattern"), str)}
    assert patterns
    assert {one for one in patterns if not (one.startswith("^") and one.endswith("$"))} == set()
