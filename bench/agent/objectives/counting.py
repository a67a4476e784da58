"""Count what is there: files in folders, lines of a log, different names in a table."""

from __future__ import annotations

from random import Random

from bench.agent.answers import says_number
from bench.agent.objective import Objective
from bench.agent.objectives.tables import as_csv, rows

FAMILY = "counting"
TOOLS = ("list_files", "search_files", "read_file", "query_tables", "run_python")


def _log() -> str:
    chance = Random("log")
    said = ("INFO started a job", "INFO no error so far", "WARNING slow answer of the disk",
            "ERROR the disk is full", "INFO ended a job", "DEBUG error counter is 0")  # fmt: skip
    times = (f"2026-05-02 {n // 6:02}:{n % 6}{chance.randint(0, 9)}" for n in range(90))
    return "".join(f"{time} {chance.choice(said)}\n" for time in times)


def _visits() -> str:
    chance = Random("visits")
    people = ["Ada", "Bo", "Carl", "Dora", "Emil", "Finn", "Gil", "Hana", "Ines", "Jon", "Kai"]
    return as_csv("day,customer", ((day, chance.choice(people)) for day in range(1, 29)))


PAPERS = {
    name: f"This is {name}.\n"
    for name in (
        "letters/2024/bank.txt",
        "letters/2024/school.txt",
        "letters/2024/scan.pdf.txt",
        "letters/2025/bank.txt",
        "letters/2025/photo.jpg",
        "letters/2025/tax.txt",
        "letters/2025/tax/draft.txt",
        "letters/2025/tax/table.csv",
        "letters/index.md",
        "readme.txt",
    )
}
LOG = {"server.log": _log()}
VISITS = {"visits.csv": _visits()}

OBJECTIVES = (
    Objective(
        "counting-files",
        FAMILY,
        "How many files whose names end in .txt are there in the folder letters and in all the "
        "folders inside it?",
        TOOLS,
        check=lambda folder, answer: says_number(answer, 6),
        solve=lambda folder: f"{len(list((folder / 'letters').rglob('*.txt')))} files",
        mistake=lambda folder: "There are 9 files.",
        files=PAPERS,
    ),
    Objective(
        "counting-errors",
        FAMILY,
        "How many lines of server.log are at the level ERROR (in capitals, after the time)?",
        TOOLS,
        check=lambda folder, answer: says_number(answer, 12),
        solve=lambda folder: str(
            sum(" ERROR " in line for line in (folder / "server.log").read_text().splitlines())
        ),
        mistake=lambda folder: str((folder / "server.log").read_text().lower().count("error")),
        files=LOG,
    ),
    Objective(
        "counting-customers",
        FAMILY,
        "How many different customers are in visits.csv?",
        TOOLS,
        check=lambda folder, answer: says_number(answer, 10),
        solve=lambda folder: f"{len({row['customer'] for row in rows(folder / 'visits.csv')})}",
        mistake=lambda folder: f"{len(rows(folder / 'visits.csv'))} customers",
        files=VISITS,
    ),
)
