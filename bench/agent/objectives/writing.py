"""Gather from many files and write one: lists, an index, all the lines that begin with TODO."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from bench.agent.objective import Objective, changed, text_of

FAMILY = "writing"
TOOLS = ("list_files", "search_files", "read_file", "write_file", "run_python")


def _has_lines(
    folder: Path, name: str, right: Iterable[str], *, ordered: bool = False, once: bool = True
) -> str:
    """What is wrong with a file of so many lines; marks of lists and empty lines do not count."""
    text = text_of(folder / name)
    if text is None:
        return f"{name} is not there"
    found = [line for line in map(_bare, text.splitlines()) if line and line[0] != "#"]
    wanted = [_bare(line) for line in right]
    for line in wanted:
        if line not in found:
            return f"{name} has no line {line!r}"
    if strange := [line for line in found if line not in wanted]:
        return f"{name} has the line {strange[0]!r}"
    if once and len(found) != len(wanted):
        return f"{name} has lines twice"
    return f"{name} is not in order" if ordered and found != wanted else ""


def _bare(line: str) -> str:
    return re.sub(r"^\s*(?:[-*+•]|\d+[.)])\s+|\s+$", "", line).strip()


def _written(folder: Path, name: str, lines: Iterable[str]) -> str:
    (folder / name).write_text("".join(f"{line}\n" for line in lines))
    return f"I have written {name}."


# -- people at meetings ----------------------------------------------------------------------------

PEOPLE = ["Anna", "Dev", "Elif", "Greta", "Jonas", "Mika", "Noor", "Pavel"]
PRESENT = (("Greta", "Anna", "Pavel"), ("Anna", "Mika", "Dev"), ("Noor", "Greta", "Jonas"),
           ("Elif", "Anna", "Jonas"), ("Pavel", "Mika", "Greta"), ("Dev", "Noor"))  # fmt: skip
MEETINGS = {
    f"meeting-{n}.txt": (
        f"Meeting {n}\nPresent: {', '.join(people)}\nExcused: Bruno\n\n"
        f"{people[0]} reports on the budget. Next meeting in two weeks.\n"
    )
    for n, people in enumerate(PRESENT, 1)
}


def _present(folder: Path) -> list[str]:
    found = set[str]()
    for path in folder.glob("meeting-*.txt"):
        for line in path.read_text().splitlines():
            if line.startswith("Present: "):
                found.update(line.removeprefix("Present: ").split(", "))
    return sorted(found)


# -- shopping lists --------------------------------------------------------------------------------

LISTS = {
    "shopping/anna.txt": "milk\nbread\napples\n",
    "shopping/dev.txt": "rice\nmilk\nlentils\n",
    "shopping/noor.txt": "bread\ncoffee\n",
    "shopping/old/last-week.txt": "flour\n",
}


def _groceries(folder: Path) -> set[str]:
    texts = (path.read_text() for path in (folder / "shopping").glob("*.txt"))
    return {line for text in texts for line in text.splitlines()}


# -- titles ----------------------------------------------------------------------------------------

ESSAYS = {
    "bees.md": "# A year with bees\n\nIn March the first ones fly.\n",
    "bread.md": "# Bread without a machine\n\nFlour, water, salt, time.\n",
    "canal.md": "# Along the canal\n\nForty kilometres on foot.\n",
    "clock.md": "# How the old clock works\n\nA weight, a wheel, an anchor.\n",
    "rain.md": "# Measuring rain\n\nA jar and a ruler are enough.\n",
}


def _titles(folder: Path) -> list[str]:
    found = []
    for path in sorted(folder.glob("*.md")):
        title = path.read_text().splitlines()[0].removeprefix("# ")
        found.append(f"{path.name}: {title}")
    return found


# -- what is still to do ---------------------------------------------------------------------------

TODOS = {
    "garden.md": "# Garden\nTODO buy seeds for beans\nThe fence is done.\nTODO mend the gate\n",
    "house.md": "# House\nThe list of TODO items moved to the calendar.\nTODO call the plumber\n",
    "music.md": "# Music\nLearn the second voice by June.\n",
    "trip/plan.md": "# Trip\nTODO book the ferry\nTickets for the train are here.\n",
    "trip/bags.md": "# Bags\nTODO find the blue rucksack\nTODO wash the tent\n",
}


def _todos(folder: Path) -> list[str]:
    texts = (path.read_text() for path in sorted(folder.rglob("*.md")))
    return [line for text in texts for line in text.splitlines() if line.startswith("TODO ")]


CODE = {
    "app/main.py": "import shop\n\n# FIXME: reads the file twice\nshop.open()\n",
    "app/shop.py": "def open():\n    # FIXME: no limit\n    return 1\n\n\ndef close():\n    pass\n",
    "app/tests.py": "# all is well\nassert True\n",
    "app/price.py": "RATE = 19  # FIXME: ask the office\n",
}


def _fixmes(folder: Path) -> dict[str, str]:
    found = {}
    for path in (folder / "app").glob("*.py"):
        for line in path.read_text().splitlines():
            if "FIXME: " in line:
                found[path.name] = line.partition("FIXME: ")[2]
    return found


def _check_fixmes(folder: Path, answer: str) -> str:
    text = text_of(folder / "fixme.md")
    if text is None:
        return "fixme.md is not there"
    lines = [line for line in text.splitlines() if "FIXME" in line or ".py" in line]
    for name, what in (("main.py", "reads the file twice"), ("shop.py", "no limit"),
                       ("price.py", "ask the office")):  # fmt: skip
        if not any(name in line and what in line for line in lines):
            return f"fixme.md has no line with {name} and {what!r}"
    if "tests.py" in text:
        return "fixme.md names tests.py"
    return changed(folder, CODE)


OBJECTIVES = (
    Objective(
        "writing-people",
        FAMILY,
        "Write a file people.txt with the names of all who were present at one of the six meetings "
        "in this folder: one name a line, each name once, in alphabetical order.",
        TOOLS,
        check=lambda folder, answer: _has_lines(folder, "people.txt", PEOPLE, ordered=True),
        solve=lambda folder: _written(folder, "people.txt", _present(folder)),
        mistake=lambda folder: _written(folder, "people.txt", sorted([*_present(folder), "Bruno"])),
        files=MEETINGS,
    ),
    Objective(
        "writing-shopping",
        FAMILY,
        "Put the shopping lists that lie directly in the folder shopping together into one file "
        "all.txt beside that folder: one thing a line, nothing twice.",
        TOOLS,
        check=lambda folder, answer: _has_lines(
            folder, "all.txt", ["milk", "bread", "apples", "rice", "lentils", "coffee"]
        ),
        solve=lambda folder: _written(folder, "all.txt", sorted(_groceries(folder))),
        mistake=lambda folder: _written(folder, "all.txt", [*sorted(_groceries(folder)), "flour"]),
        files=LISTS,
    ),
    Objective(
        "writing-index",
        FAMILY,
        "Write a file index.txt with one line for each of the essays (the .md files), like this: "
        "bees.md: A year with bees",
        TOOLS,
        check=lambda folder, answer: (
            _has_lines(
                folder,
                "index.txt",
                [
                    "bees.md: A year with bees",
                    "bread.md: Bread without a machine",
                    "canal.md: Along the canal",
                    "clock.md: How the old clock works",
                    "rain.md: Measuring rain",
                ],
            )
            or changed(folder, ESSAYS)
        ),
        solve=lambda folder: _written(folder, "index.txt", _titles(folder)),
        mistake=lambda folder: _written(folder, "index.txt", _titles(folder)[:3]),
        files=ESSAYS,
    ),
    Objective(
        "writing-todo",
        FAMILY,
        "Collect all lines that begin with TODO from the .md files in this folder and the folders "
        "in it, and write them to todo.txt, one a line.",
        TOOLS,
        check=lambda folder, answer: (
            _has_lines(
                folder,
                "todo.txt",
                [
                    "TODO buy seeds for beans",
                    "TODO mend the gate",
                    "TODO call the plumber",
                    "TODO book the ferry",
                    "TODO find the blue rucksack",
                    "TODO wash the tent",
                ],
            )
            or changed(folder, TODOS)
        ),
        solve=lambda folder: _written(folder, "todo.txt", _todos(folder)),
        mistake=lambda folder: _written(
            folder, "todo.txt", [*_todos(folder), "The list of TODO items moved to the calendar."]
        ),
        files=TODOS,
    ),
    Objective(
        "writing-fixme",
        FAMILY,
        "Find all comments with FIXME in the Python files of the folder app, and write them to "
        "fixme.md: a line for each, with the name of the file and the text of the comment.",
        TOOLS,
        check=_check_fixmes,
        solve=lambda folder: _written(
            folder, "fixme.md", [f"- {name}: {what}" for name, what in _fixmes(folder).items()]
        ),
        mistake=lambda folder: _written(folder, "fixme.md", _fixmes(folder).values()),
        files=CODE,
    ),
)
