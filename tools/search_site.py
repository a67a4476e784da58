"""Find something on a website: its pages are read, and what has to do with a question is shown.

To follow links page by page is too much for a small model.  So the pages of one site are read here,
breadth first from an address, of each level those first that links with words of the question lead
to.  Shown are the lines with its most telling words, below the title and the address of their page.

One page is read at a time, at the pace that robots.txt asks for, and none that it or a link says is
not to be followed.  Addresses that do something (log in, put into a basket) are left alone; those
with a query come last, and few of each page: calendars and filters have no end.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from agentkit import ToolContext, tool
from agentkit.errors import ToolError, ToolRetry
from agentkit.hosts import Location
from agentkit.permissions import Url
from agentkit.ports import HttpRequest, HttpResponse
from agentkit.toolbox.documents import Page, read_pages
from agentkit.toolbox.received import ACCEPT, BUSY, check_status, decoded, kind_of, plain_text
from agentkit.toolbox.telling import Line, Telling
from agentkit.toolbox.website import Website

BEST, AROUND = 10, 2
"""Lines that are found, and lines of their list or table before and after each."""
SHOWN, WIDEST = 1500, 300
"""Characters that are shown in all (about 400 tokens), and of one line."""
NAMED = 3
"""Faults and documents that are told."""
LARGEST, PATIENCE = 3_000_000, 30.0
"""Bytes of a page, and seconds that it may be on its way."""
LONGEST_ADDRESS, LONGEST_TITLE = 500, 100
"""Characters."""
AT_ONCE = 20
"""Pages that one process reads."""
READ_SECONDS = 20.0
"""For a process that reads pages, see `documents`."""
QUERIES = 3
"""Addresses of one page with different queries."""

ACTS = re.compile(
    r"[/?&=](log-?(in|out|off)|sign-?(in|out|up|off)|register|(un)?subscribe|delete|remove"
    r"|(add-?to-?)?(cart|basket)|checkout|feed|wp-(admin|login|json)|edit|share|print|replytocom)"
    r"(?=[/?&=.]|$)",
    re.IGNORECASE,
)
"""Addresses that do something, or show a page once more."""
DOCUMENTS = re.compile(r"\.(pdf|docx?|xlsx?|pptx?|od[tsp]|epub)$", re.IGNORECASE)
OTHER_FILES = re.compile(
    r"\.(jpe?g|png|gif|webp|avif|svg|ico|css|m?js|woff2?|ttf|eot|mp[34]|m4[av]|avi|mov|webm|og[gv]"
    r"|wav|flac|zip|t?gz|bz2|xz|7z|rar|exe|msi|dmg|iso|img|apk|deb|rpm|whl|jar|bin|rss|atom)$",
    re.IGNORECASE,
)


class Options(BaseModel):
    """What settings can say: `tools: {options: {search_site: {seconds: 300}}}`."""

    model_config = ConfigDict(extra="forbid")

    seconds: float = Field(60.0, gt=0)


@tool(effects=("network",))
def search_site(
    url: Url,
    question: str,
    pages: Annotated[int, Field(ge=1, le=100)] = 30,
    *,
    context: ToolContext,
) -> str:
    """Find something on a website, following its links.

    Args:
        url: Where to begin, with https://.
        question: What to find, in plain words.
        pages: How many pages to read.
    """
    telling = Telling(question, near=_near)
    if not telling.words:
        raise ToolRetry("question has no telling word: write what you look for")
    end = time.monotonic() + context.options(Options).seconds
    search = _Search(telling, pages, end, context)
    search.begin(Location.of(url))
    return search.told()


def _near(written: Sequence[Line], at: int) -> list[Line]:
    """A line with those of its list or table and its heading, or a heading with what follows."""
    if _is_heading(written[at]):
        return list(written[at : at + 1 + AROUND])
    near = [written[at]]
    for step in (-1, 1):
        there = at + step
        while abs(there - at) <= AROUND and 0 <= there < len(written):
            if written[there][0] != written[there - step][0] + step:
                break  # an empty line between them
            near.append(written[there])
            there += step
    heading = next(filter(_is_heading, reversed(written[:at])), None)
    return near if heading is None else [heading, *near]


def _is_heading(line: Line) -> bool:
    return line[1].startswith("# ")


@dataclass
class _Search:
    """What was read so far, and what was not."""

    telling: Telling
    most: int
    end: float
    context: ToolContext
    asked: int = 0
    titles: dict[str, str] = field(default_factory=dict)
    """By the addresses of the pages that were read."""
    texts: set[str] = field(default_factory=set)
    """What was read: many sites have a page at several addresses, and one margin for all pages."""
    known: dict[str, int] = field(default_factory=dict)
    """Addresses that links lead to, and how many words of the question the links have."""
    queries: Counter[str] = field(default_factory=Counter)
    """How many of them differ only in their query."""
    stopped: str = ""
    left: int = 0
    forbidden: int = 0
    documents: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def begin(self, first: Location) -> None:
        """Read the site of a page.  Raises what is wrong with the first one."""
        site = self._site(first)
        response = self._fetch(first)
        there = Location.of(response.url)
        if not site.has(there):  # as example.org leads to www.example.org
            site = self._site(there)
        self.known |= {first.url: 0, there.url: 0}
        level, later = [*self._read([response], site)], list[Location]()
        while level or later:
            level.sort(key=lambda page: -self.known[page.url])
            later += (page for page in level if "?" in page.target)
            now = [page for page in level if "?" not in page.target]
            if not now:
                now, later = later, []
            parts = (now[at : at + AT_ONCE] for at in range(0, len(now), AT_ONCE))
            level = [
                page for part in parts for page in self._read([*self._fetched(part, site)], site)
            ]

    def _site(self, page: Location) -> Website:
        site = Website.of(page, self.context.http, self.context.cancel)
        if not site.lets_read(page):
            raise ToolError(f"robots.txt of {page.place} does not let programs read {page.url}")
        return site

    # -- pages on their way ------------------------------------------------------------------------

    def _fetched(self, pages: Sequence[Location], site: Website) -> Iterator[HttpResponse]:
        for page in pages:
            if not site.lets_read(page):
                self.forbidden += 1
            elif self._stops():
                self.left += 1
            else:
                self.context.cancel.wait(site.pause)
                try:
                    response = self._fetch(page)
                except ToolError as fault:
                    self.faults.append(str(fault))
                    continue
                there = Location.of(response.url)
                if site.has(there) and site.lets_read(there):
                    yield response
                else:
                    self.faults.append(f"{page.url} leads to {there.url}")

    def _stops(self) -> bool:
        if not self.stopped and self.asked >= self.most:
            self.stopped = f"stopped after {self.most} pages"
        if not self.stopped and time.monotonic() > self.end:
            self.stopped = "stopped when the time was over"
        return bool(self.stopped)

    def _fetch(self, page: Location) -> HttpResponse:
        """Raises `ToolError` for what is not there, or no page."""
        self.context.progress(self.asked, self.most, "pages")
        self.asked += 1
        seconds = max(1.0, min(PATIENCE, self.end - time.monotonic()))
        request = HttpRequest(
            page.url, headers={"Accept": ACCEPT}, timeout=seconds, max_bytes=LARGEST
        )
        response = self.context.http.fetch(request, self.context.cancel)
        if response.status in BUSY:
            self.stopped = "stopped as the site is busy"
        check_status(response)
        match kind_of(response):
            case "pdf":
                raise ToolError(f"{page.url} is a PDF: fetch_url reads it")
            case "text":
                plain_text(response)  # raises for what is none
        return response

    # -- what stands in them -----------------------------------------------------------------------

    def _read(self, responses: Sequence[HttpResponse], site: Website) -> Iterator[Location]:
        """Read some pages; where they lead to."""
        html = [response for response in responses if kind_of(response) == "html"]
        sent = [decoded(response).encode("utf-8", "replace") for response in html]
        read = iter(read_pages(sent, self.context.cancel, seconds=READ_SECONDS))
        for response in responses:
            page = next(read) if kind_of(response) == "html" else _of_text(response)
            if page is None:
                self.faults.append(f"{response.url} is too much for its reader")
            else:
                self._take(response.url, page)
                yield from self._links(Location.of(response.url), page, site)

    def _take(self, url: str, page: Page) -> None:
        """Look at the lines of a page, and at those around them that no other page had."""
        if (text := "\n".join(page.lines)) in self.texts:
            return
        new = [line for line in page.margin if line not in self.texts]
        self.texts.update([text, *new])
        headings = (line.removeprefix("# ") for line in page.lines if line.startswith("# "))
        path = Location.of(url).target
        title = (page.title or next(headings, path))[:LONGEST_TITLE]
        self.titles[url] = title
        self.telling.read(url, [*page.lines, "", *new], f"{title} {path}")

    def _links(self, page: Location, read: Page, site: Website) -> Iterator[Location]:
        """Those to pages of the site that are new and to be read."""
        with suppress(ToolRetry):
            page = page.follow(read.base)
        for address, text in read.links:
            with suppress(ToolRetry):  # mailto: and the like
                there = page.follow(address)
                if site.has(there) and there.url not in self.known:
                    self.known[there.url] = len(self.telling.words_of(f"{text} {there.target}"))
                    if self._leads_on(there):
                        yield there

    def _leads_on(self, page: Location) -> bool:
        path, _, query = page.target.partition("?")
        if len(page.url) > LONGEST_ADDRESS or OTHER_FILES.search(path) or ACTS.search(page.target):
            return False
        if DOCUMENTS.search(path):
            self.documents.append(page.url)
            return False
        self.queries[path] += bool(query)
        return self.queries[path] <= QUERIES

    # -- what the caller reads ---------------------------------------------------------------------

    def told(self) -> str:
        """The best lines that there is room for, and what was done."""
        for most in range(BEST, 0, -1):
            if len(shown := "\n".join(self._best(most))) <= SHOWN:
                break
        return f"{shown}\n[{'; '.join(self._notes(shown))}]".strip()

    def _best(self, most: int) -> Iterator[str]:
        for url, lines in self.telling.best(most).items():
            title = self.titles[url]
            yield f"{title} ({url}):"
            for line in lines:
                text = line[1].removeprefix("# ")
                if not _is_heading(line) or text not in title:
                    yield self.telling.part_of(text, WIDEST)

    def _notes(self, shown: str) -> Iterator[str]:
        nowhere = ", ".join(self.telling.nowhere)
        yield f"{len(self.titles)} page{'s' * (len(self.titles) != 1)} read"
        if nowhere:
            yield f"nowhere: {nowhere}" if shown else f"no line has any of: {nowhere}"
        if not any(self.texts):
            yield "there is no text: maybe only a browser can show it"
        if self.left:
            yield f"{self.stopped}, {self.left} more are there: begin at one that is nearer"
        if self.forbidden:
            yield f"robots.txt keeps programs from {self.forbidden}"
        if self.documents:
            yield f"documents, for fetch_url: {_some(self.documents, ', ')}"
        if self.faults:
            yield f"not read: {_some(self.faults, '; ')}"


def _of_text(response: HttpResponse) -> Page:
    return Page("", plain_text(response).splitlines(), (), "", ())


def _some(things: Sequence[str], between: str) -> str:
    more = f" and {len(things) - NAMED} more" * (len(things) > NAMED)
    return between.join(things[:NAMED]) + more
