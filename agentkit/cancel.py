"""One way to ask running work to stop: a token that is handed down, never a global.

The work looks at its token between two small pieces (one batch of tokens, one window of audio,
one block of a download), so a cancel takes effect within one of them.
"""

from __future__ import annotations

import threading

from agentkit.errors import Cancelled


class CancelToken:
    """Thread-safe; may be cancelled any number of times, the first reason counts."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._reason = "cancelled"

    def cancel(self, reason: str = "cancelled") -> None:
        """Ask the work to stop.  Returns at once."""
        if not self._event.is_set():
            self._reason = reason
            self._event.set()

    @property
    def cancelled(self) -> bool:
        """Whether somebody asked."""
        return self._event.is_set()

    def check(self) -> None:
        """Raise `Cancelled` if somebody asked."""
        if self._event.is_set():
            raise Cancelled(self._reason)
