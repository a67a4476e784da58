"""Pages and PDFs to text, from a loopback server that plays the internet."""

from __future__ import annotations

import codecs
import inspect
import threading
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any

import pypdf
import pytest

from agentkit.errors import Cancelled, ToolError, ToolRetry
from agentkit.hosts import HostPolicy
from agentkit.network import GuardedHttp
from agentkit.ports import ToolContext
from tests.network.internet import Internet, Resolver, answer, redirect

Call = Callable[..., Any]

ARTICLE = """<!doctype html>
<html><head><meta charset="utf-8"><title>How to bake
  bread</title><style>p {color: red}</style></head><body>
<nav><ul><li><a href="/">Home</a></li><li><a href="/about">About us</a></li></ul></nav>
<article><h1>Bread</h1>
<p>Bread is made from <a href="/flour">good flour</a>, water, salt and yeast. Mix the flour with
the water until the dough is smooth, and let it rest for an hour.</p>
<table><tr><th>what</th><th>grams</th></tr><tr><td>flour</td><td>500</td></tr></table>
<p>Bake it at 230 degrees for forty minutes, until the crust is dark – and let it cool.</p>
</article><script>track("you")</script><footer>We use cookies. Imprint.</footer></body></html>
"""


@pytest.fixture
def internet() -> Iterator[Internet]:
    made = Internet()
    yield made
    made.close()


@pytest.fixture
def fetch(
    internet: Internet, call: Call, context: ToolContext, monkeypatch: pytest.MonkeyPatch
) -> Call:
    """`fetch("/path")` of `site.example`, with the tool as it ships."""
    web = GuardedHttp(
        HostPolicy.of(["*"]),
        resolve=Resolver({"site.example": [["127.0.0.1"]]}),
        public=lambda address: True,
    )
    monkeypatch.setattr(context, "http", web)
    return lambda path="/", **more: call("fetch_url", url=internet.url(path), **more)


def pdf(*pages: str, title: str = "") -> bytes:
    """A PDF with some lines of text on each page, written by hand."""
    kids = " ".join(f"{3 + 2 * number} 0 R" for number in range(len(pages)))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>",
    ]
    font = "<< /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >>"
    for number, text in enumerate(pages):
        drawn = f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET"
        objects += [
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Resources {font} "
            f"/Contents {4 + 2 * number} 0 R >>",
            f"<< /Length {len(drawn)} >>\nstream\n{drawn}\nendstream",
        ]
    objects.append(f"<< /Title ({title}) >>")
    written = b"%PDF-1.4\n"
    places = []
    for number, body in enumerate(objects, start=1):
        places.append(len(written))
        written += f"{number} 0 obj\n{body}\nendobj\n".encode()
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    end = (
        f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}trailer\n"
        f"<< /Size {len(objects) + 1} /Root 1 0 R /Info {len(objects)} 0 R >>\n"
        f"startxref\n{len(written)}\n%%EOF\n"
    )
    return written + end.encode()


def locked(document: bytes) -> bytes:
    writer = pypdf.PdfWriter(clone_from=BytesIO(document))
    writer.encrypt("secret", algorithm="RC4-128")
    out = BytesIO()
    writer.write(out)
    return out.getvalue()


# -- pages ---------------------------------------------------------------------------------------


def test_a_page_is_its_article(internet: Internet, fetch: Call) -> None:
    internet.pages["/bread"] = answer(ARTICLE.encode(), content_type="text/html; charset=utf-8")

    page = fetch("/bread")

    assert page["url"] == internet.url("/bread")
    assert page["title"] == "How to bake bread"
    assert page["text"].startswith("# Bread\n\nBread is made from good flour, water")
    assert "| flour | 500 |" in page["text"]
    assert "crust is dark – and let it cool." in page["text"]
    for noise in ("About us", "cookies", "track", "color", "/flour"):
        assert noise not in page["text"]


def test_links_are_kept_in_full_if_they_are_wanted(internet: Internet, fetch: Call) -> None:
    internet.pages["/a"] = redirect("/bread/page")
    internet.pages["/bread/page"] = answer(ARTICLE.encode(), content_type="text/html")

    assert f"[good flour]({internet.url('/flour')})" in fetch("/a", links=True)["text"]


def test_a_page_without_an_article_is_all_its_words(internet: Internet, fetch: Call) -> None:
    internet.pages["/"] = answer(
        b"<title>T</title><nav>one <b>two</b><br>three<!-- no --><script>no</script> four"
        b"<ul><li>five<li>six &amp; seven</ul><style>no</style></nav>",
        content_type="text/html",
    )

    assert fetch() == {
        "url": internet.url(),
        "title": "T",
        "text": "one two\nthree four\nfive\nsix & seven",
    }


