"""The text of a file: plain text in the encodings that people have, PDF and Word documents.

Anything else is refused with what it seems to be and the tool that helps.  A file that is too large
to be held is read from the line that was asked for, and no further.
"""

from __future__ import annotations

import io
import os
import re
import stat
import zipfile
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE, BOM_UTF32_BE, BOM_UTF32_LE
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO
from xml.etree import ElementTree

from agentkit import ToolContext, tool
from agentkit.errors import ToolError, ToolRetry, human_bytes
from agentkit.permissions import ReadPath
from agentkit.toolbox.documents import read_document

WHOLE = 50_000_000
"""Bytes of a file that is read as a whole."""

CHUNK = 1_000_000
"""Bytes that are held at a time of a larger one."""

SNIFFED = 8192
"""Bytes at the beginning that tell text from anything else."""


@tool(effects=("reads",))
def read_file(path: ReadPath, start: int = 1, lines: int = 0, *, context: ToolContext) -> str:
    """Read a file: text, PDF or Word.

    Args:
        path: The file.
        start: The first line, from 1; -20 is the last 20 lines.
        lines: How many lines; 0 is all.
    """
    place = context.files.locate(path)
    if _size(place) > WHOLE:
        return _part_of_huge(path, place, start, lines, context)
    text = _text(context.files.read(path, limit=WHOLE), path, context)
    return _part(text, path, start, lines)


def _size(place: Path) -> int:
    """0 where there is nothing: reading says why."""
    try:
        return place.stat().st_size
    except OSError:
        return 0


def _part(text: str, path: Path, start: int, lines: int) -> str:
    """Some lines, and where to go on; all of them as they are."""
    rows = text.split("\n")
    if rows[-1] == "":
        rows.pop()
    first = max(0, len(rows) + start) if start < 0 else max(0, start - 1)
    last = first + lines if lines > 0 else len(rows)
    if (first, last) == (0, len(rows)):
        return text
    if first >= len(rows):
        raise ToolRetry(f"{str(path)!r} has {len(rows)} lines: there is no line {start}")
    return "\n".join(rows[first:last]) + _rest(first + 1, last, len(rows))


def _rest(first: int, last: int, total: int | None) -> str:
    """A line for the reader of a part that is not the last."""
    if total is not None and last >= total:
        return ""
    of = f" of {total}" if total else ""
    return f"\n[lines {first} to {last}{of}; the next begin at start={last + 1}]"


# -- from bytes to text --------------------------------------------------------------------------


def _text(data: bytes, path: Path, context: ToolContext) -> str:
    if data.lstrip().startswith(PDF):
        return _of_pdf(data, path, context)
    if data.startswith(ZIP):
        return _of_word(data, path)
    encoding = _encoding(data[:SNIFFED], path)
    with suppress(UnicodeDecodeError):
        return data.decode(encoding)
    text = data.decode(encoding, "replace")
    if encoding == "utf-8" and text.count("\ufffd") > len(NO_ASCII.findall(text)):
        encoding = "cp1252"
        text = data.decode(encoding, "replace")
    context.warn(f"{path} is no clean text: it was read as {encoding}")
    return text


MARKS = {
    BOM_UTF8: "utf-8-sig",
    BOM_UTF32_LE: "utf-32",  # before UTF-16, which begins the same
    BOM_UTF32_BE: "utf-32",
    BOM_UTF16_LE: "utf-16",
    BOM_UTF16_BE: "utf-16",
}

NO_ASCII = re.compile("[^\\x00-\\x7f\\ufffd]")
"""Letters that were read well, and would not have been if the encoding were another."""

CONTROL = re.compile(rb"[\x00-\x06\x0e-\x1a\x1c-\x1f]")
"""What no text has: not the tabs, line ends, backspaces and colours of logs."""


def _encoding(head: bytes, path: Path) -> str:
    """How a text is encoded, as its beginning tells.  Raises `ToolError` for what is no text."""
    for mark, encoding in MARKS.items():
        if head.startswith(mark):
            return encoding
    if _is_clean(head):
        return "utf-8"
    for magic, at, what in KINDS:
        if head.startswith(magic, at):
            raise ToolError(f"{str(path)!r} is no text but {what}")
    for parity, encoding in enumerate(("utf-16-le", "utf-16-be")):
        low, high = head[parity::2], head[1 - parity :: 2]
        if _is_clean(low) and high.count(0) * 2 > len(high):
            return encoding
    raise ToolError(f"{str(path)!r} is no text but binary data: run_python can read its bytes")


def _is_clean(data: bytes) -> bool:
    return b"\0" not in data and len(CONTROL.findall(data)) * 20 <= len(data)


PDF, ZIP = b"%PDF-", b"PK\3\4"
HEARD = "transcribe writes down what is said in it"
UNPACKED = "run_shell can unpack it"
KINDS = (
    (b"\x89PNG", 0, "a PNG picture"),
    (b"\xff\xd8\xff", 0, "a JPEG picture"),
    (b"GIF8", 0, "a GIF picture"),
    (b"WEBP", 8, "a WebP picture"),
    (b"WAVE", 8, f"a WAV recording: {HEARD}"),
    (b"fLaC", 0, f"a FLAC recording: {HEARD}"),
    (b"ID3", 0, f"an MP3 recording: {HEARD}"),
    (b"\xff\xfb", 0, f"an MP3 recording: {HEARD}"),
    (b"OggS", 0, f"an Ogg recording: {HEARD}"),
    (b"ftyp", 4, f"an MP4 video or recording: {HEARD}"),
    (b"\x1aE\xdf\xa3", 0, f"a Matroska or WebM video: {HEARD}"),
    (b"AVI ", 8, f"an AVI video: {HEARD}"),
    (b"\x1f\x8b", 0, f"gzip data: {UNPACKED}"),
    (b"BZh", 0, f"bzip2 data: {UNPACKED}"),
    (b"\xfd7zXZ\0", 0, f"xz data: {UNPACKED}"),
    (b"\x28\xb5\x2f\xfd", 0, f"zstd data: {UNPACKED}"),
    (b"ustar", 257, f"a tar archive: {UNPACKED}"),
    (b"SQLite format 3\0", 0, "an SQLite database: run_python can query it with sqlite3"),
    (b"\xd0\xcf\x11\xe0", 0, "an old Office file, or one with a password: save it as .docx"),
    (b"\x7fELF", 0, "a program"),
    (b"MZ\x90\0", 0, "a Windows program"),
    (b"GGUF", 0, "a model: `agentkit models add` takes it"),
)
"""How files of a kind begin (or what they have at a place), and what to do with one."""


