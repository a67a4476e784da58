"""Websites are read by their links, and no further than their owners and the grants let."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from agentkit.errors import Cancelled, ToolError, ToolRetry
from agentkit.hosts import HostPolicy
from agentkit.network import GuardedHttp
from agentkit.ports import ToolContext
from tests.network.internet import Internet, Line, Resolver, answer, redirect

from .test_fetch_url import HARD, pdf

Call = Callable[..., str]


@pytest.fixture
def internet() -> Iterator[Internet]:
    made = Internet()
    yield made
    made.close()


@pytest.fixture
def search(
    internet: Internet, call: Call, context: ToolContext, monkeypatch: pytest.MonkeyPatch
) -> Call:
    """`search("a question")` of `site.example`, with the tool as it ships."""
    names = {name: [["127.0.0.1"]] for name in ("site.example", "www.example", "other.example")}
    web = GuardedHttp(
        HostPolicy.of(["site.example", "www.example"]),
        resolve=Resolver(names),
        public=lambda address: True,
    )
    monkeypatch.setattr(context, "http", web)
    return lambda question, path="/", **more: call(
        "search_site", url=internet.url(path), question=question, **more
    )


def page(title: str, *lines: str, head: str = "") -> bytes:
    """A page of paragraphs; `a link>/there` is a link."""
    written = "\n".join(map(_paragraph, lines))
    return answer(
        f"<!doctype html><html><head><title>{title}</title>{head}</head>"
        f"<body><h1>{title}</h1>{written}</body></html>".encode(),
        content_type="text/html; charset=utf-8",
    )


def _paragraph(line: str) -> str:
    text, _, link = line.partition(">")
    return f"<p><a href='{link}'>{text}</a></p>" if link else f"<p>{text}</p>"


@pytest.fixture
def club(internet: Internet) -> Internet:
    """A small site."""
    internet.pages |= {
        "/": page("The chess club", "Welcome.", "Times>/times", "People>people", "Prices>/prices"),
        "/times": page("Times", "We play on Thursdays from 19:00 on.", "In July we rest."),
        "/people": page("People", "Ada is the treasurer.", "Home>/", "Ben>/people/ben"),
        "/people/ben": page("Ben", "He mends the clocks of the club."),
        "/prices": page("Prices", "Members pay 40 euros a year."),
    }
    return internet


SITE = ("/", "/times", "/people", "/people/ben", "/prices")


def read(internet: Internet) -> list[str]:
    """The pages that were asked for."""
    return [path for path in internet.paths() if path != "/robots.txt"]


# -- what is shown -------------------------------------------------------------------------------


def test_the_best_lines_stand_below_title_and_address_of_their_page(
    club: Internet, search: Call
) -> None:
    assert search("Who mends a broken clock?").splitlines() == [
        f"Ben ({club.url('/people/ben')}):",
        "He mends the clocks of the club.",
        "[5 pages read; nowhere: broken]",
    ]
    assert read(club) == ["/", "/times", "/people", "/prices", "/people/ben"]


def test_what_stands_nowhere_is_told(club: Internet, search: Call) -> None:
    assert search("zebra crossings") == "[5 pages read; no line has any of: zebra, crossings]"


def test_the_title_counts_for_the_lines_of_a_page(internet: Internet, search: Call) -> None:
    internet.pages |= {
        "/": page("Home", "Library>/a", "Museum>/b"),
        "/a": page("Library", "It is open from 8 to 12."),
        "/b": page("Museum", "It is open from 9 to 18."),
    }

    assert search("When is the museum open?").splitlines()[:2] == [
        f"Museum ({internet.url('/b')}):",
        "It is open from 9 to 18.",
    ]


def test_lists_and_rows_of_tables_are_lines_below_their_heading(
    internet: Internet, search: Call
) -> None:
    internet.pages["/"] = page(
        "Prices",
        "Nothing here.",
        "<h2>Boats</h2><table><tr><th>boat</th><th>a day</th></tr><tr><td>Canoe</td><td>30 "
        "euros</td></tr></table><ul><li>Paddles are <b>free</b></li><li>Life\njackets, too</li>"
        "</ul><p>Bring your<br>own lunch.</p>".replace(">", "\0"),
    ).replace(b"\0", b">")

    assert search("what does a canoe cost").splitlines()[1:-1] == [
        "Boats", "boat | a day", "Canoe | 30 euros",
    ]  # fmt: skip
    assert search("jackets").splitlines()[1:-1] == [
        "Boats", "Paddles are free", "Life jackets, too",
    ]  # fmt: skip
    assert search("lunch").splitlines()[1:-1] == ["Boats", "Bring your", "own lunch."]


def test_what_stands_around_every_page_is_shown_once(internet: Internet, search: Call) -> None:
    around = "<nav>Contact us<a href='/b'>b</a></nav>%s<footer>Contact: box@site.example</footer>"
    for path in ("/", "/b"):
        main = f"<main><header>Header of {path}</header><p>Text</p></main>"
        internet.pages[path] = answer((around % main).encode(), content_type="text/html")

    found = search("contact, header")

    assert found.count("Contact: box@site.example") == 1
    assert "Contact us" not in found
    assert "Header of /b" in found


def test_little_is_shown_and_the_best_line_is_there(internet: Internet, search: Call) -> None:
    filler = "lamp " * 200
    lines = [f"{filler} {number}" for number in range(30)]
    internet.pages["/"] = page("Lamps", *lines[:15], f"{filler} costs 7 euros", *lines[15:])

    found = search("What does a lamp cost?")

    assert "costs 7 euros" in found
    assert len(found) < 1700


def test_a_page_without_text_is_told(internet: Internet, search: Call) -> None:
    internet.pages["/"] = answer(b"<html><script src=a.js></script>", content_type="text/html")

    assert search("lamp") == (
        "[1 page read; no line has any of: lamp; "
        "there is no text: maybe only a browser can show it]"
    )


def test_plain_text_is_read_too(internet: Internet, search: Call) -> None:
    internet.pages["/"] = page("Home", "Notes>/notes.txt")
    internet.pages["/notes.txt"] = answer("Die Miete beträgt 5 €\n".encode("cp1252"))

    assert "Die Miete beträgt 5 €" in search("Miete")


# -- where it goes -------------------------------------------------------------------------------


def test_it_stays_on_the_site_and_does_nothing_there(internet: Internet, search: Call) -> None:
    internet.pages |= {
        "/": page(
            "Home",
            "Text.",
            "a>http://other.example/",
            f"b>{internet.url('/same').replace('http:', 'https:')}",
            f"c>{internet.url('/c', host='www.example')}",
            "d>mailto:d@site.example",
            "e>/e.jpg",
            "f>/account/logout",
            "g>/shop?action=add-to-cart",
            "h>#part",
            "i>http://[",
            "k>/away",
            "l>/outside",
            "<a rel='nofollow' href='/m'>m</a>".replace(">", "\0"),
            "n>/n#part",
        ).replace(b"\0", b">"),
        "/away": redirect(internet.url("/", host="www.example")),
        "/outside": redirect("http://other.example/"),
        "/n": page("N", "Here is the needle.", "o>/o", head="<meta name=robots content=nofollow>"),
    }

    found = search("needle")

    assert read(internet) == ["/", "/away", "/", "/outside", "/n"]
    assert "Here is the needle." in found
    assert f"{internet.url('/away')} leads to {internet.url('/', host='www.example')}" in found
    assert found.splitlines()[-1].startswith("[2 pages read; not read: ")
    assert "redirects to http://other.example/" in found


def test_the_first_address_may_lead_to_where_the_site_is(internet: Internet, search: Call) -> None:
    internet.pages |= {
        "/old": redirect(internet.url("/new/", host="www.example")),
        "/new/": page("New", "Text.", "b>b"),
        "/new/b": page("B", "Here is the needle."),
    }

    assert internet.url("/new/b", host="www.example") in search("needle", "/old")


def test_links_lead_from_where_the_page_says(internet: Internet, search: Call) -> None:
    internet.pages |= {
        "/": page("Home", "b>b", head="<base href='/deep/'>"),
        "/deep/b": page("B", "Here is the needle."),
    }

    assert "Here is the needle." in search("needle")


def test_queries_come_last_and_few_of_each_page(internet: Internet, search: Call) -> None:
    days = [f"day>/calendar?day={day}" for day in range(9)]
    internet.pages |= {"/": page("Home", *days, "b>/b"), "/b": page("B", "Text.")}
    internet.pages["/calendar"] = page("Day", "Here is the needle.")

    search("needle")

    assert read(internet) == ["/", "/b", *(f"/calendar?day={day}" for day in range(3))]


def test_no_more_pages_are_read_than_were_asked_for(internet: Internet, search: Call) -> None:
    links = [f"page>/{number}" for number in range(50)]
    internet.pages["/"] = page("Home", *links, "the needle>/needle")
    internet.pages |= {f"/{number}": page(f"P{number}", f"Text {number}.") for number in range(50)}
    internet.pages["/needle"] = page("Needle", "It is 7 cm long.")

    found = search("How long is the needle?", pages=5)

    assert read(internet) == ["/", "/needle", "/0", "/1", "/2"]
    assert "It is 7 cm long." in found
    assert "[5 pages read; stopped after 5 pages, 47 more are there: begin at one that" in found


def test_a_search_ends_when_its_time_is_over(club: Internet, search: Call, context: Any) -> None:
    context.settings = {"seconds": 1e-9}

    assert "stopped when the time was over, 3 more are there" in search("clocks")
    assert read(club) == ["/"]


def test_a_cancel_takes_effect_between_two_pages(
    club: Internet, search: Call, context: Any
) -> None:
    def cancelling(line: Line) -> None:
        context.cancel.cancel("enough")
        line.send(page("Times", "Text."))

    club.pages["/times"] = cancelling

    with pytest.raises(Cancelled, match="enough"):
        search("clocks")
    assert read(club) == ["/", "/times"]


# -- what its owner says -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("robots", "kept"),
    [
        ("User-agent: *\nDisallow: /people", ["/people"]),
        ("User-agent: *\nAllow: /\nDisallow: /people*  # the longest counts", ["/people"]),
        ("User-agent: *\nDisallow: /\nAllow: /", []),
        ("User-agent: other\nDisallow: /", []),
        ("User-agent: agentkit\nDisallow: /t\nUser-agent: *\nDisallow: /", ["/times"]),
        ("User-agent: *\nDisallow: /*\nAllow: /$", None),
        ("<html>no such page</html>", []),
    ],
)
def test_robots_txt_is_kept_to(
    club: Internet, search: Call, robots: str, kept: list[str] | None
) -> None:
    club.pages["/robots.txt"] = answer(robots.encode())

    if kept is None:
        with pytest.raises(ToolError, match="does not let programs read http://site"):
            search("clocks")
        assert read(club) == []
        return
    found = search("clocks")

    left = {page for page in SITE if not page.startswith(tuple(kept))}
    assert set(read(club)) == left
    assert ("robots.txt keeps programs from 1" in found) is bool(kept)


def test_a_redirect_is_no_way_around_robots_txt(club: Internet, search: Call) -> None:
    club.pages["/robots.txt"] = answer(b"User-agent: *\nDisallow: /people/")
    club.pages["/times"] = redirect("/people/ben")

    found = search("clocks")

    assert "He mends the clocks" not in found
    assert f"{club.url('/times')} leads to {club.url('/people/ben')}" in found


def test_where_robots_txt_cannot_be_had_nothing_is_read(club: Internet, search: Call) -> None:
    club.pages["/robots.txt"] = answer(status=500)

    with pytest.raises(ToolError, match=r"/robots\.txt answered 500"):
        search("clocks")
    assert read(club) == []


def test_the_pace_that_it_asks_for_is_kept(
    club: Internet, search: Call, context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    club.pages["/robots.txt"] = answer(b"User-agent: *\nCrawl-delay: 7")
    waited = list[float]()
    monkeypatch.setattr(context.cancel, "wait", waited.append)

    search("clocks")

    assert waited == [7.0] * 4


def test_a_site_that_is_busy_is_left_alone(club: Internet, search: Call) -> None:
    club.pages["/times"] = answer(status=429, retry_after="30")

    found = search("times")

    assert read(club) == ["/", "/times"]
    assert "stopped as the site is busy, 2 more are there" in found
    assert "429 (Too Many Requests): try again after 30 s" in found


# -- what goes wrong -----------------------------------------------------------------------------


def test_what_was_not_read_is_told_in_one_line(internet: Internet, search: Call) -> None:
    internet.pages |= {
        "/": page("Home", "Here is the needle.", "a>/a.pdf", "b>/b", "c>/c", "d>/gone", "e>/no"),
        "/b": answer(pdf("Text"), content_type="application/pdf"),
        "/c": answer(bytes(3), content_type="text/plain"),
    }

    *_, notes = search("needle").splitlines()

    assert notes == (
        f"[1 page read; documents, for fetch_url: {internet.url('/a.pdf')}; not read: "
        f"{internet.url('/b')} is a PDF: fetch_url reads it; "
        f"{internet.url('/c')} is no text but binary data of 3 B; "
        f"{internet.url('/gone')} answered 404 (Not Found) and 1 more]"
    )


@pytest.mark.parametrize(
    ("path", "fault"),
    [("/gone", r"answered 404 \(Not Found\)"), ("/b.pdf", "is a PDF: fetch_url reads it")],
)
def test_a_first_page_that_cannot_be_read_is_no_result(
    internet: Internet, search: Call, path: str, fault: str
) -> None:
    internet.pages["/b.pdf"] = answer(pdf("Text"), content_type="application/pdf")

    with pytest.raises(ToolError, match=fault):
        search("needle", path)


def test_a_question_needs_a_telling_word(search: Call) -> None:
    with pytest.raises(ToolRetry, match="no telling word"):
        search("what is it?")


def test_a_page_that_keeps_the_reader_busy_is_left_out(
    club: Internet, search: Call, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = inspect.getclosurevars(call).globals["TOOLS"]
    function = inspect.getclosurevars(tools.find("search_site").call).nonlocals["function"]
    monkeypatch.setitem(function.__globals__, "READ_SECONDS", 1.0)
    club.pages["/people"] = answer(HARD, content_type="text/html")

    found = search("How much is it a year?")

    assert "Members pay 40 euros a year." in found
    assert f"{club.url('/people')} is too much for its reader" in found


def test_a_cancel_ends_the_reader(internet: Internet, search: Call, context: Any) -> None:
    internet.pages["/"] = answer(HARD, content_type="text/html")
    timer = threading.Timer(0.5, context.cancel.cancel, args=["enough"])

    timer.start()
    with pytest.raises(Cancelled, match="enough"):
        search("needle")
    timer.join()
