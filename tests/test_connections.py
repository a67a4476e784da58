"""Connections to a SQLite file: used again, never by two at once, never closed under somebody."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from agentkit.connections import AGAIN, ENOUGH, Connections


def _is_closed(connection: sqlite3.Connection) -> bool:
    try:
        connection.execute("SELECT 1")
    except sqlite3.ProgrammingError:
        return True
    return False


@pytest.fixture
def opened() -> list[sqlite3.Connection]:
    return []


@pytest.fixture
def connections(tmp_path: Path, opened: list[sqlite3.Connection]) -> Connections:
    return Connections(tmp_path / "file.sqlite", 1, opened.append)


def test_one_that_was_given_back_is_used_again(connections: Connections) -> None:
    with connections.one() as first:
        pass
    with connections.one() as second:
        assert second is first


def test_two_at_once_are_two(connections: Connections, opened: list[sqlite3.Connection]) -> None:
    with connections.one() as first, connections.one() as second:
        assert opened == [first, second]


def test_of_many_at_once_only_a_few_stay_open(
    connections: Connections, opened: list[sqlite3.Connection]
) -> None:
    with ExitStack() as stack:
        for _ in range(ENOUGH + 3):
            stack.enter_context(connections.one())
        assert not any(map(_is_closed, opened))
    assert [_is_closed(one) for one in opened].count(False) == ENOUGH
    with connections.one() as used:
        assert not _is_closed(used)
    assert len(opened) == ENOUGH + 3


def test_one_in_use_is_closed_when_it_comes_back_and_not_before(connections: Connections) -> None:
    with connections.one() as used:
        with connections.one() as idle:
            pass
        connections.close()
        assert _is_closed(idle)
        assert not _is_closed(used)
    assert _is_closed(used)


def test_more_may_be_opened_after_a_close(connections: Connections) -> None:
    with connections.one() as before:
        pass
    connections.close()
    assert _is_closed(before)
    with connections.one() as after:
        assert after.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_the_file_that_is_at_the_path_now_is_written(
    connections: Connections, tmp_path: Path
) -> None:
    path = tmp_path / "file.sqlite"
    with connections.one() as before:
        before.execute("CREATE TABLE old (x)")
    path.rename(tmp_path / "aside.sqlite")
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE new (x)")
    with connections.one() as after:
        assert after.execute("SELECT name FROM sqlite_master").fetchall() == [("new",)]
    assert _is_closed(before)
    with connections.one() as again:
        assert again is after


def test_what_is_in_no_file_is_used_again() -> None:
    connections = Connections(Path(":memory:"), 1, lambda connection: None)
    with connections.one() as first:
        pass
    with connections.one() as second:
        assert second is first
    connections.close()


@pytest.fixture
def maker(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """Somebody who writes a new file, and has not turned it to WAL yet."""
    path = tmp_path / "file.sqlite"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE first (x)")
        connection.execute("BEGIN IMMEDIATE")
        yield connection


def test_who_makes_the_file_at_the_same_time_is_waited_for(
    connections: Connections, maker: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            maker.execute("COMMIT")

    monkeypatch.setattr(time, "sleep", pause)
    monkeypatch.setattr(time, "monotonic", lambda: 0.0)
    with connections.one() as used:
        assert used.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert pauses == [AGAIN, AGAIN]


def test_who_makes_the_file_for_ever_is_not_waited_for_any_longer(
    tmp_path: Path, maker: sqlite3.Connection
) -> None:
    connections = Connections(tmp_path / "file.sqlite", 0.05, lambda connection: None)
    with pytest.raises(sqlite3.OperationalError, match="locked"), connections.one():
        pass
    maker.execute("COMMIT")
    with connections.one() as used:
        assert used.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connections.close()


def test_one_that_could_not_be_prepared_is_closed(tmp_path: Path) -> None:
    seen: list[sqlite3.Connection] = []

    def refuse(connection: sqlite3.Connection) -> None:
        seen.append(connection)
        raise ValueError("not this one")

    with (
        pytest.raises(ValueError, match="not this one"),
        Connections(tmp_path / "file", 1, refuse).one(),
    ):
        pass
    assert _is_closed(seen[0])
