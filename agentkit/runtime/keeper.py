"""What the service looks after between requests: runs that could go on, and nobody tells them to.

Those of which the process died, those that it parked itself when it stopped, and those that waited
for a person: who has answered by now, or had so much time and no more.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

from agentkit.errors import AgentkitError, Busy
from agentkit.records import RunRecord
from agentkit.runtime.background import STOPPED, Background
from agentkit.runtime.root import Runtime

log = logging.getLogger(__name__)

EVERY = 2.0
"""Seconds between two looks."""
HIMSELF = timedelta(seconds=3)
"""What whoever has answered is given to go on with the run himself, as the person he is."""


class Keeper:
    """Looks on a thread of its own between `start` and `stop`."""

    def __init__(self, runtime: Runtime, background: Background) -> None:
        self._runtime = runtime
        self._background = background
        self._given_up: set[tuple[str, str]] = set()
        self._asked: set[str] = set()
        self._over_at: Sequence[tuple[str, datetime]] = ()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, name="keeper of runs", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()

    def look(self) -> list[str]:
        """Let runs go on that can; which they are."""
        gone_on = []
        for run, why in self._ready():
            if (run.id, why) in self._given_up:
                continue
            try:
                gone_on.append(self._background.go_on(run.id, profile="unattended"))
                log.info("run %s goes on: %s", run.id, why)
            except Busy:
                break
            except AgentkitError as error:  # it needs a person: once is enough to say so
                self._given_up.add((run.id, why))
                log.warning("run %s does not go on: %s", run.id, error)
        return gone_on

    def _ready(self) -> Iterator[tuple[RunRecord, str]]:
        journal, busy = self._runtime.journal, set(self._background.at_work())
        for run in journal.runs(limit=1000, status="running"):
            if run.source and run.id not in busy and not journal.leases.held(run.id):
                yield run, "its process died"
        over = {run for run, when in self._wakes() if when < datetime.now(UTC)}
        answered: dict[str, str] = {}
        for request in journal.desk.answered():
            if request.answered and datetime.now(UTC) - request.answered < HIMSELF:
                continue
            answered[request.run.split(".")[0]] = request.id
        for run in journal.runs(limit=1000, status="parked"):
            if not run.source or run.id in busy:
                continue
            if run.error == STOPPED:
                yield run, f"{STOPPED}, and is back"
            elif run.id in answered:
                yield run, f"a person has answered {answered[run.id]}"
            elif run.id in over:
                yield run, "nobody answered in time"

    def _wakes(self) -> Sequence[tuple[str, datetime]]:
        """When questions are over; told anew where others are open than before."""
        asked = {one.id for one in self._runtime.journal.desk.requests(open_only=True, limit=1000)}
        if asked != self._asked:
            self._asked, self._over_at = asked, self._runtime.wakes()
        return self._over_at

    def _look(self) -> None:
        while not self._over.is_set():
            try:
                self.look()
            except AgentkitError as error:  # the journal cannot be read for a while
                log.warning("%s", error)
            self._over.wait(EVERY)
