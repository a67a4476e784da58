"""Export and import: nothing is lost on the way, and nothing comes twice."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from agentkit.errors import UserError
from agentkit.memory import Collection, export, import_, take_in
from agentkit.memory.ledger import Entry

from .conftest import Opened
from .tiny import TinyEmbedder, tiny


@pytest.fixture
def full(collection: Collection, tmp_path: Path) -> Collection:
    """Notes of all kinds, and a document."""
    collection.save("Tea is hot.", source="me", metadata={"n": 1, "x": 2.5, "ok": True, "w": "Zoë"})
    collection.save("東京 👩‍👩‍👧\u2028next", source="")
    collection.save("x", source='quote " and \\ slash')
    (tmp_path / "doc.txt").write_text(
        "\n\n".join(f"Part {n}. " + f"word{n} " * 90 for n in range(5))
    )
    take_in(collection, [tmp_path / "doc.txt"])
    return collection


def exported(collection: Collection, tmp_path: Path, **more: Any) -> Path:
    file = tmp_path / "out.jsonl"
    with file.open("w", encoding="utf-8") as out:
        export(collection, out, **more)
    return file


def all_of(collection: Collection) -> list[Entry]:
    return sorted(collection.entries(), key=lambda entry: entry.id)


@pytest.mark.parametrize("with_vectors", [True, False])
def test_what_goes_out_comes_in_again(
    full: Collection, opened: Opened, tmp_path: Path, with_vectors: bool
) -> None:
    file = exported(full, tmp_path, with_vectors=with_vectors)
    other = opened("other")
    result = import_(other, file)
    assert (result.added, result.known) == (full.count(), 0)
    assert all_of(other) == all_of(full)
    for query in ("tea", "word3", "東京"):
        here, there = full.search(query), other.search(query)
        assert [one.text for one in here] == [one.text for one in there]
        assert [one.score for one in here] == pytest.approx([one.score for one in there])
    again = exported(other, tmp_path, with_vectors=with_vectors).read_text(encoding="utf-8")
    assert again.splitlines()[1:] == file.read_text(encoding="utf-8").splitlines()[1:]


def test_vectors_of_the_same_embedder_are_not_computed_again(
    full: Collection, opened: Opened, tmp_path: Path
) -> None:
    file = exported(full, tmp_path, with_vectors=True)
    embedding = tiny()
    import_(opened("other", embedding=embedding), file)
    assert isinstance(embedding.embedder, TinyEmbedder)
    assert embedding.embedder.asked == 0


def test_vectors_of_another_embedder_are_computed_anew(
    full: Collection, opened: Opened, tmp_path: Path
) -> None:
    file = exported(full, tmp_path, with_vectors=True)
    other = opened("other", embedding=tiny("german", dimensions=8))
    import_(other, file)
    assert other.status().dimensions == 8
    assert other.search("tea hot")[0].text == "Tea is hot."


def test_a_second_import_adds_nothing(full: Collection, opened: Opened, tmp_path: Path) -> None:
    file = exported(full, tmp_path)
    other = opened("other")
    other.save("TEA is hot.", source="mine")
    result = import_(other, file)
    assert (result.added, result.known) == (full.count() - 1, 1)
    assert import_(other, file).added == 0
    assert import_(full, file).added == 0


def test_an_imported_document_is_known_by_its_content(
    full: Collection, opened: Opened, tmp_path: Path
) -> None:
    other = opened("other")
    import_(other, exported(full, tmp_path))
    assert take_in(other, [tmp_path / "doc.txt"]).unchanged
    assert other.count() == full.count()


def test_a_document_that_is_here_in_another_version_is_left_alone(
    full: Collection, opened: Opened, tmp_path: Path
) -> None:
    file = exported(full, tmp_path)
    (tmp_path / "doc.txt").write_text("A new version.")
    other = opened("other")
    take_in(other, [tmp_path / "doc.txt"])
    import_(other, file)
    sources = [one.text for one in other.entries() if one.source.endswith("doc.txt")]
    assert sources == ["A new version."]


def test_nothing_can_be_exported_and_imported(opened: Opened, tmp_path: Path) -> None:
    file = exported(opened("empty"), tmp_path)
    assert import_(opened("other"), file).added == 0


def test_the_first_line_says_what_it_is(full: Collection) -> None:
    out = io.StringIO()
    export(full, out)
    head = json.loads(out.getvalue().splitlines()[0])
    assert head["agentkit_memory"] == 1
    assert (head["model"], head["dimensions"]) == ("tiny", 32)
    assert head["entries"] == full.count() == out.getvalue().count("\n") - 1


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("no json", "line 3"),
        ('{"id": "a"}', "line 3.*text"),
        ('{"id": "a", "text": "b", "time": "now"}', "line 3.*time"),
        ('{"id": "a", "text": "b", "time": "2026-01-01", "more": 1}', "line 3"),
        ('{"id": "a", "text": "b", "time": "2026-01-01", "metadata": {"id": 1}}', "line 3.*'id'"),
        (
            '{"id": "a", "text": "b", "time": "2026-01-01", "vectors": ["AAAA"]}',
            "line 3.*dimensions",
        ),
        ('{"id": "a", "text": "b", "time": "2026-01-01", "vectors": ["?"]}', "line 3"),
    ],
)
def test_a_bad_line_is_told_before_anything_is_added(
    opened: Opened, tmp_path: Path, line: str, said: str
) -> None:
    good = '{"id": "good", "text": "good", "time": "2026-01-01T00:00:00Z"}'
    file = tmp_path / "in.jsonl"
    file.write_text(f'{{"agentkit_memory": 1, "dimensions": 32}}\n{good}\n{line}\n')
    other = opened("other")
    with pytest.raises(UserError, match=said):
        import_(other, file)
    assert other.count() == 0


@pytest.mark.parametrize("text", ["", "hello", "[]", "{}", '{"agentkit_memory": 2}', "\xff"])
def test_what_is_no_export_is_told(opened: Opened, tmp_path: Path, text: str) -> None:
    file = tmp_path / "in.jsonl"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match=r"in\.jsonl"):
        import_(opened("other"), file)


def test_a_file_that_is_not_there_is_told(opened: Opened, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No such file") as caught:
        import_(opened("other"), tmp_path / "none.jsonl")
    assert caught.value.hint == "agentkit memory export FILE makes one"
    with pytest.raises(UserError, match="Is a directory") as caught:
        import_(opened("other"), tmp_path)
    assert caught.value.hint is None
