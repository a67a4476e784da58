"""The API that all clients of models speak: OpenAI's, and what llama-server and vLLM add to it.

models       which models there are
chat         /v1/chat/completions; `chat_body` is its request, `chat_answer` what comes back
completions  /v1/completions: a plain text goes on
responses    /v1/responses; `items` is its request, `happenings` the events of its stream
embeddings   /v1/embeddings
audio        /v1/audio/transcriptions
tokens       /tokenize and /detokenize
score        /v1/score: how likely a model finds an answer; how near two texts are
conversation turns and tools as a client writes them
asking       a model is asked, and what that costs is counted
pictured     pictures that come with a request
body         what requests have in common, and which parameters are harmless
refusals     errors in OpenAI's shape, with the parameter that is to blame
elsewhere    blocking work on threads of its own, for the loop
streams      server-sent events
shapes       how answers look, for /openapi.json
"""

from __future__ import annotations

from fastapi import APIRouter

from agentkit.web.openai import (
    audio,
    chat,
    completions,
    embeddings,
    models,
    responses,
    score,
    tokens,
)


def routers(upload: int) -> tuple[APIRouter, ...]:
    """All of them; `upload`: bytes of a recording, at most."""
    return (
        models.router,
        chat.router,
        completions.router,
        responses.router,
        embeddings.router,
        audio.router(upload),
        tokens.router,
        score.router,
    )
