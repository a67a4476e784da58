"""The index beside the file: used when there is much, made anew when it is not as it should be."""

from __future__ import annotations

import fcntl
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import httpx
import pytest

from agentkit.cancel import CancelToken
from agentkit.errors import Cancelled
from agentkit.memory import Collection, Server, indexing, nearest, reembed, repair, spaces
from agentkit.memory import chroma as library
from agentkit.memory.chroma import FolderIndex
from agentkit.ports import Condition

from .conftest import Opened, keep
from .tiny import tiny

FEW = 20

COUNT = 60
"""Entries of an index that is damaged."""

COLLECTIONS = "api/v2/tenants/default_tenant/databases/default_database/collections"


def save(collection: Collection, count: int, first: int = 0) -> None:
    """Notes one by one: the index is written as they come."""
    for number in range(first, first + count):
        collection.save(f"entry w{number} of many", source=f"s{number % 3}")


def fill(collection: Collection, count: int, first: int = 0) -> None:
    """The same notes at once, where a test is about what there is and not about how it came."""
    keep(
        collection,
        [f"entry w{number} of many" for number in range(first, first + count)],
        source=lambda at: f"s{(first + at) % 3}",
        metadata=lambda at: {"even": (first + at) % 2 == 0},
    )


def complete(collection: Collection, count: int) -> bool:
    """Whether each entry is the nearest to its own words, and that through the index."""
    return all(
        collection.search(f"entry w{number} of many", limit=1)[0].text == f"entry w{number} of many"
        for number in range(count)
    )


def index_folders(collection: Collection) -> list[Path]:
    return sorted(collection.folder.glob("index-*-*"))


def test_few_entries_have_no_index(opened: Opened) -> None:
    collection = opened(few=FEW)
    save(collection, FEW - 1)
    assert index_folders(collection) == []
    assert complete(collection, FEW - 1)


def test_many_entries_have_one(opened: Opened) -> None:
    collection = opened(few=FEW)
    save(collection, 70)
    status = collection.status()
    assert 70 - FEW < status.indexed <= status.vectors == 70
    assert len(index_folders(collection)) == 1
    assert complete(collection, 70)


def test_what_is_newer_than_the_index_is_found(opened: Opened) -> None:
    collection, other = opened(few=FEW), opened(few=FEW)
    save(collection, 50)
    assert complete(other, 50)
    save(collection, 10, first=50)
    assert complete(other, 60)


def test_a_reader_that_is_far_behind_opens_the_index_anew(opened: Opened) -> None:
    writer, reader = opened(few=FEW), opened(few=FEW)
    save(writer, 30)
    assert complete(reader, 30)
    fill(writer, 60, first=30)
    assert complete(reader, 90)


def test_two_writers_lose_nothing(opened: Opened) -> None:
    one, other = opened(few=FEW), opened(few=FEW)
    for first in range(0, 80, 20):
        save(one, 10, first)
        save(other, 10, first + 10)
    assert complete(one, 80)
    assert complete(other, 80)
    assert complete(opened(few=FEW), 80)


def test_what_is_forgotten_takes_nobodys_place(opened: Opened) -> None:
    collection = opened(few=200)
    fill(collection, 210)
    assert collection.status().indexed >= 200
    collection.forget([Condition("even", "=", True)])
    found = collection.search("entry of many", limit=50)
    assert len(found) == 50
    assert not any(one.metadata["even"] for one in found)


def test_the_index_drops_what_is_forgotten(opened: Opened) -> None:
    collection = opened(few=FEW)
    fill(collection, 60)
    collection.forget([Condition("even", "=", True)])
    fill(collection, 30, first=60)
    with collection.database.read() as connection:
        assert connection.execute("SELECT count(*) FROM buried").fetchone()[0] < FEW
    collection.close()
    (folder,) = index_folders(collection)
    there = FolderIndex(folder)
    assert there.count() <= collection.status().vectors
    there.close()


@pytest.fixture(scope="module")
def with_and_without(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Collection, Collection]]:
    """Three hundred entries with an index, and the same without; tests only read them."""
    folder, embedding = tmp_path_factory.mktemp("filters"), tiny()
    made = [Collection(folder / str(few), "notes", lambda: embedding, few=few)
            for few in (FEW, 10**6)]  # fmt: skip
    for collection in made:
        fill(collection, 300)
    yield made[0], made[1]
    for collection in made:
        collection.close()


