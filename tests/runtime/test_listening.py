"""A letter that says `cancel` reaches a run while it does something else."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from agentkit.cancel import CancelToken
from agentkit.errors import MachineError
from agentkit.letters import Letter
from agentkit.runtime import listening
from agentkit.runtime.listening import cancelled_by_letter

PATIENCE = 60
"""Seconds after which a test that waits has failed."""


class Letters:
    """A mailbox that gives what the test says, look by look, and then nothing."""

    def __init__(self, *looks: Callable[[], list[Letter]]) -> None:
        self.looks = list(looks)
        self.asked: list[tuple[str, ...]] = []
        self.all_read = threading.Event()

    def post(self, run: str, letter: Letter) -> None:
        raise AssertionError("nobody writes here")

    def take(self, run: str, *kinds: str) -> list[Letter]:
        self.asked.append((run, *kinds))
        if not self.looks:
            self.all_read.set()
            return []
        return self.looks.pop(0)()


def nothing() -> list[Letter]:
    return []


def cancel() -> list[Letter]:
    return [Letter("cancel")]


def trouble() -> list[Letter]:
    raise MachineError("the journal is busy")


SHIPPED = listening.EVERY
"""Before the tests hurry."""


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "EVERY", 0.001)


class Told(CancelToken):
    """A token that can be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.told = threading.Event()

    def cancel(self, reason: str = "cancelled", *, parks: bool = False) -> None:
        super().cancel(reason, parks=parks)
        self.told.set()


@pytest.mark.parametrize("before", [(), (nothing, nothing), (trouble, nothing, trouble)])
def test_it_cancels_whatever_came_before(before: tuple[Callable[[], list[Letter]], ...]) -> None:
    letters, token = Letters(*before, cancel), Told()

    with cancelled_by_letter(letters, "run-1", token):
        assert token.told.wait(PATIENCE), "nobody heard it"

    assert set(letters.asked) == {("run-1", "cancel")}, "other letters are the agent's"
    assert len(letters.asked) == len(before) + 1, "it goes on to listen"


def test_nobody_listens_after_the_block() -> None:
    letters, token = Letters(), CancelToken()

    with cancelled_by_letter(letters, "run-1", token):
        assert letters.all_read.wait(PATIENCE)

    assert not token.cancelled
    assert [thread.name for thread in threading.enumerate() if "run-1" in thread.name] == []


def test_nor_after_a_block_that_failed() -> None:
    with (
        pytest.raises(ZeroDivisionError),
        cancelled_by_letter(Letters(), "run-2", CancelToken()),
    ):
        raise ZeroDivisionError
    assert [thread.name for thread in threading.enumerate() if "run-2" in thread.name] == []


def test_a_letter_waits_for_half_a_second_at_most() -> None:
    """`agentkit runs cancel --help` says a second or two, in which a program is ended, too."""
    assert SHIPPED <= 0.5
