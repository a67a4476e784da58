"""A program that reads documents from stdin and writes what they say to stdout, as JSON.

    python reader.py article|words|pdf [URL] < page.html     its title and its text
    python reader.py pages BYTES BYTES ... < pages           for each page one line

It limits its own memory; who starts it watches the time, see `documents`.  What is wrong with a
document is its `fault`.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Collection, Iterator
from contextlib import suppress
from io import BytesIO
from typing import Any

MEMORY = 2_000_000_000

LINES = frozenset(
    "address article blockquote br dd div dt fieldset figcaption footer form h1 h2 h3 h4 h5 h6 "
    "header hr li main nav ol option p pre section table td th title tr ul".split()
)
"""Elements that begin a line."""
SILENT = frozenset("iframe noscript object script style svg template title".split())
"""Elements whose words are not for readers, or told elsewhere."""

TITLES = frozenset("h1 h2 h3 h4 h5 h6".split())
CELLS = frozenset(["td", "th"])
CLOSE = CELLS | frozenset("br dd dt li option tr".split())
"""Lines that belong to those around them."""
MARGIN = ("header", "footer", "aside")
"""What stands around the main part of a page, and may still tell something."""
LINKS = 1000
"""Links of a page that are told."""


def main(reader: str, *more: str) -> None:
    """Read stdin; `more` is the address of a page whose links are wanted, or sizes of pages."""
    with suppress(ValueError, OSError):  # not every system lets it
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    if reader == "pages":
        for size in map(int, more):
            sys.stdout.write(json.dumps(read_page_of_site(sys.stdin.buffer.read(size))) + "\n")
            sys.stdout.flush()  # what was read counts, whatever the next one does
        return
    data = sys.stdin.buffer.read()
    found = read_pdf(data) if reader == "pdf" else read_page(data, reader == "article", *more)
    json.dump(found, sys.stdout)


def read_page(page: bytes, article: bool, base: str = "") -> dict[str, str]:
    """A page in UTF-8: its article as Markdown, or all of its words where it has none."""
    tree = _tree(page)
    if tree is None:
        return {"title": "", "text": ""}
    text = _article(page.decode("utf-8"), base) if article else ""
    return {"title": _title(tree), "text": text or _words(tree)}


def read_page_of_site(page: bytes) -> dict[str, Any]:
    """A page in UTF-8 as `documents.Page` has it."""
    tree = _tree(page)
    if tree is None:
        return {"title": "", "lines": [], "margin": [], "base": "", "links": []}
    main = [*tree.iter("main"), *tree.xpath("//*[@role='main']"), tree][0]
    margin = [part for part in tree.iter(*MARGIN) if main is tree or main not in _above(part)]
    without = ("nav", *MARGIN) if main is tree else ("nav",)
    return {
        "title": _title(tree),
        "lines": _lines(main, without),
        "margin": [line for part in margin for line in _lines(part, ("nav", *MARGIN))],
        "base": next((base.get("href") or "" for base in tree.iter("base")), ""),
        "links": _links(tree),
    }


def _tree(page: bytes) -> Any:
    """None for what cannot be read as a page."""
    from lxml import etree, html  # type: ignore[import-untyped]

    with suppress(etree.LxmlError):
        return html.document_fromstring(page, parser=html.HTMLParser(encoding="utf-8"))
    return None


def _title(tree: Any) -> str:
    return " ".join((tree.findtext(".//title") or "").split())


def _above(element: Any) -> list[Any]:
    return list(element.iterancestors())


def _links(tree: Any) -> list[tuple[str, str]]:
    """Addresses as they are written, each with its words, but for those not to be followed."""
    for meta in tree.iter("meta"):
        if (meta.get("name") or "").lower() == "robots":
            said = (meta.get("content") or "").lower()
            if "nofollow" in said or "none" in said:
                return []
    found = dict[str, str]()
    for link in tree.iter("a", "area"):
        to = (link.get("href") or "").strip()
        if to and not to.startswith("#") and "nofollow" not in (link.get("rel") or "").lower():
            found.setdefault(to, " ".join(link.text_content().split())[:200])
    return list(found.items())[:LINKS]


def _article(page: str, base: str) -> str:
    import trafilatura

    found = trafilatura.extract(
        page,
        url=base or None,
        output_format="markdown",
        include_links=bool(base),
        include_comments=False,
    )
    return found or ""


def _words(tree: Any) -> str:
    """All words of a page, line by line."""
    pieces: list[str] = []
    for event, element in _walk(tree):
        if element.tag in LINES:
            pieces.append("\n")
        pieces.append((element.text if event == "start" else element.tail) or "")
    lines = (" ".join(line.split()) for line in "".join(pieces).splitlines())
    return "\n".join(line for line in lines if line)


def _lines(part: Any, without: Collection[str]) -> list[str]:
    """The words of a part of a page: entries of lists and rows of tables are lines, too.

    White space means nothing in a page, so other marks stand for the ends of lines and paragraphs.
    """
    pieces: list[str] = []
    for event, element in _walk(part, SILENT.union(without) - {part.tag}):
        begins = event == "start"
        if element.tag in CELLS:
            pieces.append(" | " * begins)
        elif element.tag in LINES:
            pieces.append("\0" if element.tag in CLOSE else "\1")
            pieces.append("# " * (begins and element.tag in TITLES))
        if begins or element is not part:
            pieces.append((element.text if begins else element.tail) or "")
    found = list[str]()
    for paragraph in "".join(pieces).split("\1"):
        lines = (" ".join(line.split()).removeprefix("| ") for line in paragraph.split("\0"))
        if written := [line for line in lines if line not in ("", "#")]:
            found += [*written, ""]
    return found


def _walk(tree: Any, silent: Collection[str] = SILENT) -> Iterator[tuple[str, Any]]:
    """Elements as they begin and end; of silent ones, and of comments, only the end."""
    from lxml import etree

    walker = etree.iterwalk(tree, events=("start", "end", "comment", "pi"))
    for event, element in walker:
        if event in ("comment", "pi"):
            yield "end", element
        elif event == "start" and element.tag in silent:
            walker.skip_subtree()
        else:
            yield event, element


def read_pdf(data: bytes) -> dict[str, str]:
    """The pages of a PDF, each below its number if there are several."""
    import pypdf

    try:
        reader = pypdf.PdfReader(BytesIO(data))
        texts = [page.extract_text().strip() for page in reader.pages]
        title = str((reader.metadata and reader.metadata.title) or "")
    except (pypdf.errors.FileNotDecryptedError, pypdf.errors.DependencyError):
        return {"fault": "the PDF is locked with a password"}
    except MemoryError:
        raise
    except Exception as error:  # pypdf raises all kinds of errors for a damaged file
        return {"fault": f"the PDF is damaged: {error}"}
    if len(texts) > 1 and any(texts):
        texts = [f"[page {number}]\n{text}" for number, text in enumerate(texts, start=1)]
    return {"title": title, "text": "\n\n".join(texts)}


if __name__ == "__main__":
    main(*sys.argv[1:])
