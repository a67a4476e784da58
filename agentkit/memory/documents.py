"""Files as text: what is in them, and where.

Nothing here runs what a file says: it is read, and what cannot be read is refused with the reason.
"""

from __future__ import annotations

import bisect
import io
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from agentkit.cancel import CancelToken
from agentkit.errors import UserError
from agentkit.memory.passages import Kind, Passage, cut

VERSION = "1"
"""Of what is read out of files and how it is cut: a later one takes in all files anew."""

LARGEST = 200_000_000
"""Bytes of a file."""

MARKDOWN = {".md", ".markdown"}
HTML = {".html", ".htm", ".xhtml"}
PLAIN = {".txt", ".text", ".rst", ".org", ".log", ".csv", ".tsv", ".srt", ".vtt"}
KNOWN = MARKDOWN | HTML | PLAIN | {".pdf", ".docx", ".json"}
"""What is taken from a folder.  A file that is named is read as text where it has another ending;
of JSON, transcripts only."""


class NotMeant(UserError):
    """A file that may be there for anything: in a folder it is passed over."""


def passages(path: Path, data: bytes, cancel: CancelToken | None = None) -> list[Passage]:
    """What a file says, in passages.  Raises `UserError` for one that cannot be read."""
    reader = _READERS.get(path.suffix.lower(), _text)
    return list(reader(path, data, cancel))


def _text(path: Path, data: bytes, cancel: CancelToken | None) -> Iterator[Passage]:
    kind: Kind = "markdown" if path.suffix.lower() in MARKDOWN else "plain"
    yield from (Passage(text) for _, text in cut(_decoded(path, data), kind, cancel))


def _html(path: Path, data: bytes, cancel: CancelToken | None) -> Iterator[Passage]:
    import trafilatura

    _quiet("trafilatura")
    html = _decoded(path, data)
    if "<html" not in html.lower():  # trafilatura takes whole pages only
        html = f"<html><body>{html}</body></html>"
    found = trafilatura.extract(html, output_format="markdown", include_comments=False)
    found = found or trafilatura.html2txt(html) or ""
    yield from (Passage(text) for _, text in cut(found, "markdown", cancel))


def _pdf(path: Path, data: bytes, cancel: CancelToken | None) -> Iterator[Passage]:
    import pypdf

    _quiet("pypdf")
    try:
        reader = pypdf.PdfReader(io.BytesIO(data))
        if reader.is_encrypted and not reader.decrypt(""):
            raise _unreadable(path, "it is locked with a password")
        for number, page in enumerate(reader.pages, start=1):
            for _, text in cut(page.extract_text(), "plain", cancel):
                yield Passage(text, {"page": number})
    except (pypdf.errors.PyPdfError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise _unreadable(path, f"it is no whole PDF ({error})") from None


def _docx(path: Path, data: bytes, cancel: CancelToken | None) -> Iterator[Passage]:
    import docx

    try:
        document = docx.Document(io.BytesIO(data))
        text = "\n\n".join(_blocks(document))
    except Exception as error:  # zip, XML and the library's own: all say that it is none
        raise _unreadable(path, f"it is no whole Word document ({error})") from None
    yield from (Passage(piece) for _, piece in cut(text, "markdown", cancel))


def _blocks(document: Any) -> Iterator[str]:
    """Paragraphs, headings as Markdown has them, and the rows of tables."""
    for block in document.iter_inner_content():
        if hasattr(block, "rows"):
            yield "\n".join(" | ".join(cell.text for cell in row.cells) for row in block.rows)
            continue
        style = block.style.name if block.style else ""
        level = style.removeprefix("Heading ")
        heading = "#" * int(level) + " " if style.startswith("Heading ") and level.isdigit() else ""
        yield heading + block.text


def _transcript(path: Path, data: bytes, cancel: CancelToken | None) -> Iterator[Passage]:
    """What `agentkit transcribe --json` writes: passages say at which second they begin."""
    try:
        segments = json.loads(_decoded(path, data))["segments"]
        said = [(float(one["start"]), str(one["text"]).strip()) for one in segments]
    except (ValueError, KeyError, TypeError):
        raise NotMeant(f"{path}: of JSON files, only transcripts are read") from None
    starts, text = [0], ""
    for _, words in said:
        text += words + "\n"
        starts.append(len(text))
    for offset, piece in cut(text, "plain", cancel):
        yield Passage(piece, {"second": round(said[bisect.bisect_right(starts, offset) - 1][0], 1)})


def _decoded(path: Path, data: bytes) -> str:
    """Text in UTF-8, in UTF-16 with its mark, or in what it seems to be."""
    from charset_normalizer import from_bytes

    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", "replace")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        best = from_bytes(data[:1_000_000]).best()
        if best is None:
            raise _unreadable(path, "it is no text") from None
        text = data.decode(best.encoding, "replace")
    if "\0" in text:
        raise _unreadable(path, "it is no text")
    return text


def _quiet(library: str) -> None:
    """What is wrong with a file is told by us; what a library mutters about it is not."""
    logging.getLogger(library).setLevel(logging.CRITICAL)


def _unreadable(path: Path, why: str) -> UserError:
    return UserError(f"{path}: {why}")


_READERS: dict[str, Callable[[Path, bytes, CancelToken | None], Iterator[Passage]]] = {
    **dict.fromkeys(HTML, _html),
    ".pdf": _pdf,
    ".docx": _docx,
    ".json": _transcript,
}
