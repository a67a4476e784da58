"""/v1/responses: the subset that agents use, and nothing kept between two requests."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from agentkit.web.openai.elsewhere import working
from agentkit.web.openai.happenings import Happenings
from agentkit.web.openai.items import ResponseBody
from agentkit.web.openai.refusals import Route
from agentkit.web.openai.streams import streamed
from agentkit.web.service import Here

router = APIRouter(tags=["openai"], route_class=Route)


@router.post("/v1/responses", response_model=None)
async def respond(asked: ResponseBody, here: Here, request: Request) -> Response:
    """What a model says to a list of items."""
    name = asked.model or here.runtime.settings.roles.chat
    wanted = asked.request(name)
    happenings = Happenings(asked, name)
    if asked.stream:
        return await streamed(
            lambda cancel: here.runtime.chat(name).stream(wanted, cancel),
            happenings.written,
            opening=happenings.opening,
            failure=happenings.failure,
        )
    async with working(
        request, lambda cancel: here.runtime.chat(name).stream(wanted, cancel)
    ) as work:
        for delta in await work.everything():
            for _ in happenings.read(delta):
                pass
    return JSONResponse(happenings.response)
