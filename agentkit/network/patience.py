"""How long one exchange may take, all in all, and whether somebody asked to stop.

A timeout for each read would let a server drip for ever; here every wait looks at the same clock.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from agentkit.cancel import CancelToken

TICK = 0.05
"""Seconds until a wait looks at the token again."""


class OutOfTime(Exception):
    """The exchange took as long as it may."""


class Patience:
    """`seconds` from now on, less if the token is cancelled."""

    def __init__(self, seconds: float, cancel: CancelToken) -> None:
        self._cancel = cancel
        self._end = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds; negative when they are over."""
        return self._end - time.monotonic()

    def at_most(self, seconds: float) -> Patience:
        """The same with an end that is nearer, for a part of the work."""
        return Patience(min(seconds, self.left), self._cancel)

    def check(self) -> None:
        """Raise `Cancelled` or `OutOfTime` if it is over."""
        self._cancel.check()
        if self.left <= 0:
            raise OutOfTime

    def wait(self, ready: Callable[[float], object]) -> None:
        """Call `ready(seconds)`, which waits that long, until it says yes.  Raises as `check`."""
        while True:
            self.check()
            if ready(max(0.0, min(TICK, self.left))):
                return
