"""What happens in a run is told: to the journal first, then to whoever listens.

So nobody hears of what is not on record.  Secrets are taken out before, and what is too large for
the journal goes into files of the run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from agentkit.events import Event
from agentkit.runtime.secrets import Masks
from agentkit.runtime.spilled import Spill

if TYPE_CHECKING:
    from agentkit.journal import Journal
    from agentkit.journal.leases import Lease
    from agentkit.workflow.report import Publish

Subscriber = Callable[[Event], None]


def publisher(
    journal: Journal,
    spill: Spill,
    subscribers: tuple[Subscriber, ...],
    lease: Lease | None = None,
    hidden: Iterable[str] = (),
) -> Publish:
    """Tells the journal first, then the others; nobody is told what is `hidden`."""
    masks, waiting = Masks.of(hidden), list[Event]()

    def publish(event: Event, more: bool = False) -> None:
        waiting.append(masks.event(event))
        if more:
            return
        told, waiting[:] = [(one, spill.kept(one)) for one in waiting], []
        recorded = [one for _, kept in told for one in kept]
        if len(recorded) == 1:
            journal.record(recorded[0], lease)
        else:
            journal.record_all(recorded, lease)
        for whole, (*files, _) in told:
            for one in (*files, whole):
                for listener in subscribers:
                    listener(one)

    return publish
