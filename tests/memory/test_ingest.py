"""Files and folders taken in: what changed comes again, what did not costs a look."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from agentkit.cancel import CancelToken
from agentkit.errors import Cancelled, UserError
from agentkit.memory import Collection, take_in
from agentkit.ports import Condition

from .conftest import Opened
from .tiny import TinyEmbedder, tiny


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two notes and things that are none."""
    notes = tmp_path / "notes"
    (notes / "deep" / ".hidden").mkdir(parents=True)
    (notes / "tea.md").write_text("# Tea\n\nGreen tea is brewed at eighty degrees.\n")
    (notes / "deep" / "cats.txt").write_text("Cats sleep most of the day.")
    (notes / "deep" / ".hidden" / "secret.txt").write_text("Not for memory.")
    (notes / ".dot.txt").write_text("Not for memory.")
    (notes / "picture.png").write_bytes(b"\x89PNG")
    (notes / "settings.json").write_text("{}")
    for file in notes.rglob("*.*"):
        if file.is_file():
            settle(file)
    return notes


def settle(file: Path) -> None:
    """As if it had been written an hour ago."""
    then = time.time_ns() - 3_600_000_000_000
    os.utime(file, ns=(then, then))


def found(collection: Collection, query: str) -> str:
    return collection.search(query, limit=1)[0].text


def names(paths: list[str]) -> set[str]:
    return {Path(path).name for path in paths}


def test_a_folder_is_taken_in_without_what_is_hidden_or_no_text(
    collection: Collection, folder: Path
) -> None:
    taken = take_in(collection, [folder], metadata={"project": "x"})
    assert names(taken.added) == {"tea.md", "cats.txt"}
    assert (taken.skipped, taken.refused, taken.passages) == (2, [], 2)
    (cats,) = collection.search("cats sleep", limit=1)
    assert cats.source == str(folder / "deep" / "cats.txt")
    assert dict(cats.metadata) == {"project": "x"}


