"""The text of a file, whatever it is encoded in, and a way out where it is none."""

from __future__ import annotations

import gzip
import io
import os
import sqlite3
import wave
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentkit.errors import Cancelled, ToolError, ToolRetry

Call = Callable[..., Any]

W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"


@pytest.fixture
def write(context: Any) -> Callable[[str, bytes | str], Path]:
    def write(name: str, content: bytes | str) -> Path:
        path: Path = context.folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


Write = Callable[[str, bytes | str], Path]


# -- lines ---------------------------------------------------------------------------------------


def test_a_text_comes_as_it_is(call: Call, write: Write) -> None:
    write("a.txt", "one\r\n\ttwo größe\n\nend")

    assert call("read_file", path="a.txt") == "one\r\n\ttwo größe\n\nend"


def test_an_empty_file_is_an_empty_text(call: Call, write: Write) -> None:
    write("a.txt", "")

    assert call("read_file", path="a.txt") == ""


@pytest.mark.parametrize(
    ("start", "lines", "text"),
    [
        (1, 2, "1\n2\n[lines 1 to 2 of 5; the next begin at start=3]"),
        (2, 2, "2\n3\n[lines 2 to 3 of 5; the next begin at start=4]"),
        (4, 2, "4\n5"),
        (4, 99, "4\n5"),
        (3, 0, "3\n4\n5"),
        (-2, 0, "4\n5"),
        (-2, 1, "4\n[lines 4 to 4 of 5; the next begin at start=5]"),
        (-99, 0, "1\n2\n3\n4\n5\n"),
        (0, 0, "1\n2\n3\n4\n5\n"),
    ],
)
def test_a_part_says_where_it_goes_on(
    call: Call, write: Write, start: int, lines: int, text: str
) -> None:
    write("a.txt", "1\n2\n3\n4\n5\n")

    assert call("read_file", path="a.txt", start=start, lines=lines) == text


@pytest.mark.parametrize(("text", "count"), [("a\nb\n", 2), ("a\nb\nc", 3), ("", 0)])
def test_a_line_that_does_not_exist(call: Call, write: Write, text: str, count: int) -> None:
    write("a.txt", text)

    with pytest.raises(ToolRetry, match=f"has {count} lines: there is no line 9"):
        call("read_file", path="a.txt", start=9)


@given(st.lists(st.text(st.characters(blacklist_characters="\n", codec="utf-8"), min_size=1),
                min_size=1, max_size=20), st.integers(1, 7))  # fmt: skip
def test_the_parts_together_are_the_whole(
    call_anywhere: Call, anywhere: Path, rows: list[str], step: int
) -> None:
    path = anywhere / "parts.txt"
    path.write_bytes(("\ufeff" + "\n".join(rows)).encode())

    read, start = list[str](), 1
    while start <= len(rows):
        part = call_anywhere("read_file", path="parts.txt", start=start, lines=step)
        read.append(part.rpartition("\n[lines ")[0] if start + step <= len(rows) else part)
        start += step

    assert "\n".join(read) == "\n".join(rows)


# -- encodings -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "encoding",
    ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252", "latin-1"],
)
def test_a_text_in_the_encodings_that_people_have(
    call: Call, write: Write, context: Any, encoding: str
) -> None:
    text = "Die Größe ist 12 €.\n" if encoding != "latin-1" else "Die Größe ist 12 £.\n"
    write("a.txt", text.encode(encoding))

    assert call("read_file", path="a.txt") == text
    assert bool(context.warnings) == (encoding in ("cp1252", "latin-1"))


def test_a_text_with_some_wrong_bytes_is_read_with_a_warning(
    call: Call, write: Write, context: Any
) -> None:
    write("a.txt", b"\xff\xfea\0\x00\xd8b\0")

    assert call("read_file", path="a.txt") == "a\ufffdb"
    assert context.warnings == ["a.txt is no clean text: it was read as utf-16"]


def test_a_text_that_was_cut_within_a_letter_is_still_what_it_was(
    call: Call, write: Write, context: Any
) -> None:
    write("a.txt", "Größe €".encode()[:-1])

    assert call("read_file", path="a.txt") == "Größe \ufffd"
    assert context.warnings == ["a.txt is no clean text: it was read as utf-8"]


