"""Arithmetic that nobody should do in their head."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

from bench.agent.answers import says_number
from bench.agent.objective import Objective

FAMILY = "sums"
TOOLS = ("calculate", "run_python", "now", "read_file")


def _vat(folder: Path) -> str:
    return f"{(Decimal(2480) * Decimal('0.825') * Decimal('1.19')).quantize(Decimal('0.01'))}"


OBJECTIVES = (
    Objective(
        "sums-product",
        FAMILY,
        "What is 48,317 times 2,906?",
        TOOLS,
        check=lambda folder, answer: says_number(answer, 140409202),
        solve=lambda folder: f"It is {48_317 * 2_906:,}.",
        mistake=lambda folder: "It is 140,404,902.",
    ),
    Objective(
        "sums-discount",
        FAMILY,
        "A machine costs 2,480 euros without tax. We get a discount of 17.5 %, and then 19 % tax "
        "is added. What do we pay, to the cent?",
        TOOLS,
        check=lambda folder, answer: says_number(answer, "2434.74"),
        solve=_vat,
        mistake=lambda folder: "You pay 2,517.20 euros.",
    ),
    Objective(
        "sums-interest",
        FAMILY,
        "I put 1,500 euros into an account with 3.2 % interest a year, and leave the interest in "
        "it. How much is in it after seven years, to the cent?",
        TOOLS,
        check=lambda folder, answer: says_number(answer, "1870.03"),
        solve=lambda folder: f"{1500 * 1.032**7:,.2f} euros",
        mistake=lambda folder: f"{1500 * (1 + 7 * 0.032):,.2f} euros",
    ),
)