WAYS = {"compared": (1000, 5), "among": (5, 5), "of all": (5, 1000)}
"""How many that fit are compared one by one, and how many of the nearest are looked at."""


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each way to the nearest that fit, whatever the filter is."""
    compared, deep = WAYS[request.param]
    monkeypatch.setattr(nearest, "COMPARED", compared)
    monkeypatch.setattr(nearest, "DEEP", deep)
    return str(request.param)


@pytest.mark.parametrize(
    ("where", "count"),
    [
        ([Condition("source", "=", "s1")], 100),
        ([Condition("even", "=", True)], 150),
        ([Condition("source", "!=", "s1")], 200),
        ([Condition("source", "=", "nowhere")], 0),
        ([Condition("even", "~", "*")], 0),
        ([Condition("even", "=", True), Condition("source", "=", "s1")], 50),
        ([Condition("even", "!=", True), Condition("source", "!=", "s1")], 100),
        ([Condition("even", "=", True), Condition("even", "=", False)], 0),
    ],
)
@pytest.mark.usefixtures("way")
def test_filters_find_the_same_with_and_without_an_index(
    with_and_without: tuple[Collection, Collection], where: list[Condition], count: int
) -> None:
    indexed, plain = with_and_without
    for query in ("entry w7 of many", "w250"):
        here = indexed.search(query, limit=20, where=where)
        there = plain.search(query, limit=20, where=where)
        assert len(here) == min(20, count)
        assert [one.text for one in here] == [one.text for one in there]


def test_which_entries_a_wide_filter_fits_is_not_listed(
    with_and_without: tuple[Collection, Collection], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nearest, "COMPARED", 20)
    monkeypatch.setattr(spaces, "allowed", never)
    wide = [Condition("even", "=", True), Condition("source", "!=", "s1")]
    assert len(with_and_without[0].search("entry w7 of many", where=wide)) == 5


def test_the_index_is_not_asked_for_what_a_narrow_filter_fits(
    with_and_without: tuple[Collection, Collection], monkeypatch: pytest.MonkeyPatch
) -> None:
    indexed, _ = with_and_without
    monkeypatch.setattr(indexed.indexing, "nearest", never)
    narrow = [Condition("even", "=", True), Condition("source", "=", "s1")]
    assert len(indexed.search("entry w7 of many", where=narrow)) == 5


def never(*_: object) -> None:
    raise AssertionError("this way was not to be gone")


@pytest.mark.usefixtures("way")
def test_a_filter_that_fits_only_what_is_far_still_finds_it(opened: Opened) -> None:
    collection = opened(few=FEW)
    keep(collection, [f"near near near n{n}" for n in range(60)], source=lambda at: "near")
    keep(collection, [f"quite other things f{n}" for n in range(40)], source=lambda at: "far")
    found = collection.search("near near near", limit=5, where=[Condition("source", "=", "far")])
    assert len(found) == 5


# -- a process at a standstill ---------------------------------------------------------------------

LIMIT = 120
"""Seconds for what another thread does; it needs a few at most, unless it hangs."""


@contextmanager
def standstill(collection: Collection) -> Iterator[None]:
    """Another process has begun to write the index, and goes on only afterwards."""
    with (collection.folder / "index.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


class Aside:
    """Work on a thread, what it raised, and whether it looked again for the index."""

    def __init__(
        self, collection: Collection, work: Callable[[], object], patch: pytest.MonkeyPatch
    ) -> None:
        self.fault: Exception | None = None
        self._work = work
        self._looks = threading.Semaphore(0)
        self._locked = collection.indexing._locked
        patch.setattr(collection.indexing, "_locked", self._looked)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def waits(self) -> bool:
        """Whether it has begun to wait."""
        return self._looks.acquire(timeout=LIMIT)

    def ends(self) -> bool:
        """Whether it comes to its end."""
        self._thread.join(LIMIT)
        return not self._thread.is_alive()

    def _looked(self, timeout: float) -> AbstractContextManager[None]:
        self._looks.release()
        return self._locked(timeout)

    def _run(self) -> None:
        try:
            self._work()
        except Exception as fault:
            self.fault = fault


def behind(collection: Collection) -> Callable[[CancelToken | None], None]:
    """What brings the index of a collection up to its file, in which a little is newer."""
    fill(collection, 50)
    save(collection, 5, first=50)
    assert complete(collection, 55)
    with collection.database.read() as connection:
        space = spaces.current(connection)
    assert space is not None
    return lambda cancel: collection.indexing.advance(space, cancel=cancel)


def test_a_search_goes_on_while_the_index_is_written_elsewhere(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection = opened(few=FEW)
    advance = behind(collection)
    with standstill(collection):
        writer = Aside(collection, lambda: advance(None), monkeypatch)
        assert writer.waits()
        assert Aside(collection, lambda: complete(collection, 55), monkeypatch).ends()
    assert writer.ends()
    assert collection.status().indexed == 55


def test_who_waits_for_the_index_can_be_cancelled(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection, cancel = opened(few=FEW), CancelToken()
    advance = behind(collection)
    with standstill(collection):
        writer = Aside(collection, lambda: advance(cancel), monkeypatch)
        assert writer.waits()
        cancel.cancel()
        assert writer.ends()
    assert isinstance(writer.fault, Cancelled)


def test_a_collection_can_be_closed_while_somebody_waits_for_the_index(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection = opened(few=FEW)
    advance = behind(collection)
    with standstill(collection):
        writer = Aside(collection, lambda: advance(None), monkeypatch)
        assert writer.waits()
        assert Aside(collection, collection.indexing.close, monkeypatch).ends()
        assert writer.ends()
        assert writer.fault is None
        with collection.database.read() as connection:
            space = spaces.current(connection)
        assert space is not None
        again = Aside(collection, lambda: collection.indexing.renew(space.id), monkeypatch)
        assert again.waits()
        assert Aside(collection, collection.indexing.close, monkeypatch).ends()
        assert again.ends()
        assert isinstance(again.fault, Cancelled)
    assert complete(collection, 55)


def test_notes_are_kept_and_forgotten_while_the_index_is_written_elsewhere(
    opened: Opened, monkeypatch: pytest.MonkeyPatch, notices: list[str]
) -> None:
    monkeypatch.setattr(indexing, "PATIENCE", 0.0)
    collection = opened(few=FEW)
    fill(collection, 50)
    with standstill(collection):
        assert Aside(collection, lambda: save(collection, FEW, 50), monkeypatch).ends()
        assert collection.count() == 50 + FEW
        assert complete(collection, 50 + FEW)
        assert Aside(collection, collection.forget_all, monkeypatch).ends()
        assert collection.count() == 0
    assert len(notices) == 1
    assert "is held by another process" in notices[0]


# -- damage --------------------------------------------------------------------------------------


def _graph(collection: Collection) -> Path:
    (folder,) = index_folders(collection)
    return next(path for path in folder.iterdir() if path.is_dir())


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


DAMAGES: dict[str, Callable[[Collection], None]] = {
    "the folder is gone": lambda one: shutil.rmtree(index_folders(one)[0]),
    "the graph is gone": lambda one: shutil.rmtree(_graph(one)),
    "the graph is cut": lambda one: _cut(_graph(one) / "data_level0.bin"),
    "the ids are cut": lambda one: _cut(_graph(one) / "index_metadata.pickle"),
    "sqlite is cut": lambda one: _cut(index_folders(one)[0] / "chroma.sqlite3"),
    "sqlite is none": lambda one: (
        (index_folders(one)[0] / "chroma.sqlite3").write_text("no database at all " * 300),
        None,
    )[1],
    "sqlite is gone": lambda one: (index_folders(one)[0] / "chroma.sqlite3").unlink(),
}


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a collection with an index that is whole, and its graph on disk."""
    folder, embedding = tmp_path_factory.mktemp("indexed"), tiny()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(library, "SYNC", 40)
        collection = Collection(folder, "notes", lambda: embedding, few=FEW)
        fill(collection, COUNT)
        collection.close()
    return folder


