"""A website: where it ends, and what its owner says about programs that read it.

A site is a scheme, a host and a port.  Its robots.txt is read as RFC 9309 has it: where there is
none, all may be read; where it cannot be had for now, nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from itertools import groupby
from urllib.robotparser import RobotFileParser

from agentkit.cancel import CancelToken
from agentkit.errors import ToolRetry
from agentkit.hosts import Location
from agentkit.ports import Http, HttpRequest
from agentkit.toolbox.received import BUSY, check_status, decoded

AGENT = "agentkit"
"""Who we are: requests say it in `User-Agent`."""
LARGEST = 500_000
"""Bytes of a robots.txt."""
SLOWEST = 10.0
"""Seconds between two pages, whatever it says."""

RULE = re.compile(r"\s*(dis)?allow\s*:", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Website:
    """The site of a page, with its rules."""

    scheme: str
    place: str
    rules: RobotFileParser

    @classmethod
    def of(cls, page: Location, http: Http, cancel: CancelToken) -> Website:
        """Raises `ToolError` where its robots.txt cannot be had for now."""
        rules = RobotFileParser()
        rules.parse([*_longest_first(_robots(page.follow("/robots.txt").url, http, cancel))])
        return cls(page.scheme, page.place, rules)

    def has(self, page: Location) -> bool:
        """Whether a page is one of this site."""
        return (page.scheme, page.place) == (self.scheme, self.place)

    def lets_read(self, page: Location) -> bool:
        """Whether programs may read a page."""
        return self.rules.can_fetch(AGENT, page.url)

    @property
    def pause(self) -> float:
        """Seconds between two pages."""
        return min(float(self.rules.crawl_delay(AGENT) or 0), SLOWEST)


def _robots(url: str, http: Http, cancel: CancelToken) -> str:
    try:
        response = http.fetch(HttpRequest(url, max_bytes=LARGEST), cancel)
    except ToolRetry:  # it leads elsewhere, or nowhere: so do the pages, and they tell
        return ""
    if response.status >= HTTPStatus.INTERNAL_SERVER_ERROR or response.status in BUSY:
        check_status(response)
    return decoded(response) if response.status < HTTPStatus.MULTIPLE_CHOICES else ""


def _longest_first(robots: str) -> Iterator[str]:
    """Its lines for a reader that takes the first rule that fits, while the longest one counts.

    Of two that are as long, it is the one that allows.  What ends in a star means the same without.
    """
    for is_rule, lines in groupby(robots.splitlines(), key=lambda line: bool(RULE.match(line))):
        if is_rule:
            rules = [re.sub(r"(:\s*/[^\s#*]*)\*+\s*(#.*)?$", r"\1", line) for line in lines]
            yield from sorted(rules, key=_weight)
        else:
            yield from lines


def _weight(rule: str) -> tuple[int, bool]:
    name, _, path = rule.partition(":")
    return -len(path.partition("#")[0].strip()), name.strip().lower() != "allow"
