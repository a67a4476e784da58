"""Do things that wait for each other, as many at a time as may be, on threads.

The order is a mapping from each name to what it waits for.  What fails costs what waits for it and
nothing else; the rest comes to its end before the failure is told.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from agentkit.cancel import CancelToken
from agentkit.errors import Cancelled, MachineError, Parked
from agentkit.workflow.plan import Needs

MOST = 32
"""Threads of one list of steps."""

LOOK = 0.2
"""Seconds between two looks at Ctrl-C."""


def carry_out(
    needs: Needs,
    do: Callable[[str], None],
    cancel: CancelToken,
    *,
    limit: int = MOST,
    fail_fast: bool = False,
) -> None:
    """Do everything once.  With `fail_fast`, nothing new begins after a failure.

    Raises the first failure in the order of the names; a run that waits for a person fails only if
    nothing else did, and one that somebody cancelled is cancelled whatever else went wrong.
    """
    limit = min(limit, MOST, len(needs))
    if limit <= 1 or _in_a_row(needs):
        _one_by_one(needs, do, cancel, fail_fast)
    else:
        _side_by_side(needs, do, cancel, limit, fail_fast)


def _side_by_side(
    needs: Needs, do: Callable[[str], None], cancel: CancelToken, limit: int, fail_fast: bool
) -> None:
    """On threads."""
    with ThreadPoolExecutor(limit, "steps") as pool:
        crew = _Crew(pool, needs, do, cancel, limit, fail_fast)
        try:
            crew.begin()
            while not crew.over.wait(LOOK):
                pass
        except KeyboardInterrupt:
            cancel.cancel("interrupted")
            raise
    _raise(needs, crew.faults, cancel)


class _Crew:
    """Threads that find their next work themselves: to be handed it by another one takes longer
    than a small step does.
    """

    def __init__(
        self,
        pool: ThreadPoolExecutor,
        needs: Needs,
        do: Callable[[str], None],
        cancel: CancelToken,
        limit: int,
        fail_fast: bool,
    ) -> None:
        self.faults: dict[str, BaseException] = {}
        self.over = threading.Event()
        self._pool, self._do, self._cancel = pool, do, cancel
        self._limit, self._fail_fast = limit, fail_fast
        self._waiting, self._done, self._running = dict(needs), set[str](), 0
        self._handed = set[str]()
        self._lock = threading.Lock()

    def begin(self) -> None:
        """Begin all that waits for nothing, as far as there are threads."""
        with self._lock:
            self._hand_out()

    def _work(self, name: str) -> None:
        if not self._claim(name):
            return
        following: str | None = name
        while following is not None:
            name, fault = following, None
            try:
                self._do(name)
            except BaseException as raised:
                fault = raised
            with self._lock:
                self._running -= 1
                if fault is None:
                    self._done.add(name)
                else:
                    self.faults[name] = fault
                following = self._next()
                self._hand_out()

    def _hand_out(self) -> None:
        while (name := self._next()) is not None:
            self._handed.add(name)
            try:
                self._pool.submit(self._work, name)
            except RuntimeError as fault:
                self._take_back(name, fault)
        if not self._running:
            self.over.set()

    def _claim(self, name: str) -> bool:
        """Whether it is still to be had: who begins it and who takes it back may meet."""
        try:
            self._handed.remove(name)
        except KeyError:
            return False
        return True

    def _take_back(self, name: str, fault: RuntimeError) -> None:
        """There is no thread for it: left to those that are at work, or failed if none is.

        The pool has it in its queue all the same, and one of its threads may have begun it.
        """
        if not self._claim(name):
            return
        self._running -= 1
        if self._running:
            self._limit = self._running
            self._waiting = {name: (), **self._waiting}
        else:
            self.faults[name] = MachineError(f"the system has no thread to give: {fault}")

    def _next(self) -> str | None:
        """Something to begin now; it counts as begun."""
        full = self._running == self._limit
        if full or self._cancel.cancelled or (self._fail_fast and self.faults):
            return None
        ready = (one for one, on in self._waiting.items() if self._done.issuperset(on))
        name = next(ready, None)
        if name is not None:
            del self._waiting[name]
            self._running += 1
        return name


def _in_a_row(needs: Needs) -> bool:
    names = list(needs)
    return all(needs[name] == (names[at],) for at, name in enumerate(names[1:]))


def _one_by_one(
    needs: Needs, do: Callable[[str], None], cancel: CancelToken, fail_fast: bool
) -> None:
    """In this thread."""
    faults: dict[str, BaseException] = {}
    waiting, done = dict(needs), set[str]()
    while not (fail_fast and faults):
        name = next((one for one, on in waiting.items() if done.issuperset(on)), None)
        if name is None:
            break
        cancel.check()
        del waiting[name]
        try:
            do(name)
        except (Cancelled, Parked, KeyboardInterrupt):
            raise  # what comes one after the other waits for a person, too
        except Exception as fault:
            faults[name] = fault
        else:
            done.add(name)
    _raise(needs, faults, cancel)


def _raise(needs: Needs, faults: dict[str, BaseException], cancel: CancelToken) -> None:
    cancel.check()
    ordered = [faults[name] for name in needs if name in faults]
    for fault in ordered:
        if not isinstance(fault, Parked):
            raise fault
    for fault in ordered:
        raise fault