@pytest.fixture
def damaged(request: pytest.FixtureRequest, opened: Opened, indexed: Path) -> Collection:
    """A collection of which the index was damaged while nobody used it."""
    collection = opened(few=FEW)
    shutil.copytree(indexed, collection.folder)
    DAMAGES[request.param](collection)
    return collection


@pytest.mark.parametrize("damaged", DAMAGES, indirect=True)
def test_a_damaged_index_is_told_and_found_around(damaged: Collection, notices: list[str]) -> None:
    assert complete(damaged, COUNT)
    assert len(notices) == 1
    assert "the index of the memory 'notes'" in notices[0]
    assert "agentkit memory repair" in notices[0]


@pytest.mark.parametrize("damaged", DAMAGES, indirect=True)
def test_the_next_writer_makes_it_anew(
    damaged: Collection, opened: Opened, notices: list[str]
) -> None:
    save(damaged, FEW + 5, first=COUNT)
    assert complete(damaged, COUNT + FEW + 5)
    assert len(index_folders(damaged)) == 1
    notices.clear()
    other = opened(few=FEW)
    assert other.status().indexed > COUNT
    assert complete(other, COUNT + FEW + 5)
    assert notices == []


@pytest.mark.parametrize("damaged", list(DAMAGES)[:2], indirect=True)
def test_repair_makes_it_anew(damaged: Collection, notices: list[str]) -> None:
    assert repair(damaged).entries == COUNT
    notices.clear()
    assert complete(damaged, COUNT)
    assert notices == []
    assert damaged.status().indexed == COUNT


