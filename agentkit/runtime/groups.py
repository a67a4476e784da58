"""`concurrency`: how many runs of one group there are at a time, and what becomes of one more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from agentkit.cancel import CancelToken
from agentkit.errors import Skipped, UserError
from agentkit.runtime.places import Places
from agentkit.workflow.expressions import as_text
from agentkit.workflow.frame import Frame
from agentkit.workflow.load import LoadedWorkflow


@contextmanager
def admitted(
    workflow: LoadedWorkflow,
    facts: dict[str, object],
    run: str,
    places: Places,
    cancel: CancelToken,
    ask_to_end: Callable[[str], None],
) -> Iterator[None]:
    """Hold a place in the group of a run while the block lasts.

    `ask_to_end` tells another run to go.  Raises `Skipped`, `UserError` or `Cancelled` where there
    is none.
    """
    said = workflow.spec.concurrency
    if said is None:
        yield
        return
    rendered = Frame(cancel, facts).render(said.group, ("concurrency", "group"))
    name, limit = f"group {as_text(rendered)}", said.limit
    lock = places.free(name, limit, run)
    if lock is None:
        holders = places.holders(name, limit)
        others = ", ".join(holders)
        if said.on_conflict == "skip":
            raise Skipped(f"not run: {others} of the same group is at work")
        if said.on_conflict == "fail":
            hint = f"agentkit runs cancel {holders[0]}" if holders else None
            raise UserError(f"{others} of the same group is at work", hint=hint)
        if said.on_conflict == "cancel_running" and holders:
            ask_to_end(holders[0])
        with places.taken(name, limit, run, cancel):
            yield
        return
    try:
        yield
    finally:
        lock.release()