@pytest.mark.parametrize("text", ["ID3 tags\n", "BZh is magic\n", "GGUF, a format\n", "GIF8\n"])
def test_a_text_that_begins_like_something_else_is_a_text(
    call: Call, write: Write, text: str
) -> None:
    write("a.txt", text)

    assert call("read_file", path="a.txt") == text


def test_a_log_with_colours_is_a_text(call: Call, write: Write) -> None:
    write("a.log", "\x1b[31mred\x1b[0m\rdone\f\n")

    assert call("read_file", path="a.log").startswith("\x1b[31mred")


# -- what is no text -----------------------------------------------------------------------------


def a_wave() -> bytes:
    data = io.BytesIO()
    with wave.open(data, "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(b"\x10\0\x20\0" * 4000)
    return data.getvalue()


def a_zip(**parts: bytes) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return data.getvalue()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (a_wave(), "a WAV recording: transcribe writes down what is said in it"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "a PNG picture"),
        (gzip.compress(b"x" * 100, mtime=0), "gzip data: run_shell can unpack it"),
        (a_zip(**{"a.txt": b"x"}), "a zip archive: run_shell can unpack it"),
        (a_zip(**{"xl/workbook.xml": b"x"}), "an Excel workbook: save it as CSV"),
        (a_zip(**{"ppt/presentation.xml": b"x"}), "a PowerPoint file"),
        (b"\x7fELF\2\1\1\0" + bytes(100), "a program"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(100), "an old Office file"),
        (bytes(range(256)) * 4, "binary data: run_python can read its bytes"),
        (b"\x03\x07" * 100, "binary data"),
    ],
)  # fmt: skip
def test_what_is_no_text_is_named(call: Call, write: Write, content: bytes, said: str) -> None:
    write("a.bin", content)

    with pytest.raises(ToolError, match=f"'a.bin' is no text but {said}"):
        call("read_file", path="a.bin")


def test_a_database_is_named(call: Call, context: Any) -> None:
    with sqlite3.connect(context.folder / "a.db") as database:
        database.execute("CREATE TABLE t (x)")
    database.close()

    with pytest.raises(ToolError, match="an SQLite database: run_python can query it"):
        call("read_file", path="a.db")


# -- documents -----------------------------------------------------------------------------------


def a_pdf(*pages: str) -> bytes:
    """A PDF with one line of text on each page, written out by hand."""
    kids = " ".join(f"{4 + 2 * n} 0 R" for n in range(len(pages)))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for n, text in enumerate(pages):
        content = f"BT /F1 24 Tf 72 720 Td ({text}) Tj ET"
        objects += [
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {5 + 2 * n} 0 R "
            "/Resources << /Font << /F1 3 0 R >> >> >>",
            f"<< /Length {len(content)} >>\nstream\n{content}\nendstream",
        ]
    body, places = "%PDF-1.4\n", []
    for n, written in enumerate(objects, start=1):
        places.append(len(body))
        body += f"{n} 0 obj\n{written}\nendobj\n"
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    size = len(objects) + 1
    return (
        f"{body}xref\n0 {size}\n0000000000 65535 f \n{table}"
        f"trailer\n<< /Size {size} /Root 1 0 R >>\nstartxref\n{len(body)}\n%%EOF\n"
    ).encode("latin-1")


def test_a_pdf_of_one_page_is_its_text(call: Call, write: Write) -> None:
    write("a.pdf", a_pdf("Hello from a page"))

    assert call("read_file", path="a.pdf") == "Hello from a page"


def test_the_pages_of_a_pdf_are_numbered(call: Call, write: Write) -> None:
    write("a.pdf", a_pdf("The first", "The second"))

    assert call("read_file", path="a.pdf") == "[page 1]\nThe first\n\n[page 2]\nThe second"
    assert call("read_file", path="a.pdf", start=-1) == "The second"


def test_a_pdf_of_pictures_has_no_text(call: Call, write: Write) -> None:
    write("a.pdf", a_pdf("", ""))

    with pytest.raises(ToolError, match="is a PDF without text"):
        call("read_file", path="a.pdf")


