"""Steps that the process dies in: not begun again for ever, and nobody pays for his neighbour.

A death counts for every step that was at work, in all runs of the process, since nobody knows
which of them it was.  So that those beside it are not stopped, too, steps that one more death would
stop are done one at a time: the one that kills dies alone then.  A group and a workflow within do
nothing themselves: what is within them counts.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from agentkit.cancel import CancelToken
from agentkit.errors import MachineError

MOST = 3
"""A step in which the process died so often is not begun again by itself."""

LOOK = 0.2
"""Seconds between two looks at a cancel, while another step has its last chance."""

_LAST_CHANCE = threading.Lock()


@contextmanager
def survived(deaths: int, run: str, step: str, cancel: CancelToken) -> Iterator[None]:
    """Let a step be done, alone among its like if the next death would be its last.

    Raises `MachineError` if there were too many already, `Cancelled` while it waits.
    """
    if deaths >= MOST:
        raise MachineError(
            f"the process died {deaths} times while this step was at work",
            hint=f"agentkit runs retry {run} --from {step}",
        )
    if deaths < MOST - 1:
        yield
        return
    while not _LAST_CHANCE.acquire(timeout=LOOK):
        cancel.check()
    try:
        yield
    finally:
        _LAST_CHANCE.release()
