"""What is made on demand is made once, on every Python."""

from __future__ import annotations

import threading
from functools import cached_property
from typing import Any

import pytest

from agentkit.runtime.part import part
from tests.locks import Told

PATIENCE = 60


@pytest.fixture(autouse=True)
def unlocked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The standard property as it is since Python 3.12."""

    def get(self: Any, instance: Any, _: type | None = None) -> object:
        cache = vars(instance)
        if self.attrname not in cache:
            cache[self.attrname] = self.func(instance)
        return cache[self.attrname]

    monkeypatch.setattr(cached_property, "__get__", get)


def test_threads_that_ask_at_the_same_moment_get_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    first, other = threading.Event(), threading.Event()
    made, found = list[object](), list[object]()

    class House:
        @part
        def door(self) -> object:
            made.append(object())
            (other if first.is_set() else first).set()
            assert other.wait(PATIENCE)  # the second makes one, too, or waits for the lock
            return made[-1]

    monkeypatch.setattr(vars(House)["door"], "_making", Told(other))
    house = House()
    threads = [threading.Thread(target=lambda: found.append(house.door)) for _ in range(2)]
    threads[0].start()
    assert first.wait(PATIENCE)
    threads[1].start()
    for thread in threads:
        thread.join(PATIENCE)

    assert found == [made[0]] * 2
    assert len(made) == 1