@pytest.mark.parametrize("content", [b"%PDF-1.7\n" + b"\0" * 500, a_pdf("cut off")[:200]])
def test_a_damaged_pdf(call: Call, write: Write, content: bytes, capfd: Any) -> None:
    write("a.pdf", content)

    with pytest.raises(ToolError, match=r"'a\.pdf' cannot be read: the PDF is damaged"):
        call("read_file", path="a.pdf")
    assert capfd.readouterr().err == ""


def test_a_pdf_with_a_password(call: Call, write: Write) -> None:
    from pypdf import PdfReader, PdfWriter

    writer, locked = PdfWriter(PdfReader(io.BytesIO(a_pdf("Secret")))), io.BytesIO()
    writer.encrypt("sesame", algorithm="RC4-128")
    writer.write(locked)
    write("a.pdf", locked.getvalue())

    with pytest.raises(ToolError, match=r"'a\.pdf' cannot be read: the PDF is locked with"):
        call("read_file", path="a.pdf")


def test_reading_a_pdf_can_be_cancelled(call: Call, write: Write, context: Any) -> None:
    write("a.pdf", a_pdf("Hello"))
    context.cancel.cancel()

    with pytest.raises(Cancelled):
        call("read_file", path="a.pdf")


def test_a_word_document_is_its_paragraphs_and_tables(call: Call, write: Write) -> None:
    document = f"""<w:document xmlns:w="{W}"><w:body>
        <w:p><w:r><w:t>Dear </w:t></w:r><w:r><w:t>Ada,</w:t><w:br/><w:t>hello.</w:t></w:r></w:p>
        <w:p/>
        <w:tbl><w:tr><w:tc><w:p><w:r><w:t>hall</w:t></w:r></w:p></w:tc>
                     <w:tc><w:p><w:r><w:t>80 €</w:t></w:r></w:p></w:tc></w:tr></w:tbl>
        <w:sectPr/></w:body></w:document>"""
    write("a.docx", a_zip(**{"word/document.xml": document.encode()}))

    assert call("read_file", path="a.docx") == "Dear Ada,\nhello.\n\nhall\t80 €"


BOMB = b"""<!DOCTYPE x [<!ENTITY a "%s">%s]><x>&f;</x>""" % (
    b"ha" * 50,
    b"".join(
        b'<!ENTITY %c "%s">' % (new, b"&%c;" % old * 50)
        for old, new in zip(b"abcde", b"bcdef", strict=True)
    ),
)


@pytest.mark.parametrize("document", [b"<w:document", b"", BOMB])
def test_a_damaged_word_document(call: Call, write: Write, document: bytes) -> None:
    write("a.docx", a_zip(**{"word/document.xml": document}))

    with pytest.raises(ToolError, match=r"'a.docx' is a damaged archive or document"):
        call("read_file", path="a.docx")


def test_a_word_document_that_unpacks_to_very_much(call: Call, write: Write) -> None:
    write("a.docx", a_zip(**{"word/document.xml": b" " * 20_000_001}))

    with pytest.raises(ToolError, match=r"'a.docx' has more than 20 MB of text"):
        call("read_file", path="a.docx")


def test_an_archive_that_is_cut_off(call: Call, write: Write) -> None:
    write("a.docx", a_zip(**{"word/document.xml": b"<x/>"})[:60])

    with pytest.raises(ToolError, match=r"'a.docx' is a damaged archive or document"):
        call("read_file", path="a.docx")


# -- what is there, and what may be read ---------------------------------------------------------


def test_a_file_that_is_not_there(call: Call, write: Write) -> None:
    write("notes.txt", "x")

    with pytest.raises(ToolRetry, match=r"there is no file 'note.txt'\. did you mean"):
        call("read_file", path="note.txt")


def test_a_text_is_no_path(call: Call) -> None:
    with pytest.raises(ToolError, match="cannot be read: File name too long"):
        call("read_file", path="a text " * 50)


def test_a_folder_is_no_file(call: Call) -> None:
    with pytest.raises(ToolRetry, match="is a folder: list_files shows what is in it"):
        call("read_file", path=".")


def test_a_pipe_is_no_file(call: Call, context: Any) -> None:
    """And nobody waits until somebody writes to it."""
    os.mkfifo(context.folder / "pipe")

    with pytest.raises(ToolError, match="'pipe' is no plain file"):
        call("read_file", path="pipe")


