"""Figures of a CSV file that have to be computed: sums, averages, the largest, groups, a join."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from random import Random
from statistics import mean

from bench.agent.answers import says, says_number
from bench.agent.objective import Objective

FAMILY = "tables"
TOOLS = ("list_files", "read_file", "query_tables", "run_python", "calculate")


def as_csv(header: str, rows: Iterable[Sequence[object]]) -> str:
    """A CSV file."""
    return "\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n"


def rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _expenses() -> str:
    chance = Random("expenses")
    people, kinds = ["Lena", "Omar", "Ruth"], ["food", "travel", "office", "post"]
    return as_csv(
        "date,person,category,amount",
        (
            (
                f"2026-{1 + row // 10:02}-{1 + 2 * (row % 10):02}",
                chance.choice(people),
                chance.choice(kinds),
                f"{chance.randint(250, 9900) / 100:.2f}",
            )
            for row in range(40)
        ),
    )


def _readings() -> str:
    chance = Random("readings")
    return as_csv(
        "hour,temperature,humidity",
        (
            (
                hour,
                "" if hour in (5, 17) else f"{chance.randint(140, 229) / 10:.1f}",
                chance.randint(35, 70),
            )
            for hour in range(24)
        ),
    )


def _sales() -> str:
    chance = Random("sales")
    cities = "Oslo Porto Ghent Turku Graz Lyon Split Varna Cork Brno Malmo Basel".split()
    return as_csv("city,visitors,sales", ((c, chance.randint(90, 999), chance.randint(1000, 9999))
                                          for c in cities))  # fmt: skip


PRICES = as_csv("item,price", [("bolt", "0.35"), ("hinge", "2.40"), ("lock", "18.90"),
                               ("panel", "41.00"), ("screw", "0.08")])  # fmt: skip
ORDER = as_csv("item,pieces", [("hinge", 12), ("screw", 150), ("panel", 4), ("lock", 2)])


def _total(folder: Path, keep: Callable[[dict[str, str]], bool] = lambda row: True) -> float:
    return sum(float(row["amount"]) for row in rows(folder / "expenses.csv") if keep(row))


def _by_category(folder: Path) -> dict[str, float]:
    found: dict[str, float] = defaultdict(float)
    for row in rows(folder / "expenses.csv"):
        found[row["category"]] += float(row["amount"])
    return found


def _highest(folder: Path) -> str:
    found = _by_category(folder)
    kind = max(found, key=found.__getitem__)
    return f"Most was spent on {kind}: EUR {found[kind]:,.2f}"


def _average(folder: Path) -> str:
    known = [float(r["temperature"]) for r in rows(folder / "readings.csv") if r["temperature"]]
    return f"{mean(known):.2f} degrees"


def _average_with_gaps_as_zero(folder: Path) -> str:
    return f"{mean(float(r['temperature'] or 0) for r in rows(folder / 'readings.csv')):.2f}"


def _order(folder: Path) -> str:
    prices = {row["item"]: float(row["price"]) for row in rows(folder / "prices.csv")}
    cost = sum(prices[r["item"]] * int(r["pieces"]) for r in rows(folder / "order.csv"))
    return f"The order costs {cost:,.2f} EUR."


EXPENSES = {"expenses.csv": _expenses()}
READINGS = {"readings.csv": _readings()}
SALES = {"sales.csv": _sales()}

OBJECTIVES = (
    Objective(
        "tables-sum",
        FAMILY,
        "Add up the column amount of expenses.csv. What is the sum?",
        TOOLS,
        check=lambda folder, answer: says_number(answer, "1996.71"),
        solve=lambda folder: f"The sum is EUR {_total(folder):,.2f}.",
        mistake=lambda folder: "The sum is 1,969.71.",
        files=EXPENSES,
    ),
    Objective(
        "tables-person",
        FAMILY,
        "How much has Lena spent in all, according to expenses.csv?",
        TOOLS,
        check=lambda folder, answer: says_number(answer, "260.96"),
        solve=lambda folder: f"{_total(folder, lambda row: row['person'] == 'Lena'):.2f}",
        mistake=lambda folder: f"Lena has spent {_total(folder):.2f}.",
        files=EXPENSES,
    ),
    Objective(
        "tables-category",
        FAMILY,
        "On which category was the most money spent in expenses.csv, and how much was it?",
        TOOLS,
        check=lambda folder, answer: says(answer, "travel") or says_number(answer, "805.92"),
        solve=_highest,
        mistake=lambda folder: "Most was spent on food: EUR 99.00",
        files=EXPENSES,
    ),
    Objective(
        "tables-average",
        FAMILY,
        "What is the average temperature in readings.csv, to two decimal places? Some hours have "
        "no reading: leave those out.",
        TOOLS,
        check=lambda folder, answer: says_number(answer, "18.62", within="0.0051"),
        solve=_average,
        mistake=_average_with_gaps_as_zero,
        files=READINGS,
    ),
    Objective(
        "tables-largest",
        FAMILY,
        "Which city in sales.csv had the highest sales?",
        TOOLS,
        check=lambda folder, answer: says(answer, "Porto", others=["Lyon", "Varna", "Cork"]),
        solve=lambda folder: max(rows(folder / "sales.csv"), key=lambda r: int(r["sales"]))["city"],
        mistake=lambda folder: "Lyon had the highest sales.",
        files=SALES,
    ),
    Objective(
        "tables-order",
        FAMILY,
        "prices.csv has the price of each item, order.csv how many pieces we order. What does the "
        "whole order cost?",
        TOOLS,
        check=lambda folder, answer: says_number(answer, "242.60"),
        solve=_order,
        mistake=lambda folder: "The order costs 62.38 EUR.",
        files={"prices.csv": PRICES, "order.csv": ORDER},
    ),
)
