"""One way to ask running work to stop: a token that is handed down, never a global.

The work looks at its token between two small pieces (one batch of tokens, one window of audio,
one block of a download), so a cancel takes effect within one of them.
"""

from __future__ import annotations

import threading
import time

from agentkit.errors import Cancelled

LOOK = 0.1
"""Seconds between two looks at who else may have asked."""


class CancelToken:
    """Thread-safe; may be cancelled any number of times, the first reason counts."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._reason = "cancelled"
        self._parks = False

    def cancel(self, reason: str = "cancelled", *, parks: bool = False) -> None:
        """Ask the work to stop; with `parks` it is to go on later.  Returns at once."""
        if not self._event.is_set():
            self._reason = reason
            self._parks = parks
            self._event.set()

    @property
    def cancelled(self) -> bool:
        """Whether somebody asked."""
        return self._event.is_set()

    def check(self) -> None:
        """Raise `Cancelled` if somebody asked."""
        if self.cancelled:
            raise Cancelled(self.reason)

    @property
    def reason(self) -> str:
        """Why, in words."""
        return self._reason

    @property
    def parks(self) -> bool:
        """Whether the work that was asked to stop is to go on later."""
        return self._parks

    def wait(self, seconds: float) -> None:
        """Let time pass.  Raises `Cancelled` as soon as somebody asks."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self.check()
            self._event.wait(min(left, LOOK))
        self.check()


class Deadline(CancelToken):
    """Cancelled when its parent is, and when its time is over; what it cancels stays here."""

    def __init__(self, parent: CancelToken, seconds: float, what: str) -> None:
        super().__init__()
        self._parent = parent
        self._ends = time.monotonic() + seconds
        self._what = what

    @property
    def over(self) -> bool:
        """Whether its own time has ended, and nobody asked for more than that."""
        return not self._parent.cancelled and time.monotonic() >= self._ends

    @property
    def cancelled(self) -> bool:
        """See `CancelToken.cancelled`."""
        return super().cancelled or self._parent.cancelled or time.monotonic() >= self._ends

    @property
    def reason(self) -> str:
        """See `CancelToken.reason`."""
        if self._parent.cancelled:
            return self._parent.reason
        return super().reason if super().cancelled else self._what

    @property
    def parks(self) -> bool:
        """See `CancelToken.parks`."""
        return self._parent.parks if self._parent.cancelled else super().parks
