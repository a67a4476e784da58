"""The same data in another format."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

from bench.agent.objective import Objective, changed, text_of
from bench.agent.objectives.tables import rows

FAMILY = "converting"
TOOLS = ("list_files", "read_file", "write_file", "run_python")

PLANTS = {"plants.csv": "name,height,water\nfern,40,daily\ncactus,15,monthly\nmint,25,daily\n"
                        "ivy,90,weekly\n"}  # fmt: skip
BOOKS = {
    "books.json": json.dumps(
        [
            {"title": "The Long Way", "year": 1998, "pages": 312},
            {"title": "Salt, Bread, Wine", "year": 2004, "pages": 188},
            {"title": "Northern Lights", "year": 2011, "pages": 254},
        ],
        indent=1,
    )
}


def _check_json(folder: Path, answer: str) -> str:
    text = text_of(folder / "plants.json")
    if text is None:
        return "plants.json is not there"
    try:
        found = json.loads(text)
    except ValueError as error:
        return f"plants.json is no JSON: {error}"
    right = [{"name": "fern", "height": "40", "water": "daily"},
             {"name": "cactus", "height": "15", "water": "monthly"},
             {"name": "mint", "height": "25", "water": "daily"},
             {"name": "ivy", "height": "90", "water": "weekly"}]  # fmt: skip
    if _as_texts(found) != right:
        return f"plants.json is {json.dumps(found)[:120]}"
    return changed(folder, PLANTS)


def _as_texts(found: Any) -> Any:
    """A number may be written as a number or as a text."""
    if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
        return found
    return [
        {str(k): str(int(v) if isinstance(v, float) and v == int(v) else v) for k, v in row.items()}
        for row in found
    ]


def _check_csv(folder: Path, answer: str) -> str:
    if text_of(folder / "books.csv") is None:
        return "books.csv is not there"
    with (folder / "books.csv").open(newline="", encoding="utf-8-sig") as file:
        found = [[cell.strip() for cell in row] for row in csv.reader(file) if row]
    right = [["title", "year", "pages"], ["The Long Way", "1998", "312"],
             ["Salt, Bread, Wine", "2004", "188"], ["Northern Lights", "2011", "254"]]  # fmt: skip
    return "" if found == right else f"books.csv is {found}"


def _to_json(folder: Path, *, as_rows: bool = True) -> str:
    found = rows(folder / "plants.csv")
    data = found if as_rows else {row["name"]: row for row in found}
    (folder / "plants.json").write_text(json.dumps(data))
    return "I have written plants.json."


def _to_csv(folder: Path) -> str:
    books = json.loads((folder / "books.json").read_text())
    with (folder / "books.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["title", "year", "pages"])
        writer.writeheader()
        writer.writerows(books)
    return "Done."


def _to_csv_without_quotes(folder: Path) -> str:
    books = json.loads((folder / "books.json").read_text())
    lines = ["title,year,pages", *(f"{b['title']},{b['year']},{b['pages']}" for b in books)]
    (folder / "books.csv").write_text("\n".join(lines))
    return "Done."


OBJECTIVES = (
    Objective(
        "converting-json",
        FAMILY,
        "Convert plants.csv to plants.json: a list with one object for each row, with the names of "
        "the columns as keys.",
        TOOLS,
        check=_check_json,
        solve=_to_json,
        mistake=lambda folder: _to_json(folder, as_rows=False),
        files=PLANTS,
    ),
    Objective(
        "converting-csv",
        FAMILY,
        "Convert books.json to books.csv with the columns title, year and pages, in this order and "
        "with a header.",
        TOOLS,
        check=_check_csv,
        solve=_to_csv,
        mistake=_to_csv_without_quotes,
        files=BOOKS,
    ),
)
