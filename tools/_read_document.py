"""A program that reads a document from stdin and writes its title and its text to stdout, as JSON.

    python _read_document.py article|words|pdf [URL] < page.html

Documents of others belong into a process of their own: there are pages of two megabytes that keep
a parser busy for minutes, and nothing but the end of its process stops it.  It limits its own
memory; who starts it watches the time.  What is wrong with a document is its `fault`.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Iterator
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


def main(reader: str, base: str = "") -> None:
    """Read stdin; `base` is the address of a page whose links are wanted."""
    with suppress(ValueError, OSError):  # not every system lets it
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    data = sys.stdin.buffer.read()
    found = read_pdf(data) if reader == "pdf" else read_page(data, reader == "article", base)
    json.dump(found, sys.stdout)


def read_page(page: bytes, article: bool, base: str) -> dict[str, str]:
    """A page in UTF-8: its article as Markdown, or all of its words where it has none."""
    from lxml import etree, html  # type: ignore[import-untyped]

    try:
        tree = html.document_fromstring(page, parser=html.HTMLParser(encoding="utf-8"))
    except etree.LxmlError:
        return {"title": "", "text": ""}
    title = " ".join((tree.findtext(".//title") or "").split())
    text = _article(page.decode("utf-8"), base) if article else ""
    return {"title": title, "text": text or _words(tree)}


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


def _walk(tree: Any) -> Iterator[tuple[str, Any]]:
    """Elements as they begin and end; of silent ones, and of comments, only the end."""
    from lxml import etree

    walker = etree.iterwalk(tree, events=("start", "end", "comment", "pi"))
    for event, element in walker:
        if event in ("comment", "pi"):
            yield "end", element
        elif event == "start" and element.tag in SILENT:
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
