"""Things that wait for each other, on threads: each once, in order, and no failure costs more than
what waits for it.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentkit.cancel import CancelToken
from agentkit.errors import ApprovalNeeded, Cancelled, MachineError, ToolError
from agentkit.workflow.branches import MOST, carry_out
from agentkit.workflow.plan import Needs

DIAMOND: Needs = {"a": (), "b": ("a",), "c": ("a",), "d": ("b", "c")}


def done(
    needs: Needs, do: Callable[[str], None] = lambda name: None, limit: int = MOST
) -> list[str]:
    seen: list[str] = []

    def noted(name: str) -> None:
        do(name)
        seen.append(name)

    carry_out(needs, noted, CancelToken(), limit=limit)
    return seen


def test_branches_of_a_diamond_are_at_work_at_the_same_time() -> None:
    together = threading.Barrier(2, timeout=20)

    def do(name: str) -> None:
        if name in "bc":
            together.wait()

    seen = done(DIAMOND, do)

    assert (seen[0], seen[-1], set(seen)) == ("a", "d", {"a", "b", "c", "d"})


def test_no_more_than_the_limit_are_at_work() -> None:
    at_work, most, lock = 0, 0, threading.Lock()
    gate = threading.Semaphore(0)

    def do(name: str) -> None:
        nonlocal at_work, most
        with lock:
            at_work += 1
            most = max(most, at_work)
        gate.release()
        with lock:
            at_work -= 1

    done({str(number): () for number in range(50)}, do, limit=3)

    assert 1 <= most <= 3


def test_a_failure_costs_what_waits_for_it_and_nothing_else() -> None:
    seen: list[str] = []

    def do(name: str) -> None:
        if name == "b":
            raise ToolError("b broke")
        seen.append(name)

    with pytest.raises(ToolError, match="b broke"):
        carry_out({**DIAMOND, "e": (), "f": ("e",)}, do, CancelToken())

    assert sorted(seen) == ["a", "c", "e", "f"]


def starved(patch: pytest.MonkeyPatch, threads: int) -> None:
    """From now on the system gives so many threads to steps and not one more."""
    start, given = threading.Thread.start, threading.Semaphore(threads)

    def start_if_there_is_one(thread: threading.Thread) -> None:
        if thread.name.startswith("steps") and not given.acquire(blocking=False):
            raise RuntimeError("can't start new thread")
        start(thread)

    patch.setattr(threading.Thread, "start", start_if_there_is_one)


def ending(work: Callable[[], list[str]]) -> list[str]:
    """What came of it, or that it hangs."""
    came: list[list[str]] = []
    caller = threading.Thread(target=lambda: came.append(work()), daemon=True)
    caller.start()
    caller.join(60)
    assert not caller.is_alive()
    return came[0]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("needs", [DIAMOND, dict.fromkeys("abcdefgh", ())])
def test_fewer_threads_than_there_is_work_for_do_all_of_it_once(
    monkeypatch: pytest.MonkeyPatch, needs: Needs, threads: int
) -> None:
    starved(monkeypatch, threads)

    assert sorted(ending(lambda: done(needs))) == sorted(needs)


def test_without_any_thread_the_work_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    starved(monkeypatch, 0)

    with pytest.raises(MachineError, match="no thread to give: can't start new thread"):
        done(DIAMOND)


def test_of_two_failures_the_first_in_the_file_is_told() -> None:
    def do(name: str) -> None:
        raise ToolError(name)

    with pytest.raises(ToolError, match="one"):
        carry_out({"one": (), "two": ()}, do, CancelToken())


def test_a_failure_counts_more_than_a_question() -> None:
    def do(name: str) -> None:
        raise ApprovalNeeded("q", "?") if name == "asks" else ToolError("broke")

    with pytest.raises(ToolError, match="broke"):
        carry_out({"asks": (), "breaks": ()}, do, CancelToken())


def test_with_fail_fast_nothing_new_begins() -> None:
    seen: list[str] = []

    def do(name: str) -> None:
        seen.append(name)
        raise ToolError("broke")

    with pytest.raises(ToolError, match="broke"):
        carry_out({str(n): () for n in range(9)}, do, CancelToken(), limit=1, fail_fast=True)

    assert seen == ["0"]


def test_a_cancel_ends_it() -> None:
    cancel = CancelToken()

    def do(name: str) -> None:
        cancel.cancel("enough")

    with pytest.raises(Cancelled, match="enough"):
        carry_out({"a": (), "b": ("a",), "c": ("a",)}, do, cancel)


@given(st.integers(1, 12), st.integers(1, 5), st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_everything_is_done_once_after_what_it_waits_for(
    count: int, limit: int, chance: random.Random
) -> None:
    needs = {
        str(at): tuple(str(one) for one in range(at) if chance.random() < 0.4)
        for at in range(count)
    }

    seen = done(needs, limit=limit)

    assert sorted(seen) == sorted(needs)
    for at, name in enumerate(seen):
        assert set(needs[name]) <= set(seen[:at])
