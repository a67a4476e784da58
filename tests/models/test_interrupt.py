"""Ctrl-C: the first asks, the second does not."""

from __future__ import annotations

import signal
import threading

import pytest

from agentkit.cli.interrupt import interruptible
from agentkit.errors import Cancelled


def test_the_first_ctrl_c_cancels_the_token(capfd: pytest.CaptureFixture[str]) -> None:
    with interruptible() as token:
        signal.raise_signal(signal.SIGINT)

        with pytest.raises(Cancelled, match="interrupted"):
            token.check()
    assert "stopping… (Ctrl-C again to quit at once)" in capfd.readouterr().err


def test_the_second_ctrl_c_quits(capfd: pytest.CaptureFixture[str]) -> None:
    with interruptible():
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_sigterm_asks_too() -> None:
    with interruptible() as token:
        signal.raise_signal(signal.SIGTERM)

        with pytest.raises(Cancelled, match="terminated"):
            token.check()


def test_the_old_handlers_are_put_back() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]

    with interruptible():
        pass

    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_outside_the_main_thread_it_gives_a_plain_token() -> None:
    seen: list[bool] = []

    def work() -> None:
        with interruptible() as token:
            seen.append(token.cancelled)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()

    assert seen == [False]
