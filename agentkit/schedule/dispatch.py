"""A decision is on record before its run begins, with the id that the run will have.

So whatever happens in between, the run is begun once: by the one who wrote the decision down, or,
if that one died, by whoever finds it there with no run of that id on record.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol

from agentkit.errors import AgentkitError, Busy
from agentkit.records import Fire

log = logging.getLogger(__name__)


class Book(Protocol):
    """Where fires are on record.  May be used by several processes at once."""

    def add(self, fires: Sequence[Fire], mark: datetime | None = None) -> list[Fire]:
        """Put fires on record, in one transaction; those that were not there yet."""

    def due(self) -> list[Fire]:
        """Those of which the run is not on record."""

    def claim(self, fire: Fire, owner: str) -> bool:
        """Take one over from a dead owner; False if somebody was faster."""

    def settle(self, run: str, status: str, reason: str = "") -> None:
        """Say what became of one that was due."""


class Dispatch:
    """That of one scheduler, which is called `owner` on record.

    `alive` says whether another owner is; `begin` begins a run and returns when it is on record.
    """

    def __init__(
        self,
        book: Book,
        owner: Callable[[], str],
        alive: Callable[[str], bool],
        begin: Callable[[Fire], None],
    ) -> None:
        self._book = book
        self._owner = owner
        self._alive = alive
        self._begin = begin

    def begin_due(self) -> bool:
        """Begin what is due and ours, or nobody's any more; False: not all, as much is at work."""
        for fire in self._book.due():
            if fire.owner != self._owner():
                if fire.owner and self._alive(fire.owner):
                    continue
                if not self._book.claim(fire, self._owner()):
                    continue
            try:
                self._begin(fire)
            except Busy:
                return False
            except AgentkitError as error:
                log.warning("%s: not started: %s", fire.workflow, error)
                self._book.settle(fire.run, "refused", str(error))
            else:
                self._book.settle(fire.run, "begun")
        return True
