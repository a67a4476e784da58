"""Do things that wait for each other, as many at a time as may be, on threads.

The order is a mapping from each name to what it waits for.  What fails costs what waits for it and
nothing else; the rest comes to its end before the failure is told.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from agentkit.cancel import CancelToken
from agentkit.errors import Cancelled, Parked
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
    faults: dict[str, BaseException] = {}
    waiting, done = dict(needs), set[str]()
    running: dict[Future[None], str] = {}
    with ThreadPoolExecutor(limit, "steps") as pool:
        try:
            while True:
                if not cancel.cancelled and not (fail_fast and faults):
                    for name in [one for one, on in waiting.items() if done.issuperset(on)]:
                        if len(running) < limit:
                            del waiting[name]
                            running[pool.submit(do, name)] = name
                if not running:
                    break
                for future in wait(running, LOOK, FIRST_COMPLETED).done:
                    name, fault = running.pop(future), future.exception()
                    if fault is None:
                        done.add(name)
                    else:
                        faults[name] = fault
        except KeyboardInterrupt:
            cancel.cancel("interrupted")
            raise
    _raise(needs, faults, cancel)


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
