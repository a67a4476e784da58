"""What happens in runs, from their threads to the loop that tells clients.

A listener is only woken: what has a number is read from the journal, so nothing is kept here for a
client that is slow.  Progress has no number; of each step the newest is kept.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from agentkit.events import Event, StepProgress


class Ear:
    """One listener."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._woken = asyncio.Event()
        self._lock = threading.Lock()
        self._progress: dict[tuple[str, str, str], StepProgress] = {}

    def hear(self, event: Event) -> None:
        """Called by the thread of a run."""
        if isinstance(event, StepProgress):
            with self._lock:
                self._progress[event.run, event.step, event.key] = event
        self._loop.call_soon_threadsafe(self._woken.set)

    def progress(self) -> list[StepProgress]:
        """The newest of each step since the last call."""
        with self._lock:
            found = list(self._progress.values())
            self._progress.clear()
        return found

    async def wait(self, seconds: float) -> None:
        """Until something happens, or so long."""
        try:
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        except TimeoutError:
            return
        self._woken.clear()


class Live:
    """A subscriber of all runs of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ears: dict[str, set[Ear]] = {}

    def __call__(self, event: Event) -> None:
        """Tell those who listen to the run, or to the one that it belongs to."""
        with self._lock:
            ears = list(self._ears.get(event.run.split(".")[0], ()))
        for ear in ears:
            ear.hear(event)

    @contextmanager
    def listening(self, run: str) -> Iterator[Ear]:
        """Hear what happens in a run while the block lasts."""
        ear = Ear()
        with self._lock:
            self._ears.setdefault(run, set()).add(ear)
        try:
            yield ear
        finally:
            with self._lock:
                self._ears[run].discard(ear)
                if not self._ears[run]:
                    del self._ears[run]
