"""/v1/chat/completions."""

from __future__ import annotations

from collections.abc import Iterator

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from agentkit.cancel import CancelToken
from agentkit.messages import Delta
from agentkit.web.openai import chat_answer
from agentkit.web.openai.asking import asked
from agentkit.web.openai.chat_body import ChatBody
from agentkit.web.openai.elsewhere import working
from agentkit.web.openai.refusals import Route
from agentkit.web.openai.shapes import CHAT, STREAM, answers
from agentkit.web.openai.streams import streamed
from agentkit.web.service import Here

PATH = "/v1/chat/completions"

router = APIRouter(tags=["openai"], route_class=Route)


@router.post(
    PATH,
    response_model=None,
    openapi_extra={"responses": answers(CHAT, STREAM)},
)
async def chat(body: ChatBody, here: Here, request: Request) -> Response:
    """The next turn of a conversation."""
    name = body.model or here.runtime.settings.roles.chat
    wanted = body.request(name, sees=here.runtime.sees(name))

    def begin(cancel: CancelToken) -> Iterator[Delta]:
        return asked(here, PATH, name, wanted, cancel)

    if body.stream:
        chunks = chat_answer.Chunks(
            name,
            samples=body.n,
            with_logprobs=body.logprobs,
            with_usage=body.with_usage,
        )
        return await streamed(
            begin,
            chunks.written,
            opening=chunks.opening,
            closing=chunks.closing,
        )
    async with working(request, begin) as work:
        answers = chat_answer.completions(await work.everything())
    return JSONResponse(chat_answer.whole(answers, name, with_logprobs=body.logprobs))