def test_a_page_that_keeps_the_reader_busy_is_given_as_words(
    internet: Internet, fetch: Call, context: Any, patience: Callable[[float], None]
) -> None:
    patience(5.0)
    lines = "".join(f"<p>a b c {number}</p>\n" for number in range(100_000))
    internet.pages["/"] = answer(
        f"<html><body><article>{lines}</article></body></html>".encode(), content_type="text/html"
    )

    text = fetch()["text"]

    assert text.splitlines()[99_999] == "a b c 99999"
    assert context.warnings == [
        f"{internet.url()} is too long to find its article: these are all its words"
    ]


@pytest.fixture
def patience(call: Call, monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Let the tool that is called here give up early: other toolboxes have loaded it, too."""
    tools = inspect.getclosurevars(call).globals["TOOLS"]
    function = inspect.getclosurevars(tools.find("fetch_url").call).nonlocals["function"]

    def give_up_after(seconds: float) -> None:
        monkeypatch.setitem(function.__globals__, "READ_SECONDS", seconds)

    return give_up_after


def test_a_page_that_nothing_can_read_in_time_is_told(
    internet: Internet, fetch: Call, patience: Callable[[float], None]
) -> None:
    patience(1.0)
    internet.pages["/"] = answer(HARD, content_type="text/html")

    with pytest.raises(ToolError, match=r"cannot be read in 1 s"):
        fetch()


HARD = b"<html><body><p %s>x</p></body></html>" % b" ".join(b"a%d=b" % n for n in range(150_000))
"""A parser compares each attribute with all others."""


def test_a_cancel_ends_the_reader(internet: Internet, fetch: Call, context: Any) -> None:
    internet.pages["/"] = answer(HARD, content_type="text/html")
    timer = threading.Timer(0.5, context.cancel.cancel, args=["enough"])

    timer.start()
    with pytest.raises(Cancelled, match="enough"):
        fetch()
    timer.join()


def test_a_page_of_nested_elements_does_no_harm(internet: Internet, fetch: Call) -> None:
    internet.pages["/"] = answer(
        b"<html><body>" + b"<div>" * 200_000 + b"deep" + b"</div>" * 200_000,
        content_type="text/html",
    )

    with pytest.raises(ToolError, match="has no text"):
        fetch()


def test_a_page_that_only_a_browser_can_show_is_told(internet: Internet, fetch: Call) -> None:
    internet.pages["/"] = answer(
        b"<html><head><script src=app.js></script></head><body><div id=root></div></body></html>",
        content_type="text/html",
    )

    with pytest.raises(ToolError) as raised:
        fetch()

    assert str(raised.value) == (
        f"{internet.url()} has no text: it may be a page that only a browser can show"
    )


# -- other documents -----------------------------------------------------------------------------


def test_a_pdf_is_its_pages(internet: Internet, fetch: Call) -> None:
    internet.pages["/"] = answer(
        pdf("First things first", "Last words", title="Report"), content_type="application/pdf"
    )

    assert fetch() == {
        "url": internet.url(),
        "title": "Report",
        "text": "[page 1]\nFirst things first\n\n[page 2]\nLast words",
    }


def test_a_pdf_is_known_by_its_beginning_whatever_the_server_says(
    internet: Internet, fetch: Call
) -> None:
    internet.pages["/"] = answer(pdf("Only page"), content_type="text/html")

    assert fetch()["text"] == "Only page"


@pytest.mark.parametrize(
    ("document", "fault"),
    [
        (b"%PDF-1.4\nnonsense", r"cannot be read: the PDF is damaged: "),
        (b"%PDF-1.4\n" + pdf("x")[200:400], r"cannot be read: the PDF is damaged: "),
        (locked(pdf("secret")), r"cannot be read: the PDF is locked with a password$"),
        (pdf("", ""), r"has no text: its pages may be pictures$"),
    ],
)
def test_a_pdf_without_text_is_told(
    internet: Internet, fetch: Call, document: bytes, fault: str
) -> None:
    internet.pages["/"] = answer(document, content_type="application/pdf")

    with pytest.raises(ToolError, match=fault):
        fetch()


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("text/plain", "just <b>text</b>\n"),
        ("application/json", '{"a": [1, 2]}'),
        ("application/ld+json; charset=utf-8", "{}"),
        ("application/rss+xml", "<rss><item>one</item></rss>"),
        ("text/markdown", "# Title"),
        ("text/csv", "a;b\n1;2\n"),
        ("", "no type at all"),
        ("application/octet-stream", "text after all"),
    ],
)
def test_text_is_given_as_it_is(internet: Internet, fetch: Call, kind: str, body: str) -> None:
    internet.pages["/"] = answer(body.encode(), content_type=kind)

    assert fetch() == {"url": internet.url(), "title": "", "text": body}


def test_what_looks_like_a_page_is_one_if_nothing_else_is_said(
    internet: Internet, fetch: Call
) -> None:
    internet.pages["/"] = answer(b"\n<HTML><body><p>hello", content_type="")

    assert fetch()["text"] == "hello"


@pytest.mark.parametrize(
    ("kind", "body", "told"),
    [
        ("image/png", b"\x89PNG\r\n", "is no text but image/png of 6 B"),
        ("application/zip", b"PK\3\4", "is no text but application/zip of 4 B"),
        ("", b"\0\1\2", "is no text but binary data of 3 B"),
        ("text/plain", bytes(10), "is no text but binary data of 10 B"),
        ("text/plain", b"", "has no text: it is empty"),
    ],
)
def test_what_is_no_text_is_told(
    internet: Internet, fetch: Call, kind: str, body: bytes, told: str
) -> None:
    internet.pages["/"] = answer(body, content_type=kind)

    with pytest.raises(ToolError) as raised:
        fetch()

    assert str(raised.value) == f"{internet.url()} {told}"


# -- characters ----------------------------------------------------------------------------------

GERMAN = "Übermut tut selten gut: 5 € für Äpfel – „so“"


@pytest.mark.parametrize(
    ("header", "body"),
    [
        ("text/plain; charset=utf-8", GERMAN.encode()),
        ('text/plain; charset="UTF-8"', GERMAN.encode()),
        ("text/plain", GERMAN.encode()),
        ("text/plain; charset=iso-8859-1", GERMAN.encode("cp1252")),
        ("text/plain; charset=windows-1252", GERMAN.encode("cp1252")),
        ("text/plain; charset=iso-8859-1", GERMAN.encode()),
        ("text/plain; charset=utf-16-le", GERMAN.encode("utf-16-le")),
        ("text/plain; charset=ascii", codecs.BOM_UTF8 + GERMAN.encode()),
        ("text/plain; charset=utf-8", codecs.BOM_UTF16_LE + GERMAN.encode("utf-16-le")),
        ("text/plain", codecs.BOM_UTF16_BE + GERMAN.encode("utf-16-be")),
        ("text/plain; charset=nonsense", GERMAN.encode()),
        ("text/plain; charset=unicode_escape", GERMAN.encode()),
        ("text/plain; charset=utf-8", GERMAN.encode("cp1252")),
        ("text/plain", GERMAN.encode("cp1252")),
        ("text/plain; charset=shift_jis", "日本語の文章です。".encode("shift_jis")),
        ("text/html; charset=utf-8", ARTICLE.encode("cp1252")),
        ("text/html", ARTICLE.replace("utf-8", "windows-1252").encode("cp1252")),
        ("text/html", ARTICLE.replace('"utf-8"', "Latin1").encode("cp1252")),
        ("application/xml", '<?xml version="1.0" encoding="cp1252"?>–'.encode("cp1252")),
    ],
)
def test_characters_are_read_whatever_the_server_says(
    internet: Internet, fetch: Call, header: str, body: bytes
) -> None:
    internet.pages["/"] = answer(body, content_type=header)

    text = fetch()["text"]

    assert text == GERMAN or "日本語の文章です。" in text or "dark – and" in text or text[-1] == "–"


# -- statuses ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "words"),
    [(404, "404 (Not Found)"), (403, "403 (Forbidden)"), (500, "500 (Internal Server Error)"),
     (300, "300 (Multiple Choices)")],
)  # fmt: skip
def test_a_page_that_is_not_there_is_told(
    internet: Internet, fetch: Call, status: int, words: str
) -> None:
    internet.pages["/"] = answer(b"<p>no", status)

    with pytest.raises(ToolError) as raised:
        fetch()

    assert str(raised.value) == f"{internet.url()} answered {words}"
    assert not isinstance(raised.value, ToolRetry)


@pytest.mark.parametrize(
    ("status", "headers", "when"),
    [
        (429, {"retry_after": "30"}, "429 (Too Many Requests): try again after 30 s"),
        (503, {}, "503 (Service Unavailable): try again later"),
        (
            503,
            {"retry_after": "Fri, 27 Nov 2026 09:00:00 GMT"},
            "503 (Service Unavailable): try again after Fri, 27 Nov 2026 09:00:00 GMT",
        ),
    ],
)
def test_a_server_that_is_busy_may_be_asked_again(
    internet: Internet, fetch: Call, status: int, headers: Any, when: str
) -> None:
    internet.pages["/"] = answer(status=status, **headers)

    with pytest.raises(ToolRetry) as raised:
        fetch()

    assert str(raised.value) == f"{internet.url()} answered {when}"
