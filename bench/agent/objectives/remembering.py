"""Answer from memory: what was saved there earlier, among things of the same kind."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

from bench.agent.answers import says, says_date, says_number
from bench.agent.objective import Objective

FAMILY = "remembering"
TOOLS = ("memory_search", "memory_save", "calculate", "read_file", "list_files")

FACTS = (
    "Grandmother Ilse was born on 9 March 1938.",
    "Uncle Fritz was born on 12 April 1944.",
    "The wireless network in the garden house is called Plum-Guest.",
    "The wireless network in the flat is called Cedar-Home.",
    "The car was inspected in November 2025; the next inspection is due in November 2027.",
    "Our contract for electricity is with Nordwind; the customer number is 77-4410.",
    "Our contract for gas is with Stadtwerke; the customer number is 31-9925.",
    "The budget for the kitchen is 6,400 euros.",
    "The oven for the kitchen cost 1,150 euros.",
    "The worktop for the kitchen cost 1,875 euros.",
    "Dr. Sommer is our dentist; the practice is closed on Wednesdays.",
    "Dr. Adler is the vet of our cat Minka.",
    "Lea is allergic to hazelnuts.",
    "Jonathan does not eat fish.",
    "The spare key is with Mrs. Okafor on the second floor.",
    "The boiler man, Mr. Lang, comes every October.",
)


def _fact(pattern: str) -> str:
    found = next(match for fact in FACTS if (match := re.search(pattern, fact)))
    return found[1]


def _left(folder: Path) -> str:
    budget, oven, worktop = (
        int(_fact(rf"{what} (?:is|cost) ([\d,]+) euros").replace(",", ""))
        for what in ("budget for the kitchen", "oven for the kitchen", "worktop for the kitchen")
    )
    return f"{budget - oven - worktop:,} euros are left."


OBJECTIVES = (
    Objective(
        "remembering-birthday",
        FAMILY,
        "When was grandmother Ilse born? I have told you once, it should be in your memory.",
        TOOLS,
        check=lambda folder, answer: says_date(answer, date(1938, 3, 9)),
        solve=lambda folder: _fact(r"Ilse was born on (.+)\."),
        mistake=lambda folder: "She was born on 12 April 1944.",
        facts=FACTS,
    ),
    Objective(
        "remembering-key",
        FAMILY,
        "Who has our spare key? Look into your memory.",
        TOOLS,
        check=lambda folder, answer: says(answer, "Okafor", others=["Lang", "Sommer", "Adler"]),
        solve=lambda folder: _fact(r"spare key is with (.+) on"),
        mistake=lambda folder: "Mr. Lang has it.",
        facts=FACTS,
    ),
    Objective(
        "remembering-customer",
        FAMILY,
        "I am calling the electricity company. What is our customer number there, as I told you?",
        TOOLS,
        check=lambda folder, answer: says(
            answer, "77-4410|774410", others=["31-9925", "Stadtwerke"]
        ),
        solve=lambda folder: _fact(r"electricity is with .* number is ([\d-]+)"),
        mistake=lambda folder: "It is 31-9925.",
        facts=FACTS,
    ),
    Objective(
        "remembering-budget",
        FAMILY,
        "From your memory: what is the budget for the kitchen, and how much of it is left after "
        "the oven and the worktop?",
        TOOLS,
        check=lambda folder, answer: says_number(answer, 3375),
        solve=_left,
        mistake=lambda folder: "The budget is 6,400 euros, and 5,250 are left.",
        facts=FACTS,
    ),
)
