"""Find something on a website, by following its links."""

from __future__ import annotations

import re
from pathlib import Path

from bench.agent.answers import says, says_number
from bench.agent.objective import SITE, Objective
from bench.agent.site import PAGES

FAMILY = "browsing"
TOOLS = ("search_site", "fetch_url", "calculate", "write_file", "read_file")


def _pages_below(start: str = "") -> dict[str, str]:
    """All pages that can be reached, by their addresses."""
    found, waiting = dict[str, str](), [start]
    while waiting:
        address = waiting.pop()
        if address not in found:
            found[address] = PAGES[address]
            waiting += re.findall(r"href='/([^']*)'", PAGES[address])
    return found


def _said(pattern: str) -> str:
    found = [m[1] for page in _pages_below().values() if (m := re.search(pattern, page))]
    assert len(found) == 1, found
    return found[0]


def _prices() -> dict[str, float]:
    found = {}
    for address, page in _pages_below().items():
        if price := re.search(r"a copy of it costs ([\d.]+\d) euros", page):
            found[address] = float(price[1])
    return found


def _cheapest(folder: Path) -> str:
    prices = _prices()
    address = min(prices, key=prices.__getitem__)
    title = re.search("<title>(.*)</title>", PAGES[address])
    assert title is not None
    return f"{title[1]}, {prices[address]:.2f} euros"


def _order(folder: Path) -> str:
    shipping = float(_said(r"Shipping costs ([\d.]+\d) euros"))
    return f"{_prices()['lamps/garden'] + shipping:.2f} euros"


WHERE = f"The website of the museum of lamps is at {SITE}/ ."

OBJECTIVES = (
    Objective(
        "browsing-hours",
        FAMILY,
        f"{WHERE} Until when is the museum open on Saturdays?",
        TOOLS,
        check=lambda folder, answer: says(answer, "19:30|19.30|7:30 pm|7:30 p.m|half past seven"),
        solve=lambda folder: _said(r"On Saturdays it is open from [\d:]+ to ([\d:]+)"),
        mistake=lambda folder: "It is open until 17:00.",
    ),
    Objective(
        "browsing-founder",
        FAMILY,
        f"{WHERE} Who founded the museum, and in which year?",
        TOOLS,
        check=lambda folder, answer: (
            says(answer, "Thorsen", others=["Ines Falk", "Karl Odum", "Mirja Salo"])
            or says_number(answer, 1978)
        ),
        solve=lambda folder: _said(r"founded in (\d{4} by the electrician [A-Z]\w+ [A-Z]\w+)"),
        mistake=lambda folder: "Ines Falk founded it in 2016.",
    ),
    Objective(
        "browsing-cheapest",
        FAMILY,
        f"{WHERE} Which of the six lamps in its shop is the cheapest, and what does it cost?",
        TOOLS,
        check=lambda folder, answer: (
            says(answer, "Tilda|desk lamp") or says_number(answer, "49.80")
        ),
        solve=_cheapest,
        mistake=lambda folder: "The workbench lamp for 54.50 euros.",
    ),
    Objective(
        "browsing-order",
        FAMILY,
        f"{WHERE} What do I pay in all for a copy of the garden lantern, with shipping?",
        TOOLS,
        check=lambda folder, answer: says_number(answer, "69.15"),
        solve=_order,
        mistake=lambda folder: "You pay 61.25 euros.",
    ),
)
