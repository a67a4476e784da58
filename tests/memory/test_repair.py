"""Damaged files: named with the way back, and saved as far as they can be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentkit.errors import MachineError
from agentkit.memory import Collection, repair, take_in
from agentkit.memory.database import CollectionDamaged

from .conftest import Opened, keep

COUNT = 300
"""Notes: as many pages of the file as the tables and indexes take when they are empty."""


@pytest.fixture
def kept(opened: Opened, tmp_path: Path) -> Collection:
    """Many notes and a document, closed."""
    collection = opened(few=50)
    keep(
        collection,
        [f"entry w{number} of many, with a few more words in it" for number in range(COUNT)],
        source=lambda number: "s",
        metadata=lambda number: {"n": number},
    )
    (tmp_path / "doc.txt").write_text("The document says something.")
    take_in(collection, [tmp_path / "doc.txt"])
    collection.close()  # the last connection takes all into one file
    return collection


def cut(collection: Collection, share: float) -> None:
    path = collection.database.path
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])


def overwrite(collection: Collection, start: float, end: float) -> None:
    path = collection.database.path
    data = bytearray(path.read_bytes())
    first, last = int(len(data) * start), int(len(data) * end)
    data[first:last] = b"\xa5" * (last - first)
    path.write_bytes(bytes(data))


def test_a_file_that_is_cut_is_told_with_the_command(kept: Collection, opened: Opened) -> None:
    cut(kept, 0.5)
    damaged = opened(few=50)
    with pytest.raises(CollectionDamaged, match=r"memory\.sqlite is damaged") as caught:
        damaged.search("entry w7 of many")
    assert caught.value.hint == (
        "save what can still be read: agentkit memory repair --collection notes"
    )


def test_a_file_that_is_none_is_told(kept: Collection, opened: Opened) -> None:
    kept.database.path.write_text("no database " * 1000)
    with pytest.raises(CollectionDamaged):
        opened().count()
    with pytest.raises(MachineError, match="nothing can be read") as caught:
        repair(opened())
    assert "mv " in str(caught.value.hint)
    assert kept.database.path.read_text().startswith("no database")


@pytest.mark.parametrize("share", [0.9, 0.7, 0.5])
def test_what_can_be_read_of_a_cut_file_is_saved(
    kept: Collection, opened: Opened, share: float
) -> None:
    cut(kept, share)
    damaged = opened(few=50)
    result = repair(damaged)
    assert 0 < result.entries <= COUNT + 1
    assert result.damaged is not None
    assert result.damaged.is_file()
    whole = opened(few=50)
    assert whole.count() == result.entries
    for entry in whole.entries():
        found = whole.search(entry.text, limit=1)
        assert found[0].text == entry.text
        assert found[0].score == pytest.approx(1, abs=1e-3)
    whole.save("something new", source="")
    assert repair(whole).damaged is None


@pytest.mark.parametrize("start", [0.2, 0.5, 0.8])
def test_what_can_be_read_around_a_hole_is_saved(
    kept: Collection, opened: Opened, start: float
) -> None:
    overwrite(kept, start, start + 0.05)
    result = repair(opened(few=50))
    whole = opened(few=50)
    assert whole.count() == result.entries > 100
    assert all(
        whole.search(entry.text, limit=1)[0].text == entry.text for entry in whole.entries(limit=50)
    )


def test_who_had_the_file_open_goes_on_with_the_repaired_one(
    kept: Collection, opened: Opened
) -> None:
    service = opened(few=50)
    assert service.count() == COUNT + 1
    overwrite(kept, 0.5, 0.55)
    result = repair(opened(few=50))
    assert result.damaged is not None
    assert service.count() == result.entries
    service.save("a note after the repair", source="")
    assert opened(few=50).count() == result.entries + 1


def test_a_document_that_was_damaged_is_read_again(
    kept: Collection, opened: Opened, tmp_path: Path
) -> None:
    overwrite(kept, 0.5, 0.52)
    if repair(opened(few=50)).damaged is None:
        pytest.fail("the hole did not damage anything that SQLite checks")
    taken = take_in(opened(few=50), [tmp_path / "doc.txt"])
    assert len(taken.changed) + len(taken.added) == 1


def test_words_are_made_anew(kept: Collection, opened: Opened) -> None:
    collection = opened(few=50)
    with collection.database.write() as connection:
        connection.execute("INSERT INTO words (words) VALUES ('delete-all')")
    repair(collection)
    with collection.database.read() as connection:
        found = "SELECT count(*) FROM words WHERE words MATCH 'entry'"
        assert connection.execute(found).fetchone()[0] == COUNT


def test_nothing_is_whole(opened: Opened) -> None:
    assert repair(opened("empty")).entries == 0


def test_a_file_of_a_later_version_is_left_alone(kept: Collection, opened: Opened) -> None:
    collection = opened()
    with collection.database.write() as connection:
        connection.execute("PRAGMA user_version=99")
    with pytest.raises(MachineError, match="later agentkit"):
        opened().count()


def test_a_folder_that_cannot_be_made_is_told(opened: Opened, tmp_path: Path) -> None:
    (tmp_path / "memory").write_text("a file where a folder should be")
    with pytest.raises(MachineError, match="the memory"):
        opened().save("x", source="")
