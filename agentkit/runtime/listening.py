"""A run hears that it is to stop also while a model answers or a tool works."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from agentkit.cancel import CancelToken
from agentkit.errors import MachineError
from agentkit.ports import Mailbox

EVERY = 0.5
"""Seconds between two looks into the mailbox."""


@contextmanager
def cancelled_by_letter(mailbox: Mailbox, run: str, cancel: CancelToken) -> Iterator[None]:
    """While the block lasts, a letter that says `cancel` cancels."""
    over = threading.Event()

    def look() -> None:
        while not cancel.cancelled:
            with suppress(MachineError):  # the run will say so itself when it writes
                for _ in mailbox.take(run, "cancel"):
                    cancel.cancel()
            if over.wait(EVERY):
                return

    listener = threading.Thread(target=look, name=f"letters to {run}", daemon=True)
    listener.start()
    try:
        yield
    finally:
        over.set()
        listener.join()