def test_an_index_that_was_left_half_written_is_not_used(
    opened: Opened, notices: list[str]
) -> None:
    collection = opened(few=FEW)
    fill(collection, 50)
    collection.close()
    with collection.database.write() as connection:
        connection.execute("UPDATE spaces SET writing = 1")
    assert complete(opened(few=FEW), 50)
    assert "half-written" in notices[0]


# -- a server ------------------------------------------------------------------------------------


def test_a_server_that_is_away_is_told_and_found_around(opened: Opened, notices: list[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        collection = opened(few=FEW, server=Server(url))
        fill(collection, 30)
        assert complete(collection, 30)
    assert all("cannot be reached" in one for one in notices)
    assert len(notices) == 1


def test_a_server_holds_the_index(opened: Opened, chroma_server: str, tmp_path: Path) -> None:
    server = Server(chroma_server)
    writer, reader = opened(few=FEW, server=server), opened(few=FEW, server=server)
    fill(writer, 60)
    assert index_folders(writer) == []
    assert complete(reader, 60)
    fill(writer, 60, first=60)
    assert complete(reader, 120)
    assert writer.status().indexed > 100


def test_two_collections_on_one_server_do_not_mix(opened: Opened, chroma_server: str) -> None:
    one = opened("one", few=5, server=Server(chroma_server))
    other = opened("other", few=5, server=Server(chroma_server))
    fill(one, 10)
    fill(other, 10, first=100)
    assert {item.text for item in one.search("entry of many", limit=50)} == {
        f"entry w{number} of many" for number in range(10)
    }


def test_a_server_that_lost_its_data_is_filled_again(
    opened: Opened, chroma_server: str, notices: list[str]
) -> None:
    server = Server(chroma_server)
    collection = opened(few=FEW, server=server)
    fill(collection, 50)
    collection.close()
    for name in server_collections(chroma_server):
        httpx.delete(f"{chroma_server}/{COLLECTIONS}/{name}").raise_for_status()
    again = opened(few=FEW, server=server)
    assert complete(again, 50)
    assert "is empty" in notices[0]
    fill(again, 40, first=50)
    assert complete(again, 90)
    assert again.status().indexed > 60


def test_another_embedder_leaves_nothing_on_the_server(opened: Opened, chroma_server: str) -> None:
    server = Server(chroma_server)
    fill(opened(few=FEW, server=server), 50)
    other = opened(few=FEW, server=server, embedding=tiny("b", dimensions=8))
    reembed(other)
    assert complete(other, 50)
    assert len([name for name in server_collections(chroma_server) if _own(other) in name]) == 1


def server_collections(url: str) -> list[str]:
    """What is on a server, as it says itself."""
    return [one["name"] for one in httpx.get(f"{url}/{COLLECTIONS}").json()]


def _own(collection: Collection) -> str:
    with collection.database.read() as connection:
        found = connection.execute("SELECT value FROM facts_of_collection WHERE name = 'name'")
        return str(found.fetchone()[0])
