"""What the service looks after between requests: runs that could go on, and nobody tells them to.

Those of which the process died, those that it parked itself when it stopped, and those that waited
for a person: who has answered by now, or had so much time and no more.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from agentkit.errors import AgentkitError, Busy, UnknownName
from agentkit.events import RunStatus
from agentkit.records import RunRecord
from agentkit.runtime.background import STOPPED, Background
from agentkit.runtime.root import Runtime

log = logging.getLogger(__name__)

EVERY = 2.0
"""Seconds between two looks."""
PAUSE = 10.0
"""Seconds until a run that did not go on is tried again; twice as long each time."""
LONGEST = 600.0
MOST = 10_000
"""Runs that are looked at; the oldest first."""
HIMSELF = timedelta(seconds=3)
"""What whoever has answered is given to go on with the run himself, as the person he is."""


class Keeper:
    """Looks on a thread of its own between `start` and `stop`."""

    def __init__(self, runtime: Runtime, background: Background) -> None:
        self._runtime = runtime
        self._background = background
        self._later: dict[str, tuple[float, float]] = {}
        """By run: when to try again, and how long the next pause will be.  Seconds."""
        self._heeded: set[str] = set()
        """Answers that a run went on for: it does so once."""
        self._parked: set[str] = set()
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
        for run, why, answers in self._ready():
            due, pause = self._later.get(run.id, (0.0, PAUSE))
            if time.monotonic() < due:
                continue
            try:
                gone_on.append(self._background.go_on(run.id, profile="unattended"))
                self._later.pop(run.id, None)
                self._heeded.update(answers)
                log.info("run %s goes on: %s", run.id, why)
            except Busy:
                break
            except AgentkitError as error:
                self._later[run.id] = time.monotonic() + pause, min(2 * pause, LONGEST)
                log.warning("run %s does not go on: %s", run.id, error)
        return gone_on

    def _ready(self) -> Iterator[tuple[RunRecord, str, Sequence[str]]]:
        """Runs that can go on, why, and the answers that they do so for."""
        journal = self._runtime.journal
        for run in self._idle("running"):
            if not journal.leases.held(run.id) and self._is_still(run):
                yield run, "its process died", ()
        parked, answered = self._idle("parked"), self._answered()
        over = self._out_of_time(parked)
        for run in filter(self._is_still, parked):
            answers = answered.get(run.id, [])
            if run.error == STOPPED:
                yield run, f"{STOPPED}, and is back", answers
            elif answers:
                yield run, f"a person has answered {', '.join(answers)}", answers
            elif run.id in over:
                yield run, "nobody answered in time", ()

    def _idle(self, status: RunStatus) -> list[RunRecord]:
        """Those that no thread here has; the oldest first."""
        busy = set(self._background.at_work())
        found = self._runtime.journal.runs(limit=MOST, status=status)
        return [run for run in reversed(found) if run.source and run.id not in busy]

    def _is_still(self, run: RunRecord) -> bool:
        """Whether it is as it was when the list was made: letting others go on may take seconds.

        A run's end is on record before it is let go, so one that nobody holds and is `running` has
        lost its process.
        """
        with suppress(UnknownName):
            return self._runtime.journal.run(run.id).status == run.status
        return False

    def _answered(self) -> Mapping[str, list[str]]:
        """Answers that no run went on for yet, by run."""
        found: dict[str, list[str]] = {}
        for request in self._runtime.journal.desk.answered():
            fresh = request.answered and datetime.now(UTC) - request.answered < HIMSELF
            if not fresh and request.id not in self._heeded:
                found.setdefault(request.run.split(".")[0], []).append(request.id)
        return found

    def _out_of_time(self, parked: Sequence[RunRecord]) -> set[str]:
        """Runs whose question stood for as long as it may; told anew when others are parked."""
        names = {run.id for run in parked}
        if names != self._parked:
            self._parked, self._over_at = names, self._runtime.wakes()
        return {run for run, when in self._over_at if when < datetime.now(UTC)}

    def _look(self) -> None:
        while not self._over.is_set():
            try:
                self.look()
            except AgentkitError as error:  # the journal cannot be read for a while
                log.warning("%s", error)
            except Exception:  # a mistake of ours must not end what looks after all runs
                log.exception("looking after runs")
            self._over.wait(EVERY)
