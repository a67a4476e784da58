"""Work on a thread of its own, seen from the loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator

import pytest

from agentkit.cancel import CancelToken
from agentkit.errors import Cancelled
from agentkit.web.openai import elsewhere
from agentkit.web.openai.elsewhere import Elsewhere, pushed
from agentkit.web.openai.streams import streamed


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


def test_who_is_gone_before_the_first_piece_is_not_worked_for() -> None:
    given = threading.Event()
    cancelled: list[CancelToken] = []

    def begin(cancel: CancelToken) -> Iterator[int]:
        cancelled.append(cancel)
        given.wait(10)
        return iter([1])

    async def gone() -> dict[str, str]:
        return {"type": "http.disconnect"}

    async def send(message: object) -> None:
        await asyncio.sleep(0)

    async def ask() -> None:
        asyncio.get_running_loop().call_soon(given.set)
        answer = await streamed(begin, lambda pieces: "piece")
        await answer({"type": "http", "asgi": {"spec_version": "2.3"}}, gone, send)

    asyncio.run(ask())
    assert cancelled[0].cancelled


def test_an_answer_that_was_broken_off_is_none() -> None:
    async def read() -> list[int]:
        work = Elsewhere(lambda cancel: iter([1]))
        work.cancel()
        return await work.everything()

    with pytest.raises(Cancelled, match="went away"):
        asyncio.run(read())
