"""/v1/responses: the subset that agents use, and nothing kept between two requests."""

from __future__ import annotations

from collections.abc import Iterator

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from agentkit.cancel import CancelToken
from agentkit.messages import Delta
from agentkit.web.openai.asking import asked
from agentkit.web.openai.elsewhere import working
from agentkit.web.openai.happenings import Happenings
from agentkit.web.openai.items import ResponseBody
from agentkit.web.openai.refusals import Route
from agentkit.web.openai.shapes import RESPONSE, STREAM, answers
from agentkit.web.openai.streams import streamed
from agentkit.web.service import Here

PATH = "/v1/responses"

router = APIRouter(tags=["openai"], route_class=Route)


@router.post(
    PATH,
    response_model=None,
    openapi_extra={"responses": answers(RESPONSE, STREAM)},
)
async def respond(body: ResponseBody, here: Here, request: Request) -> Response:
    """What a model says to a list of items."""
    name = body.model or here.runtime.settings.roles.chat
    wanted = body.request(name, sees=here.runtime.sees(name))
    happenings = Happenings(body, name)

    def begin(cancel: CancelToken) -> Iterator[Delta]:
        return asked(here, PATH, name, wanted, cancel)

    if body.stream:
        return await streamed(
            begin,
            happenings.written,
            opening=happenings.opening,
            failure=happenings.failure,
        )
    async with working(request, begin) as work:
        for delta in await work.everything():
            for _ in happenings.read(delta):
                pass
    return JSONResponse(happenings.response)
