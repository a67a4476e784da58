"""Find one thing in a folder of notes; some of it was true once, some of it is in two notes."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

from bench.agent.answers import says, says_date, says_number
from bench.agent.objective import Objective

FAMILY = "notes"
TOOLS = ("list_files", "read_file", "search_files", "calculate")

FILES = {
    "2026-01-12-board.md": (
        "# Board, 12 January 2026\n\nPresent: Tom Becker, Priya Nair, Ola Berg, Hugo Stein.\n\n"
        "- Tom Becker has been treasurer for six years and asks for a successor.\n"
        "- The rent for the workshop stays at EUR 1,150.00 a month for now.\n"
        "- The deadline for the grant of the Linden foundation is 30 April 2026.\n"
    ),
    "2026-02-09-board.md": (
        "# Board, 9 February 2026\n\nPresent: Tom Becker, Priya Nair, Ola Berg.\n\n"
        "- Priya Nair was elected treasurer; Tom Becker hands the books over in March.\n"
        "- Ola Berg asks who looks after the cold room. Next time.\n"
    ),
    "2026-03-16-board.md": (
        "# Board, 16 March 2026\n\nPresent: Priya Nair, Ola Berg, Hugo Stein.\n\n"
        "- The Linden foundation has moved the deadline for its grant to 15 May 2026.\n"
        "- Hugo Stein is responsible for the cold room from now on.\n"
        "- The summer market is on 20 June 2026; twelve stalls so far.\n"
    ),
    "landlord.md": (
        "# Letters from the landlord\n\n"
        "4 May 2026: from July on the rent for the workshop is EUR 1,204.50 a month, due on the "
        "third. The deposit of EUR 2,300.00 stays as it is.\n"
    ),
    "machines.md": (
        "# Machines\n\n- Band saw: serial number BS-2217-K, bought in 2019.\n"
        "- Boiler: serial number VX-40917-B, last service on 3 November 2025.\n"
        "- Compressor: serial number CP-40971-B, needs a new belt.\n"
    ),
    "telephones.md": (
        "# Extensions in the house\n\n- Ola Berg: 214\n- Priya Nair: 231\n- Hugo Stein: 247\n"
        "- Tom Becker: 209\n- Kitchen: 260\n"
    ),
    "market.md": (
        "# Summer market\n\nA stall costs EUR 35.00, with electricity EUR 42.50. Fourteen stalls "
        "are booked as of 1 June, five of them with electricity.\n"
    ),
    "ideas.md": (
        "# Ideas\n\n- A repair café, every second Saturday.\n- Solar panels on the shed.\n"
        "- A shelf where tools can be borrowed.\n"
    ),
    "keys.md": (
        "# Who has keys\n\n- Front door: Tom Becker, Ola Berg, Hugo Stein\n"
        "- Workshop: Ola Berg, Priya Nair\n- Shed: Hugo Stein\n"
    ),
}


def _find(folder: Path, file: str, pattern: str) -> str:
    found = re.search(pattern, (folder / file).read_text())
    assert found is not None
    return found[1]


def _extension(folder: Path) -> str:
    who = _find(folder, "2026-03-16-board.md", r"- (.+) is responsible for the cold room")
    extension = _find(folder, "telephones.md", rf"{who}: (\d+)")
    return f"{who} has extension {extension}."


def _stalls(folder: Path) -> str:
    text = (folder / "market.md").read_text()
    plain, electric = (float(price) for price in re.findall(r"EUR ([\d.]+\d)", text))
    assert "Fourteen stalls" in text
    assert "five of them with" in text
    return f"They bring EUR {9 * plain + 5 * electric:,.2f}."


OBJECTIVES = (
    Objective(
        "notes-rent",
        FAMILY,
        "How much is the monthly rent for the workshop from July 2026 on? It is somewhere in these "
        "notes.",
        TOOLS,
        check=lambda folder, answer: says_number(answer, "1204.50", but=["2300"]),
        solve=lambda folder: _find(folder, "landlord.md", r"is (EUR [\d.,]+\d) a month"),
        mistake=lambda folder: "The monthly rent for the workshop is EUR 1,150.00.",
        files=FILES,
    ),
    Objective(
        "notes-deadline",
        FAMILY,
        "By which date must the application to the Linden foundation be handed in? Look at all the "
        "notes about it, it may have been changed.",
        TOOLS,
        check=lambda folder, answer: says_date(answer, date(2026, 5, 15)),
        solve=lambda folder: _find(
            folder, "2026-03-16-board.md", r"has moved the deadline for its grant to ([\w ]+)\."
        ),
        mistake=lambda folder: "The deadline is 30 April 2026.",
        files=FILES,
    ),
    Objective(
        "notes-treasurer",
        FAMILY,
        "Who is the treasurer of our club now, according to the notes in this folder?",
        TOOLS,
        check=lambda folder, answer: says(
            answer, "Nair|Priya", others=["Tom Becker", "Ola Berg", "Hugo Stein"]
        ),
        solve=lambda folder: _find(folder, "2026-02-09-board.md", r"- (.+) was elected treasurer"),
        mistake=lambda folder: "Tom Becker is the treasurer.",
        files=FILES,
    ),
    Objective(
        "notes-serial",
        FAMILY,
        "I need the serial number of the boiler. Which is it?",
        TOOLS,
        check=lambda folder, answer: says(answer, "VX-40917-B", others=["CP-40971-B", "BS-2217-K"]),
        solve=lambda folder: _find(folder, "machines.md", r"Boiler: serial number (\S+),"),
        mistake=lambda folder: "The serial number is CP-40971-B.",
        files=FILES,
    ),
    Objective(
        "notes-two-hops",
        FAMILY,
        "Which telephone extension has the person who is responsible for the cold room? First find "
        "out who that is.",
        TOOLS,
        check=lambda folder, answer: says_number(answer, 247, but=[214, 231, 209]),
        solve=_extension,
        mistake=lambda folder: "Ola Berg is responsible for it; the extension is 214.",
        files=FILES,
    ),
    Objective(
        "notes-stalls",
        FAMILY,
        "How much money do the stalls that are booked for the summer market bring in all? The note "
        "about the market says what a stall costs.",
        TOOLS,
        check=lambda folder, answer: says_number(answer, "527.50"),
        solve=_stalls,
        mistake=lambda folder: "14 stalls at EUR 35.00 bring EUR 490.00.",
        files=FILES,
    ),
)
