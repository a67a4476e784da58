"""One call, from its arguments to what the client is told.

It goes through the runtime like every other: within what settings grant where nobody is there to
ask, and into the journal.  A question to a person is an error with the command that answers it; the
same call then finds the answer.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agentkit import events as ev
from agentkit.cancel import CancelToken
from agentkit.errors import AgentkitError, ApprovalNeeded, Cancelled
from agentkit.mcp.offers import Offer
from agentkit.mcp.progress import Gauge, Tell
from agentkit.outcomes import Failed, NeedsApproval, Retry, Returned
from agentkit.runtime import Runtime

ASKER = "mcp"
"""In whose name calls ask: an answer counts for the next same call, whoever makes it."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a client is told: `texts`, and `data` where there is an object of data."""

    texts: tuple[str, ...]
    data: dict[str, Any] | None = None
    failed: bool = False


@dataclass
class Calls:
    """Makes calls.  May be used from any thread."""

    runtime: Runtime
    _parked: dict[str, str] = field(default_factory=dict)
    """Runs that wait for a person, by what was asked for: the same call goes on with them."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def make(
        self, offer: Offer, arguments: Mapping[str, Any], cancel: CancelToken, tell: Tell
    ) -> Told:
        """Make a call.  Raises `Cancelled`, and what is a mistake of ours."""
        try:
            if offer.workflow:
                return self._run(offer, arguments, cancel, tell)
            return self._call(offer, arguments, cancel, tell)
        except Cancelled:
            raise
        except AgentkitError as error:
            hint = f"\n{error.hint}" if error.hint else ""
            return Told((f"{error}{hint}",), failed=True)

    # -- tools -----------------------------------------------------------------------------------

    def _call(
        self, offer: Offer, arguments: Mapping[str, Any], cancel: CancelToken, tell: Tell
    ) -> Told:
        watch = _Watch()
        _, outcome = self.runtime.call_tool(
            offer.name,
            arguments,
            profile="unattended",
            asker=ASKER,
            cancel=cancel,
            subscribers=(watch, Gauge(tell)),
        )
        match outcome:
            case Returned(value):
                return self._told(value, watch)
            case Retry(said) | Failed(said):
                return Told((said,), failed=True)
            case NeedsApproval(request, reason):
                return self._waits(request, reason)

    # -- workflows -------------------------------------------------------------------------------

    def _run(
        self, offer: Offer, arguments: Mapping[str, Any], cancel: CancelToken, tell: Tell
    ) -> Told:
        asked = json.dumps([offer.workflow, arguments], sort_keys=True)
        parked = self._waiting(asked)
        workflow, watch = self.runtime.workflow(offer.workflow), _Watch()
        given: dict[str, Any] = {
            "profile": "unattended",
            "handed": False,  # the paths are another program's choice, not a person's
            "cancel": cancel,
            "subscribers": (watch, Gauge(tell, len(workflow.spec.steps))),
        }
        try:
            if parked is not None:
                outputs = self.runtime.resume(parked, **given)
            else:
                outputs = self.runtime.run(workflow, arguments, **given)
        except ApprovalNeeded as need:
            with self._lock:
                self._parked[asked] = watch.run
            return self._waits(need.request, str(need))
        return self._told(outputs, watch)

    def _waiting(self, asked: str) -> str | None:
        """The run that waits for the answer to this very call, if nobody went on with it."""
        with self._lock:
            run = self._parked.pop(asked, None)
        return run if run and self.runtime.journal.run(run).status == "parked" else None

    # -- what the client is told -----------------------------------------------------------------

    def _told(self, value: Any, watch: _Watch) -> Told:
        """A value, and where the files are that were made on the way."""
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)
        folder = self.runtime.settings.runs_folder / watch.run
        made = (f"wrote {folder / name}" for name in dict.fromkeys(watch.made))
        return Told((text, *made), value if isinstance(value, dict) else None)

    def _waits(self, request: str, reason: str) -> Told:
        question = self.runtime.journal.desk.find(request).question
        command = f"answer {request} TEXT" if question else f"approve {request}"
        return Told(
            (
                f"{reason}\nThis waits for a person, as request {request}. They can see it with "
                f"`agentkit approvals show {request}` and allow it with "
                f"`agentkit approvals {command}`; then make the same call again.",
            ),
            failed=True,
        )


class _Watch:
    """A subscriber that remembers which run it is, and the files that it makes."""

    def __init__(self) -> None:
        self.run = ""
        self.made: list[str] = []

    def __call__(self, event: ev.Event) -> None:
        self.run = event.run
        if isinstance(event, ev.ArtifactMade):
            self.made.append(event.path)
