"""What is read out of each kind of file."""

from __future__ import annotations

import json
from pathlib import Path

import docx
import pytest
from pypdf import PdfWriter
from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject

from agentkit.errors import UserError
from agentkit.memory.documents import passages
from agentkit.memory.passages import LENGTH, SLAB, cut


def read(name: str, data: bytes | str) -> list[tuple[str, dict[str, object]]]:
    raw = data.encode() if isinstance(data, str) else data
    return [(one.text, dict(one.metadata)) for one in passages(Path(name), raw)]


def text(name: str, data: bytes | str) -> str:
    return "\n".join(piece for piece, _ in read(name, data))


@pytest.mark.parametrize(
    "data",
    [
        "Zürich, 東京".encode(),
        "Zürich, 東京".encode("utf-8-sig"),
        "Zürich, 東京".encode("utf-16"),
    ],
)
def test_text_is_read_in_its_encoding(data: bytes) -> None:
    assert read("a.txt", data) == [("Zürich, 東京", {})]


def test_old_encodings_are_guessed() -> None:
    said = "Die Brücke über den Fluß ist für Fußgänger gesperrt, große Umwege sind nötig. " * 5
    assert "Brücke über den Fluß" in text("a.txt", said.encode("cp1252"))


@pytest.mark.parametrize("data", [b"\x00\x01\x02" * 50, b"text\x00text"])
def test_bytes_that_are_no_text_are_refused(data: bytes) -> None:
    with pytest.raises(UserError, match=r"a\.txt: it is no text"):
        read("a.txt", data)


def test_passages_are_of_a_size_and_lose_no_words() -> None:
    long = "\n\n".join(f"Paragraph {n} has a few words. " * 9 for n in range(40))
    pieces = [piece for piece, _ in read("a.txt", long)]
    assert len(pieces) > 10
    assert all(len(piece) <= LENGTH[1] for piece in pieces)
    assert " ".join(pieces).split() == long.split()


def test_the_offsets_of_passages_are_right_over_many_slabs() -> None:
    long = "".join(f"Sentence number {n}.\n" for n in range(12_000))
    assert len(long) > 3 * SLAB
    pieces = list(cut(long))
    assert all(long[start : start + len(piece)] == piece for start, piece in pieces)
    assert " ".join(piece for _, piece in pieces).split() == long.split()


def test_a_word_without_end_is_cut() -> None:
    pieces = [piece for _, piece in cut("x" * 2000)]
    assert "".join(pieces) == "x" * 2000
    assert max(map(len, pieces)) <= LENGTH[1]


def test_markdown_is_cut_at_headings() -> None:
    parts = [f"# Part {n}\n\n" + "Some words about it. " * 20 for n in range(3)]
    pieces = [piece for piece, _ in read("a.md", "\n\n".join(parts))]
    assert [piece.splitlines()[0] for piece in pieces] == ["# Part 0", "# Part 1", "# Part 2"]


def test_html_is_read_without_its_frame() -> None:
    page = (
        "<html><head><title>T</title><script>alert('no')</script></head><body>"
        "<nav>Home | About | Contact</nav><article><h1>Tea</h1><p>"
        + "Green tea is brewed at eighty degrees for two minutes. " * 5
        + "</p></article><footer>Imprint</footer></body></html>"
    )
    said = text("a.html", page)
    assert "eighty degrees" in said
    assert "alert" not in said


def test_html_with_hardly_any_text_is_read_too() -> None:
    assert "short" in text("a.htm", "<p>short</p>")
    assert text("a.html", "<html></html>") == ""


def pdf(*pages: str, password: str = "") -> bytes:
    """A PDF in which each page says something."""
    import io

    writer = PdfWriter()
    for words in pages:
        page = writer.add_blank_page(300, 300)
        font = DictionaryObject(
            {
                NameObject("/Type"): NameObject("/Font"),
                NameObject("/Subtype"): NameObject("/Type1"),
                NameObject("/BaseFont"): NameObject("/Helvetica"),
            }
        )
        page[NameObject("/Resources")] = DictionaryObject(
            {NameObject("/Font"): DictionaryObject({NameObject("/F1"): font})}
        )
        stream = DecodedStreamObject()
        stream.set_data(f"BT /F1 12 Tf 20 200 Td ({words}) Tj ET".encode())
        page[NameObject("/Contents")] = writer._add_object(stream)
    if password:
        writer.encrypt(password, algorithm="RC4-128")
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def test_pdf_passages_say_their_page() -> None:
    found = read("a.pdf", pdf("Tea is hot.", "Ice is cold."))
    assert found == [("Tea is hot.", {"page": 1}), ("Ice is cold.", {"page": 2})]


def test_a_locked_pdf_is_told() -> None:
    with pytest.raises(UserError, match="password"):
        read("a.pdf", pdf("secret", password="x"))


@pytest.mark.parametrize("data", [b"", b"%PDF-1.7", b"no pdf at all", pdf("cut")[:200]])
def test_a_broken_pdf_is_told(data: bytes) -> None:
    with pytest.raises(UserError, match=r"a\.pdf: it is no whole PDF"):
        read("a.pdf", data)


def test_word_documents_give_headings_text_and_tables(tmp_path: Path) -> None:
    document = docx.Document()
    document.add_heading("Plan", level=1)
    document.add_paragraph("We meet on Tuesday.")
    table = document.add_table(rows=1, cols=2)
    table.rows[0].cells[0].text, table.rows[0].cells[1].text = "Tea", "3 cups"
    document.save(str(tmp_path / "a.docx"))
    said = text("a.docx", (tmp_path / "a.docx").read_bytes())
    assert said.split("\n\n") == ["# Plan", "We meet on Tuesday.", "Tea | 3 cups"]


@pytest.mark.parametrize("data", [b"", b"no zip", b"PK\x03\x04 cut"])
def test_a_broken_word_document_is_told(data: bytes) -> None:
    with pytest.raises(UserError, match=r"a\.docx: it is no whole Word document"):
        read("a.docx", data)


def test_transcripts_say_when_something_was_said() -> None:
    segments = [
        {"start": 10.0 * n, "end": 10.0 * n + 9, "text": f"Sentence {n} is said with some words."}
        for n in range(60)
    ]
    found = read("talk.json", json.dumps({"segments": segments, "text": "…"}))
    assert len(found) > 2
    assert found[0][1] == {"second": 0.0}
    for said, metadata in found:
        number = int(said.split()[1])
        assert metadata == {"second": 10.0 * number}


@pytest.mark.parametrize("data", ["{}", "[1]", "no json", '{"segments": [{}]}'])
def test_other_json_is_no_transcript(data: str) -> None:
    with pytest.raises(UserError, match="only transcripts"):
        read("a.json", data)


@pytest.mark.parametrize("name", ["a.txt", "a.md", "a.html"])
@pytest.mark.parametrize("data", ["", " \n\t "])
def test_nothing_has_no_passages(name: str, data: str) -> None:
    assert read(name, data) == []
