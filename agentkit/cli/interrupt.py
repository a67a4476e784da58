"""Ctrl-C asks work to stop; a second Ctrl-C does not ask.

The work looks at its token between two small pieces, puts things in order and ends with
`Cancelled`.  SIGTERM (from a service manager, or `kill`) asks in the same way.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from agentkit.cancel import CancelToken


@contextmanager
def interruptible() -> Iterator[CancelToken]:
    """A token that the first Ctrl-C or SIGTERM cancels; a second Ctrl-C raises KeyboardInterrupt.

    Outside the main thread signals cannot be caught: there it gives a plain token.
    """
    token = CancelToken()
    if threading.current_thread() is not threading.main_thread():
        yield token
        return

    def on_interrupt(number: int, frame: FrameType | None) -> None:
        if token.cancelled:
            raise KeyboardInterrupt
        _say("stopping… (Ctrl-C again to quit at once)")
        token.cancel("interrupted")

    def on_terminate(number: int, frame: FrameType | None) -> None:
        token.cancel("terminated")

    before = {
        signal.SIGINT: signal.signal(signal.SIGINT, on_interrupt),
        signal.SIGTERM: signal.signal(signal.SIGTERM, on_terminate),
    }
    try:
        yield token
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _say(text: str) -> None:
    """Past Python's buffers, in which the signal may have struck."""
    with suppress(OSError, ValueError):
        os.write(sys.stderr.fileno(), f"\n{text}\n".encode())
