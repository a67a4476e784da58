"""/v1/chat/completions."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from agentkit.web.openai import chat_answer
from agentkit.web.openai.chat_body import ChatBody
from agentkit.web.openai.elsewhere import working
from agentkit.web.openai.refusals import Route
from agentkit.web.openai.streams import streamed
from agentkit.web.service import Here

router = APIRouter(tags=["openai"], route_class=Route)


@router.post("/v1/chat/completions", response_model=None)
async def chat(asked: ChatBody, here: Here, request: Request) -> Response:
    """The next turn of a conversation."""
    name = asked.model or here.runtime.settings.roles.chat
    wanted = asked.request(name)
    if asked.stream:
        chunks = chat_answer.Chunks(
            name,
            samples=asked.n,
            with_logprobs=asked.logprobs,
            with_usage=asked.with_usage,
        )
        return await streamed(
            lambda cancel: here.runtime.chat(name).stream(wanted, cancel),
            chunks.written,
            opening=chunks.opening,
            closing=chunks.closing,
        )
    async with working(
        request, lambda cancel: here.runtime.chat(name).stream(wanted, cancel)
    ) as work:
        answers = chat_answer.completions(await work.everything())
    return JSONResponse(chat_answer.whole(answers, name, with_logprobs=asked.logprobs))
