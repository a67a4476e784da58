"""A run is held by one process at a time: a lease in the journal, renewed while the work lasts."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from agentkit.cancel import CancelToken
from agentkit.errors import Fenced, MachineError

if TYPE_CHECKING:
    from agentkit.journal.leases import Lease, Leases

SIGNS = 3
"""Signs of life within the time of a lease."""


@contextmanager
def held(leases: Leases, run: str, cancel: CancelToken) -> Iterator[Lease]:
    """Hold a run while the block lasts; if it is lost in between, the work is cancelled.

    Raises `UserError` if another process holds it.
    """
    lease, over = leases.take(run), threading.Event()

    def beat() -> None:
        while not over.wait(leases.seconds / SIGNS):
            try:
                leases.renew(lease)
            except Fenced as lost:
                cancel.cancel(str(lost))
                return
            except MachineError:
                continue  # the run will say so itself when it writes

    heart = threading.Thread(target=beat, name=f"lease of {run}", daemon=True)
    heart.start()
    try:
        yield lease
    finally:
        over.set()
        heart.join()
        with suppress(MachineError):  # nobody renews it any more: it ends by itself
            leases.give_back(lease)
