"""Lists are looked at as to what the task says of their form."""

from __future__ import annotations

import pytest

from agentkit.agent.forms import faults, new_line

SEVERAL = "a.txt has a line with several in it: 'Greta, Anna'"
TWICE = "a.txt has a line more than once: 'milk'"
LATE = "a.txt is not in alphabetical order: 'Anna' comes too late"


@pytest.mark.parametrize(
    ("task", "text", "found"),
    [
        ("one name a line", "Greta, Anna\nPavel", [SEVERAL]),
        ("one name per line", "Greta\nAnna", []),
        ("one address a line", "12 High Street, the second door on the left\n", []),
        ("the names, with commas", "Greta, Anna\nPavel", []),
        ("one thing a line, nothing twice", "milk\nbread\n milk", [TWICE]),
        ("each name once", "milk\nmilk", [TWICE]),
        ("without duplicates", "milk\nmilk", [TWICE]),
        ("unique lines", "milk\nMilk", []),
        ("all lines", "milk\nmilk", []),
        ("each name once", "milk\n\n\nbread", []),
        ("in alphabetical order", "Greta\nAnna\nPavel", [LATE]),
        ("alphabetically", "anna\nGreta", []),
        ("alphabetically", "Greta\nanna", []),
        ("in reverse alphabetical order", "Greta\nAnna", []),
        ("alphabetically by city", "Greta\nAnna", []),
        ("one name a line, each once, in alphabetical order", "", []),
        ("one name a line, in alphabetical order", "Greta, Anna\nAnna", [SEVERAL, LATE]),
    ],
)
def test_a_list_is_as_the_task_says(task: str, text: str, found: list[str]) -> None:
    assert [*faults(task, "a.txt", text)] == found


@pytest.mark.parametrize(
    ("text", "new"),
    [
        ("TODO buy seeds\nTODO mend the gate", ""),
        ("garden.md: TODO buy seeds", ""),
        ("TODO buy seeds\nmend the gate", "mend the gate"),
    ],
)
def test_lines_that_were_copied_stand_somewhere_as_they_are(text: str, new: str) -> None:
    others = ["garden.md:2:TODO buy seeds", "# House\n  TODO mend the gate"]
    assert new_line("a.txt", text, others) == new


def test_only_of_lists_the_lines_are_entries() -> None:
    assert [*faults("in alphabetical order, each once", "a.csv", "name\nBo\nAda\nAda")] == []