def test_what_has_not_changed_is_not_even_read(
    collection: Collection, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_in(collection, [folder])
    monkeypatch.setattr(Path, "read_bytes", lambda self: pytest.fail(f"{self} was read"))
    taken = take_in(collection, [folder / "tea.md", folder / "deep"])
    assert names(taken.unchanged) == {"tea.md", "cats.txt"}
    assert taken.passages == 0


def test_a_file_that_was_only_touched_is_not_embedded_again(opened: Opened, folder: Path) -> None:
    embedding = tiny()
    collection = opened(embedding=embedding)
    take_in(collection, [folder])
    embedder = embedding.embedder
    assert isinstance(embedder, TinyEmbedder)
    before = embedder.asked
    os.utime(folder / "tea.md")
    assert len(take_in(collection, [folder]).unchanged) == 2
    assert embedder.asked == before


def test_a_changed_file_replaces_its_passages(collection: Collection, folder: Path) -> None:
    take_in(collection, [folder])
    (folder / "tea.md").write_text("Black tea is brewed at ninety-five degrees.")
    taken = take_in(collection, [folder])
    assert names(taken.changed) == {"tea.md"}
    assert collection.count() == 2
    assert found(collection, "tea").startswith("Black")
    assert found(collection, "Green").startswith(("Black", "Cats"))


def test_a_file_written_twice_in_one_moment_is_seen(collection: Collection, tmp_path: Path) -> None:
    """Of the same size, within the grain of the file system's clock."""
    file = tmp_path / "a.txt"
    file.write_text("one day")
    take_in(collection, [file])
    stamp = file.stat().st_mtime_ns
    file.write_text("two day")
    os.utime(file, ns=(stamp, stamp))
    assert take_in(collection, [file]).changed == [str(file)]


def test_files_that_are_gone_are_forgotten_on_request(collection: Collection, folder: Path) -> None:
    take_in(collection, [folder])
    (folder / "tea.md").unlink()
    assert take_in(collection, [folder]).gone == []
    assert collection.count() == 2
    taken = take_in(collection, [folder], forget_gone=True)
    assert names(taken.gone) == {"tea.md"}
    assert [one.text for one in collection.entries()] == ["Cats sleep most of the day."]


def test_files_elsewhere_are_not_forgotten(
    collection: Collection, folder: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.txt"
    other.write_text("Elsewhere.")
    take_in(collection, [folder, other])
    other.unlink()
    take_in(collection, [folder], forget_gone=True)
    assert collection.count() == 3


def test_what_was_forgotten_on_purpose_stays_forgotten(
    collection: Collection, tmp_path: Path
) -> None:
    file = tmp_path / "long.txt"
    file.write_text("\n\n".join(f"Paragraph {n}. " + f"word{n} " * 80 for n in range(6)))
    take_in(collection, [file])
    (first, *_) = collection.search("word3", limit=1)
    collection.forget([Condition("id", "=", first.id)])
    settle(file)
    assert take_in(collection, [file]).changed == []
    assert all(one.id != first.id for one in collection.entries())


def test_a_document_that_was_forgotten_comes_back_when_asked(
    collection: Collection, folder: Path
) -> None:
    take_in(collection, [folder])
    collection.forget([Condition("source", "~", "*tea.md")])
    assert names(take_in(collection, [folder]).added) == {"tea.md"}


def test_two_files_with_the_same_text_are_both_kept_and_shown_once(
    collection: Collection, tmp_path: Path
) -> None:
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text("The same words in both.")
    take_in(collection, [tmp_path / "a.txt", tmp_path / "b.txt"])
    assert collection.count() == 2
    assert len(collection.search("same words")) == 1
    collection.forget([Condition("source", "~", "*a.txt")])
    assert collection.search("same words")[0].source.endswith("b.txt")


def test_a_file_that_cannot_be_read_stops_nothing_else(
    collection: Collection, folder: Path
) -> None:
    (folder / "broken.pdf").write_bytes(b"%PDF-1.4 and then nothing")
    (folder / "bytes.txt").write_bytes(bytes(range(256)) * 40)
    taken = take_in(collection, [folder])
    assert names(taken.added) == {"tea.md", "cats.txt"}
    assert len(taken.refused) == 2
    assert all(str(folder) in why for why in taken.refused)


def test_a_path_that_is_not_there_is_told_before_anything_is_done(
    collection: Collection, folder: Path
) -> None:
    with pytest.raises(UserError, match=r"nowhere\.txt: there is no such file"):
        take_in(collection, [folder, folder / "nowhere.txt"])
    assert not collection.exists


def test_a_file_that_is_named_is_read_whatever_its_ending(
    collection: Collection, tmp_path: Path
) -> None:
    script = tmp_path / "run.sh"
    script.write_text("echo hello")
    assert take_in(collection, [script]).added == [str(script)]
    other = tmp_path / "data.json"
    other.write_text('{"a": 1}')
    assert "only transcripts" in take_in(collection, [other]).refused[0]


def test_an_empty_file_has_no_passages(collection: Collection, tmp_path: Path) -> None:
    file = tmp_path / "empty.txt"
    file.write_text("")
    settle(file)
    assert take_in(collection, [file]).passages == 0
    assert take_in(collection, [file]).unchanged == [str(file)]


def test_a_megabyte_of_text_is_found_in_pieces(collection: Collection, tmp_path: Path) -> None:
    file = tmp_path / "big.txt"
    sentence = "This is line {} of a long report about nothing in particular.\n"
    file.write_text("".join(sentence.format(n) for n in range(16_000)))
    assert file.stat().st_size > 1_000_000
    seen: list[float] = []
    taken = take_in(collection, [file], progress=lambda done, total, unit: seen.append(done))
    assert taken.passages > 1000
    first = [one.text for one in collection.search("7777", limit=2)]
    assert any("line 7777 " in text for text in first)
    assert seen == sorted(seen)
    assert seen[-1] == file.stat().st_size


def test_progress_never_goes_back_over_many_files(collection: Collection, folder: Path) -> None:
    seen: list[tuple[float, float | None]] = []
    take_in(collection, [folder], progress=lambda done, total, unit: seen.append((done, total)))
    assert seen == sorted(seen)
    assert seen[-1][0] == seen[-1][1]


def test_a_cancel_leaves_whole_files(collection: Collection, tmp_path: Path) -> None:
    for name in "abcd":
        (tmp_path / f"{name}.txt").write_text(f"text of {name}")
    token = CancelToken()

    def stop(done: float, total: float | None, unit: str) -> None:
        if total and done >= total / 2:
            token.cancel("enough")

    with pytest.raises(Cancelled, match="enough"):
        take_in(collection, [tmp_path], progress=stop, cancel=token)
    assert {one.text for one in collection.entries()} == {"text of a", "text of b"}


def test_another_embedder_is_told_once_and_not_for_each_file(
    collection: Collection, folder: Path, opened: Opened
) -> None:
    collection.save("x", source="")
    with pytest.raises(UserError, match="cannot be compared"):
        take_in(opened(embedding=tiny("other")), [folder])


def test_a_folder_of_links_that_lead_nowhere_breaks_nothing(
    collection: Collection, tmp_path: Path
) -> None:
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "gone.txt").symlink_to(tmp_path / "nothing")
    (tmp_path / "a.txt").write_text("here")
    assert names(take_in(collection, [tmp_path]).added) == {"a.txt"}
