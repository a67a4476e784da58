"""Server-sent events, as clients of this API read them."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Any, TypeVar

from fastapi import Response
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from agentkit.cancel import CancelToken
from agentkit.errors import AgentkitError
from agentkit.web.openai.elsewhere import Elsewhere
from agentkit.web.openai.refusals import explained
from agentkit.web.openai.shapes import STREAM

STILL_HERE = ": still here\n\n"
DONE = "data: [DONE]\n\n"

T = TypeVar("T")

log = logging.getLogger(__name__)


def data(value: Any) -> str:
    """An event without a name."""
    return f"data: {compact(value)}\n\n"


def named(value: dict[str, Any]) -> str:
    """An event with the name that it has in `type`."""
    return f"event: {value['type']}\ndata: {compact(value)}\n\n"


compact = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
"""JSON on one line."""


def chunks_of(head: dict[str, Any]) -> Callable[[dict[str, Any]], str]:
    """Writes the chunks of an answer, of one choice each; what all have in common only once."""
    begun = f'data: {compact(head)[:-1]},"choices":['
    return lambda choice: f"{begun}{compact(choice)}]}}\n\n"


class Streamed(StreamingResponse):
    """Cancels the work when it ends, also where a client was gone before the first piece."""

    def __init__(self, work: Elsewhere[T], events: AsyncIterator[str]) -> None:
        about = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        super().__init__(events, media_type=STREAM, headers=about)
        self._work = work

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See Starlette."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._work.cancel()


async def streamed(
    begin: Callable[[CancelToken], Iterator[T]],
    written: Callable[[Iterable[T]], str],
    *,
    opening: str = "",
    closing: Callable[[], str] = lambda: "",
    failure: Callable[[dict[str, Any]], str] = data,
) -> Response:
    """The pieces of an iterator as `written`; what goes wrong before the first one is raised.

    Later errors are an event of their own.  A client that goes away cancels the work.
    """
    work = Elsewhere(begin)
    try:
        await work.started()
    except BaseException:
        work.cancel()
        raise

    async def events() -> AsyncIterator[str]:
        try:
            if opening:
                yield opening
            async for pieces in work.pieces():
                yield written(pieces) if pieces else STILL_HERE
            yield closing()
        except AgentkitError as error:
            yield failure(explained(error)[1])
        except Exception:
            log.exception("an answer broke off")
            said = "this server made a mistake: its log says which"
            yield failure({"error": {"message": said, "type": "server_error",
                                     "param": None, "code": None}})  # fmt: skip

    return Streamed(work, events())
