"""A website of twenty pages, the same each time, served on this machine.

The museum of lamps: what is on a page is on that page only, and every page can be reached by links
from the first one.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PORT = 8747
"""Always the same, so that every run reads the same prompts; any other where it is taken."""

LAMPS = (
    ("anchor", "Anchor lamp", "ships", 1911, 68.00),
    ("bench", "Workbench lamp", "workshops", 1934, 54.50),
    ("carbide", "Carbide lamp", "miners", 1902, 79.90),
    ("desk", "Desk lamp Tilda", "offices", 1957, 49.80),
    ("garden", "Garden lantern", "parks", 1926, 61.25),
    ("globe", "Globe lamp", "railway stations", 1921, 88.00),
)
"""Address, name, for whom, year, price of the copy in the shop."""

STAFF = (
    ("ines-falk", "Ines Falk", "director", "She came from the harbour museum in 2016."),
    ("karl-odum", "Karl Odum", "restorer", "He has mended more than four hundred lamps."),
    ("mirja-salo", "Mirja Salo", "guide for schools", "Groups of up to 25 children."),
)


def _page(title: str, *paragraphs: str) -> str:
    body = "\n".join(f"<p>{paragraph}</p>" for paragraph in paragraphs)
    return (
        f"<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
        f"<title>{title}</title></head><body><article><h1>{title}</h1>\n{body}\n</article></body></html>\n"
    )


def _link(address: str, text: str) -> str:
    return f"<a href='/{address}'>{text}</a>"


def _pages() -> dict[str, str]:
    pages = {
        "": _page(
            "The Museum of Lamps",
            "Welcome to the museum of lamps in the old gasworks, with more than six hundred lamps.",
            f"{_link('visit', 'Plan your visit')}: hours, prices and how to find us.",
            f"{_link('collection', 'The collection')}: the lamps that you can see.",
            f"{_link('shop', 'The shop')}: copies of our lamps, made in our own workshop.",
            f"{_link('about', 'About us')}: our history and the people who work here.",
            f"{_link('news', 'News')}: what happens in the museum.",
        ),
        "visit": _page(
            "Plan your visit",
            f"We tell you about our {_link('hours', 'opening hours')} and about "
            f"{_link('tickets', 'tickets')} on pages of their own.",
            f"The museum is at Gasworks Lane 4; see {_link('directions', 'how to find us')}.",
        ),
        "hours": _page(
            "Opening hours",
            "From Tuesday to Friday the museum is open from 10:00 to 17:00.",
            "On Saturdays it is open from 11:00 to 19:30, on Sundays from 11:00 to 16:00.",
            "It is closed on Mondays, and the shop closes half an hour before the museum does.",
        ),
        "tickets": _page(
            "Tickets",
            "A ticket costs 9.50 euros, for students and people over 65 it costs 6.00 euros.",
            "A family ticket for two adults and up to three children costs 21.00 euros.",
            "Children under six do not need a ticket.",
        ),
        "directions": _page(
            "How to find us",
            "Take tram 7 to the stop Old Gasworks, from there it is a walk of two minutes.",
            "There are few places for cars, but there is room for bicycles at the gate.",
        ),
        "collection": _page(
            "The collection",
            "These lamps have a page of their own:",
            *(_link(f"lamps/{address}", name) for address, name, *_ in LAMPS),
        ),
        "shop": _page(
            "The shop",
            "We make copies of six lamps; each has a page with its price: "
            + ", ".join(_link(f"lamps/{address}", name) for address, name, *_ in LAMPS)
            + ".",
            f"We send them to you: {_link('shipping', 'shipping')}.",
        ),
        "shipping": _page(
            "Shipping",
            "Shipping costs 7.90 euros for each parcel; one lamp fits into a parcel.",
            "Orders above 150 euros are sent without charge. A parcel takes three to five days.",
        ),
        "about": _page(
            "About us",
            f"The museum has a long {_link('history', 'history')}.",
            "People who work here: "
            + ", ".join(_link(f"staff/{address}", name) for address, name, *_ in STAFF)
            + ".",
        ),
        "history": _page(
            "History of the museum",
            "The museum was founded in 1978 by the electrician Agnes Thorsen, who had collected "
            "lamps since her youth. In 1991 it moved from her garage to the old gasworks.",
            "After a fire in 2003 the east wing was rebuilt; it was opened again in 2005.",
        ),
        "news": _page(
            "News",
            "The exhibition Light at Sea can be seen from 8 May to 27 September 2026.",
            "The night of lamps is on 14 November 2026; tickets can be had from October on.",
        ),
    }
    for address, name, whom, year, price in LAMPS:
        pages[f"lamps/{address}"] = _page(
            name,
            f"The {name.lower()} was made for {whom} from {year} on.",
            f"In our shop a copy of it costs {price:.2f} euros.",
        )
    for address, name, work, more in STAFF:
        pages[f"staff/{address}"] = _page(name, f"{name} is the {work} of the museum.", more)
    return pages


PAGES = _pages()
"""By address, without the slash at the beginning."""


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        """Send a page, or 404."""
        page = PAGES.get(self.path.partition("?")[0].strip("/"))
        body = (page or _page("Not found", "There is no such page.")).encode()
        self.send_response(200 if page else 404)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the table is what is printed."""


@contextmanager
def served() -> Iterator[str]:
    """The address of the website, while it is there."""
    try:
        server = ThreadingHTTPServer(("127.0.0.1", PORT), _Handler)
    except OSError:
        server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
