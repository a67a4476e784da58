"""Work on a thread of its own, seen from the loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator

import pytest

from agentkit.cancel import CancelToken
from agentkit.web.openai import elsewhere
from agentkit.web.openai.elsewhere import Elsewhere, pushed


def test_all_pieces_come_in_order_however_fast() -> None:
    async def read() -> list[int]:
        return await Elsewhere(lambda cancel: iter(range(10_000))).everything()

    assert asyncio.run(read()) == list(range(10_000))


def test_who_reads_slowly_gets_several_at_once() -> None:
    async def read() -> list[list[int]]:
        work = Elsewhere(lambda cancel: iter(range(100)))
        while not work._ended:
            await asyncio.sleep(0)
        return [pieces async for pieces in work.pieces()]

    assert asyncio.run(read()) == [list(range(100))]


def test_what_begin_raises_is_raised_before_anything_comes() -> None:
    def begin(cancel: CancelToken) -> Iterator[int]:
        raise ValueError("no")

    async def read() -> None:
        await Elsewhere(begin).started()

    with pytest.raises(ValueError, match="no"):
        asyncio.run(read())


def test_what_comes_before_an_error_is_given_first() -> None:
    def begin(cancel: CancelToken) -> Iterator[int]:
        yield 1
        raise ValueError("late")

    seen: list[int] = []

    async def read() -> None:
        work = Elsewhere(begin)
        await work.started()
        async for pieces in work.pieces():
            seen.extend(pieces)

    with pytest.raises(ValueError, match="late"):
        asyncio.run(read())
    assert seen == [1]


def test_silence_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elsewhere, "SILENCE", 0.001)
    go = threading.Event()

    def begin(cancel: CancelToken) -> Iterator[int]:
        go.wait(10)
        yield 1

    async def read() -> list[list[int]]:
        found = []
        async for pieces in Elsewhere(begin).pieces():
            found.append(pieces)
            if len(found) == 3:
                go.set()
        return found

    found = asyncio.run(read())
    assert found[:3] == [[], [], []]
    assert [1] in found


def test_what_is_pushed_is_an_iterator_and_so_is_its_error() -> None:
    def work(tell: Callable[[int], None]) -> None:
        tell(1)
        raise ValueError("late")

    pieces = pushed(work)
    assert next(pieces) == 1
    with pytest.raises(ValueError, match="late"):
        next(pieces)
