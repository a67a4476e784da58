"""The one place that sleeps: looks again when something is due, when it is woken, and every moment.

It never sleeps longer than a pulse, so that a clock that is put forward or back and a machine that
was suspended need no detection: whoever is called reads the clock anew.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

from agentkit.errors import AgentkitError
from agentkit.ports import Clock

log = logging.getLogger(__name__)

PULSE = 1.0
"""Seconds between two looks, at most."""


class Scheduler:
    """Calls `look` on a thread of its own between `start` and `stop`.

    `look` says when it wants to be called again; it is called earlier, too.
    """

    def __init__(self, clock: Clock, look: Callable[[], datetime | None]) -> None:
        self._clock = clock
        self._look = look
        self._woken = threading.Event()
        self._over = False
        self._thread = threading.Thread(target=self._work, name="scheduler", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    @property
    def running(self) -> bool:
        """Whether it looks."""
        return self._thread.is_alive()

    def wake(self) -> None:
        """Look now: something has changed.  Returns at once."""
        self._woken.set()

    def stop(self) -> None:
        """Look no more; returns when the last look is over.  Idempotent."""
        self._over = True
        self._woken.set()
        if self._thread.is_alive():
            self._thread.join()

    def _work(self) -> None:
        said = ""
        while not self._over:
            self._woken.clear()
            pause = PULSE
            try:
                wanted = self._look()
                if wanted is not None:
                    left = (wanted - self._clock.now()).total_seconds()
                    pause = min(PULSE, max(0.0, left))
                said = ""
            except AgentkitError as error:  # a journal that is away for a while
                if str(error) != said:
                    log.warning("the schedule waits: %s", error)
                said = str(error)
            except Exception:  # a bug in one look must not end all that follow
                log.exception("the schedule")
            if not self._over:
                self._woken.wait(pause)


class SystemClock:
    """That of the machine."""

    def now(self) -> datetime:
        """See `Clock.now`."""
        return datetime.now(UTC)

    def steady(self) -> float:
        """See `Clock.steady`."""
        return time.monotonic()
