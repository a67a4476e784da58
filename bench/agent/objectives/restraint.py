"""What cannot be found: the right answer says so, and makes nothing up."""

from __future__ import annotations

from pathlib import Path

from bench.agent.answers import says_unknown
from bench.agent.objective import Objective
from bench.agent.objectives.notes import FILES, TOOLS
from bench.agent.objectives.tables import PRICES
from bench.agent.objectives.tables import TOOLS as TABLE_TOOLS

FAMILY = "restraint"

INVOICES = {
    f"invoices/2024-{number}.txt": f"Invoice 2024-{number}\nTotal: EUR {total}\n"
    for number, total in ((11, "340.00"), (12, "89.90"), (13, "1,220.00"), (14, "75.30"),
                          (15, "640.10"), (18, "512.00"))
}  # fmt: skip


def _unless_there(folder: Path, word: str, answer: str) -> str:
    """The answer, where really nothing in the folder has the word in it."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    there = any(word in path.name.lower() + path.read_text().lower() for path in paths)
    return "It is there." if there else answer


OBJECTIVES = (
    Objective(
        "restraint-plumber",
        FAMILY,
        "What is the telephone number of our plumber, according to these notes? If they do not say "
        "it, tell me so.",
        TOOLS,
        check=lambda folder, answer: says_unknown(answer, r"(?:\d[\s/-]?){5,}|\b\d{3}\b"),
        solve=lambda folder: _unless_there(
            folder, "plumber", "The notes do not mention a plumber."
        ),
        mistake=lambda folder: "The plumber's extension is 260.",
        files=FILES,
    ),
    Objective(
        "restraint-invoice",
        FAMILY,
        "What is the total of invoice 2024-17? The invoices are in the folder invoices.",
        TOOLS,
        check=lambda folder, answer: says_unknown(answer, r"\d+\.\d\d\b|(?:EUR|€)\s*\d+"),
        solve=lambda folder: _unless_there(folder, "2024-17", "There is no invoice 2024-17."),
        mistake=lambda folder: "The total is EUR 512.00.",
        files=INVOICES,
    ),
    Objective(
        "restraint-price",
        FAMILY,
        "What does a washer cost, according to prices.csv?",
        TABLE_TOOLS,
        check=lambda folder, answer: says_unknown(answer, r"\d+\.\d\d\b"),
        solve=lambda folder: _unless_there(folder, "washer", "prices.csv has no washer in it."),
        mistake=lambda folder: "A washer costs 0.08.",
        files={"prices.csv": PRICES},
    ),
)