# -- PDF -----------------------------------------------------------------------------------------


SECONDS = 120.0
"""For a PDF, whose author may have meant it to take for ever."""


def _of_pdf(data: bytes, path: Path, context: ToolContext) -> str:
    name = repr(str(path))
    try:
        found = read_document(name, "pdf", data, context.cancel, seconds=SECONDS)
    except TimeoutError:
        raise ToolError(f"{name} cannot be read in {SECONDS:g} s") from None
    if not found["text"].strip():
        raise ToolError(f"{name} is a PDF without text: its pages are pictures, maybe")
    return found["text"]


# -- Word ----------------------------------------------------------------------------------------

LONGEST = 20_000_000
"""Bytes of the text of a Word document, unpacked and with its marks."""

W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"


def _of_word(data: bytes, path: Path) -> str:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = set(archive.namelist())
            if "word/document.xml" not in names:
                raise ToolError(f"{str(path)!r} is no text but {_kind_of_archive(names)}")
            with archive.open("word/document.xml") as part:
                document = part.read(LONGEST + 1)
        if len(document) > LONGEST:
            raise ToolError(f"{str(path)!r} has more than {human_bytes(LONGEST)} of text")
        root = ElementTree.fromstring(document)  # noqa: S314  # expat refuses entity bombs
    except (zipfile.BadZipFile, ElementTree.ParseError, NotImplementedError, EOFError) as error:
        raise ToolError(f"{str(path)!r} is a damaged archive or document: {error}") from None
    return "\n".join(_paragraphs(root))


def _kind_of_archive(names: set[str]) -> str:
    if "xl/workbook.xml" in names:
        return "an Excel workbook: save it as CSV, or read its XML with run_python and zipfile"
    if "ppt/presentation.xml" in names:
        return "a PowerPoint file: read its XML with run_python and zipfile"
    return f"a zip archive: {UNPACKED}"


def _paragraphs(element: ElementTree.Element) -> Iterator[str]:
    """Paragraphs, one a line, and rows of tables with tabs between their cells."""
    for child in element:
        if child.tag == W + "p":
            yield _line(child)
        elif child.tag == W + "tr":
            yield "\t".join(" ".join(_paragraphs(cell)) for cell in child.iter(W + "tc"))
        else:
            yield from _paragraphs(child)


def _line(paragraph: ElementTree.Element) -> str:
    marks = {W + "tab": "\t", W + "br": "\n", W + "cr": "\n"}
    return "".join(
        node.text or "" if node.tag == W + "t" else marks.get(node.tag, "")
        for node in paragraph.iter()
    )


# -- files that are too large to be held ----------------------------------------------------------


def _part_of_huge(path: Path, place: Path, start: int, lines: int, context: ToolContext) -> str:
    if start < 1 or lines < 1:
        size = human_bytes(place.stat().st_size)
        raise ToolRetry(
            f"{str(path)!r} has {size}: ask for a part with start and lines, or use search_files"
        )
    with _opened(place, context) as file:
        head = file.read(SNIFFED)
        if head.startswith((PDF, ZIP)) or not _encoding(head, path).startswith("utf-8"):
            raise ToolError(f"{str(path)!r} is too large to be read, unless it were UTF-8 text")
        file.seek(0)
        _skip(file, start - 1, path, context)
        rows, left = list[bytes](), WHOLE
        while len(rows) < lines and (row := file.readline(left)):
            rows.append(row)
            left -= len(row)
        more = bool(file.read(1))
    if not rows:
        raise ToolRetry(f"{str(path)!r} has {start - 1} lines: there is no line {start}")
    if left == 0:
        raise ToolRetry(f"these lines have more than {human_bytes(WHOLE)}: ask for fewer")
    text = b"".join(rows).decode("utf-8-sig", "replace").removesuffix("\n")
    return text + (_rest(start, start + len(rows) - 1, None) if more else "")


def _opened(place: Path, context: ToolContext) -> BinaryIO:
    """A plain file, and the one that was granted: a name may have come to lead elsewhere."""
    file = os.fdopen(os.open(place, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    try:
        context.files.locate(f"/proc/self/fd/{file.fileno()}")
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ToolError(f"{str(place)!r} is no plain file")
    except BaseException:
        file.close()
        raise
    return file


def _skip(file: BinaryIO, lines: int, path: Path, context: ToolContext) -> None:
    """Go to the line after so many."""
    left = lines
    while left > 0:
        context.cancel.check()
        chunk = file.read(CHUNK)
        ends = chunk.count(b"\n")
        if not chunk:
            raise ToolRetry(f"{str(path)!r} has {lines - left} lines: there is no line {lines + 1}")
        if ends >= left:
            file.seek(-len(chunk.split(b"\n", left)[-1]), os.SEEK_CUR)
        left -= ends