@pytest.mark.parametrize("path", ["link", "folder/secret.txt", "../elsewhere/secret.txt", "{}"])
def test_what_was_not_granted_is_not_read(
    call: Call, context: Any, elsewhere: Path, path: str
) -> None:
    (context.folder / "link").symlink_to(elsewhere / "secret.txt")
    (context.folder / "folder").symlink_to(elsewhere)

    with pytest.raises(ToolError, match="may not be read") as caught:
        call("read_file", path=path.format(elsewhere / "secret.txt"))
    assert "the secret" not in str(caught.value)


def test_a_link_to_what_was_granted_is_followed(call: Call, context: Any) -> None:
    (context.granted / "a.txt").write_text("granted")
    (context.folder / "link").symlink_to(context.granted / "a.txt")

    assert call("read_file", path="link") == "granted"


def test_a_name_may_have_a_line_end_in_it(call: Call, write: Write) -> None:
    write("two\nlines.txt", "x")

    assert call("read_file", path="two\nlines.txt") == "x"


# -- files that are too large to be held ---------------------------------------------------------

ROW = b"a line of a long log, number "


@pytest.fixture(scope="module")
def huge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 MB of lines, and then a line of another 100 MB of zeros that take no room on disk."""
    path = tmp_path_factory.mktemp("huge") / "huge.log"
    with path.open("wb") as file:
        for thousand in range(1500):
            file.write(b"".join(ROW + b"%07d\n" % (thousand * 1000 + n) for n in range(1000)))
        file.truncate(file.tell() + 10**8)
    return path


@pytest.fixture
def huge_in_folder(huge: Path, context: Any) -> None:
    os.link(huge, context.folder / "huge.log")


@pytest.mark.usefixtures("huge_in_folder")
@pytest.mark.parametrize("start", [1, 2, 29_000, 1_499_998])
def test_a_huge_file_is_read_from_the_line_that_was_asked_for(call: Call, start: int) -> None:
    text = call("read_file", path="huge.log", start=start, lines=2)

    first, second, rest = text.split("\n")
    assert (first, second) == (f"{ROW.decode()}{start - 1:07}", f"{ROW.decode()}{start:07}")
    assert rest == f"[lines {start} to {start + 1}; the next begin at start={start + 2}]"


@pytest.mark.usefixtures("huge_in_folder")
@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        ({}, "has 156 MB: ask for a part with start and lines"),
        ({"start": -5}, "has 156 MB: ask for a part"),
        ({"start": 5}, "has 156 MB: ask for a part"),
        ({"start": 2_000_000, "lines": 1}, "has 1500000 lines: there is no line 2000000"),
        ({"start": 1_500_001, "lines": 1}, "these lines have more than 50 MB"),
    ],
)
def test_what_a_huge_file_cannot_give(call: Call, arguments: dict[str, int], hint: str) -> None:
    with pytest.raises(ToolRetry, match=hint):
        call("read_file", path="huge.log", **arguments)


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (b"\0", "no text but binary data"),
        (b"%PDF-1.7\n", "too large to be read"),
        ("\ufeffa".encode("utf-16-le"), "too large to be read"),
    ],
)
def test_a_huge_file_that_is_no_text(call: Call, context: Any, head: bytes, said: str) -> None:
    with (context.folder / "huge").open("wb") as file:
        file.write(head)
        file.truncate(60_000_000)

    with pytest.raises(ToolError, match=said):
        call("read_file", path="huge", lines=1)


@pytest.mark.usefixtures("huge_in_folder")
def test_reading_a_huge_file_can_be_cancelled(call: Call, context: Any) -> None:
    context.cancel.cancel()

    with pytest.raises(Cancelled):
        call("read_file", path="huge.log", start=1_000_000, lines=1)


def test_a_huge_file_that_was_not_granted(call: Call, context: Any, elsewhere: Path) -> None:
    with (elsewhere / "huge").open("wb") as file:
        file.truncate(60_000_000)
    (context.folder / "link").symlink_to(elsewhere / "huge")

    with pytest.raises(ToolError, match="may not be read"):
        call("read_file", path="link", lines=1)
