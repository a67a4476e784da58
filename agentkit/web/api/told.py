"""Work that a caller waits for: server-sent events say how far it is, the last one what came of it.

`progress` is the newest of what the work tells, `done` its result, `error` has the status that an
answer would have had.  A caller who goes away ends the work.
"""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from fastapi import Response
from fastapi.encoders import jsonable_encoder
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from agentkit.cancel import CancelToken
from agentkit.errors import AgentkitError, MachineError
from agentkit.ports import Progress
from agentkit.web import problems
from agentkit.web.openai.elsewhere import Elsewhere, pushed

Work = Callable[[Progress, CancelToken], Any]
"""Tells how far it is, looks at the token, and gives what came of it."""

Event = tuple[str, Any]
STILL_HERE = ": still here\n\n"

log = logging.getLogger(__name__)


def told(work: Work) -> Response:
    """The work begins with the answer."""
    return _Told(work)


class _Told(StreamingResponse):
    """Begins the work on the loop, and cancels it when it ends, however it does."""

    def __init__(self, work: Work) -> None:
        about = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        super().__init__(self._events(), media_type="text/event-stream", headers=about)
        self._work = work

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See Starlette."""
        self._elsewhere = Elsewhere(lambda cancel: _happening(self._work, cancel))
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._elsewhere.cancel()

    async def _events(self) -> AsyncIterator[str]:
        try:
            async for pieces in self._elsewhere.pieces():
                yield "".join(map(_written, _newest(pieces))) or STILL_HERE
        except AgentkitError as error:
            yield _failed(error)
        except Exception:
            log.exception("work broke off")
            said = "this is a mistake of ours; the log of the service says more"
            yield _failed(MachineError(said, hint="agentkit service logs"))


def _happening(work: Work, cancel: CancelToken) -> Iterator[Event]:
    def carry_out(tell: Callable[[Event], None]) -> None:
        def progress(done: float, total: float | None, unit: str) -> None:
            tell(("progress", {"done": done, "total": total, "unit": unit}))

        tell(("done", work(progress, cancel)))

    return pushed(carry_out)


def _newest(pieces: list[Event]) -> list[Event]:
    """Of progress only the last: nobody reads what is over."""
    progress = [one for one in pieces if one[0] == "progress"]
    return progress[-1:] + [one for one in pieces if one[0] != "progress"]


def _written(event: Event) -> str:
    kind, about = event
    return f"event: {kind}\ndata: {json.dumps(jsonable_encoder(about), ensure_ascii=False)}\n\n"


def _failed(error: AgentkitError) -> str:
    return _written(("error", {"status": problems.status(error), **problems.content(error)}))
