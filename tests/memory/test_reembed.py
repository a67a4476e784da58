"""Another embedder: all vectors anew, and never two kinds in one search."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from agentkit.cancel import CancelToken
from agentkit.errors import Cancelled, UserError
from agentkit.memory import Collection, Embedding, reembed
from agentkit.memory.passages import BATCH
from agentkit.ports import Condition

from .conftest import Opened, keep
from .tiny import TinyEmbedder, tiny

FEW = 20
COUNT = 3 * BATCH


@pytest.fixture
def old(opened: Opened) -> Collection:
    """Enough for several batches and an index."""
    collection = opened(few=FEW)
    texts = [f"entry w{number} of many" for number in range(COUNT)]
    keep(collection, texts, source=lambda number: f"s{number % 2}")
    return collection


def spaces_of(collection: Collection) -> list[tuple[str, int, int]]:
    with collection.database.read() as connection:
        return [
            tuple(row)
            for row in connection.execute(
                "SELECT model, current, (SELECT count(*) FROM vectors WHERE space = spaces.id) "
                "FROM spaces ORDER BY id"
            )
        ]


def test_all_is_found_by_the_new_embedder(old: Collection, opened: Opened) -> None:
    seen: list[tuple[float, float | None]] = []
    new = opened(few=FEW, embedding=tiny("new", dimensions=16))
    assert reembed(new, progress=lambda done, total, unit: seen.append((done, total))) == COUNT
    assert spaces_of(new) == [("tinynew", 1, COUNT)]
    assert new.status().dimensions == 16
    assert all(
        new.search(f"entry w{n} of many", limit=1)[0].text == f"entry w{n} of many"
        for n in range(COUNT)
    )
    assert seen[-1] == (COUNT, COUNT)
    assert len(list(new.folder.glob("index-*-*"))) == 1


def test_the_old_embedder_is_then_the_wrong_one(old: Collection, opened: Opened) -> None:
    reembed(opened(few=FEW, embedding=tiny("new")))
    with pytest.raises(UserError, match="'tinynew'"):
        old.search("x")


def test_with_the_same_embedder_there_is_nothing_to_do(old: Collection) -> None:
    assert reembed(old) == 0


def test_nothing_can_be_made_anew(opened: Opened) -> None:
    assert reembed(opened("empty")) == 0


class StopsAfter(TinyEmbedder):
    """Cancels when it has read so many texts."""

    def __init__(self, count: int, token: CancelToken) -> None:
        super().__init__("new")
        self.count = count
        self.token = token

    def embed(self, texts: Sequence[str], cancel: CancelToken | None = None) -> NDArray[np.float32]:
        if self.asked >= self.count:
            self.token.cancel("stopped")
        return super().embed(texts, cancel)


def test_a_stop_leaves_the_old_vectors_in_use_and_the_next_start_goes_on(
    old: Collection, opened: Opened
) -> None:
    token = CancelToken()
    stopping = Embedding(StopsAfter(BATCH, token), tiny("new").digest)
    with pytest.raises(Cancelled):
        reembed(opened(few=FEW, embedding=stopping), cancel=token)
    assert spaces_of(old) == [("tiny", 1, COUNT), ("tinynew", 0, BATCH)]
    assert old.search("entry w7 of many", limit=1)[0].text == "entry w7 of many"
    assert reembed(opened(few=FEW, embedding=tiny("new"))) == COUNT - BATCH


class Busy(TinyEmbedder):
    """While it reads the first batch, somebody else saves and forgets with the old one."""

    def __init__(self, other: Collection) -> None:
        super().__init__("new")
        self.other: Collection | None = other

    def embed(self, texts: Sequence[str], cancel: CancelToken | None = None) -> NDArray[np.float32]:
        if self.other and len(texts) > 1:
            other, self.other = self.other, None
            other.save("a newcomer", source="late")
            other.forget([Condition("source", "=", "s0")])
        return super().embed(texts, cancel)


def test_what_comes_and_goes_meanwhile_is_neither_lost_nor_kept(
    old: Collection, opened: Opened
) -> None:
    new = opened(few=FEW, embedding=Embedding(Busy(old), tiny("new").digest))
    reembed(new)
    assert new.search("newcomer", limit=1)[0].text == "a newcomer"
    assert new.count() == COUNT // 2 + 1
    assert spaces_of(new) == [("tinynew", 1, COUNT // 2 + 1)]
