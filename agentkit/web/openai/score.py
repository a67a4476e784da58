"""/v1/score: how likely a chat model finds an answer, or how near an embedder finds two texts.

{"model": ..., "messages": [...], "continuation": "yes"}    our own: log probabilities
{"model": ..., "text_1": "...", "text_2": ["...", "..."]}   vLLM's: cosines
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from pydantic import Field, model_validator

from agentkit.cancel import CancelToken
from agentkit.messages import Message
from agentkit.runtime import Runtime
from agentkit.web.openai import chat_answer
from agentkit.web.openai.body import Harmless
from agentkit.web.openai.conversation import Turn, conversation
from agentkit.web.openai.elsewhere import result
from agentkit.web.openai.refusals import Refused, Route
from agentkit.web.service import Here

PATH = "/v1/score"

router = APIRouter(tags=["openai"], route_class=Route)

MOST = 256
"""Texts of one request."""


class ScoreBody(Harmless):
    """Either a conversation with its continuations, or two texts."""

    model: str | None = None
    messages: list[Turn] | None = Field(None, min_length=1)
    continuation: str | list[str] | None = None
    text_1: str | list[str] | None = None
    text_2: str | list[str] | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> ScoreBody:
        kinds = (self.messages, self.continuation), (self.text_1, self.text_2)
        whole = [all(one is not None for one in kind) for kind in kinds]
        some = [any(one is not None for one in kind) for kind in kinds]
        if whole != some or sum(whole) != 1:
            raise ValueError("give messages and continuation, or text_1 and text_2")
        return self


@router.post(PATH)
async def score(asked: ScoreBody, here: Here, request: Request) -> dict[str, Any]:
    """A number for each continuation, or for each pair of texts."""
    roles = here.runtime.settings.roles
    if asked.messages is not None:
        name = asked.model or roles.chat
        prompt = conversation(asked.messages, name)
        wanted = _several(asked.continuation, "continuation")
        data, tokens = await result(
            request, lambda cancel: _likelihoods(here.runtime, name, prompt, wanted, cancel)
        )
    else:
        name = asked.model or roles.embed
        pairs = _pairs(_several(asked.text_1, "text_1"), _several(asked.text_2, "text_2"))
        data, tokens = await result(
            request, lambda cancel: _cosines(here.runtime, name, pairs, cancel)
        )
    here.metrics.answered(PATH, name, tokens)
    return {
        "object": "list",
        "model": name,
        "data": [{"index": n, "object": "score"} | one for n, one in enumerate(data)],
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }


def _likelihoods(
    runtime: Runtime,
    name: str,
    prompt: tuple[Message, ...],
    continuations: list[str],
    cancel: CancelToken,
) -> tuple[list[dict[str, Any]], int]:
    model, found, tokens = runtime.scorer(name), [], 0
    for continuation in continuations:
        scored = model.score(prompt, continuation, cancel)
        tokens += len(scored.tokens)
        told = [chat_answer.logprob(one.token, one.logprob) for one in scored.tokens]
        found.append({"score": scored.logprob, "tokens": told})
    return found, tokens + runtime.chat(name).count_tokens(prompt)


def _cosines(
    runtime: Runtime, name: str, pairs: list[tuple[str, str]], cancel: CancelToken
) -> tuple[list[dict[str, Any]], int]:
    model = runtime.embedder(name)
    texts = list(dict.fromkeys(text for pair in pairs for text in pair))
    vectors = dict(zip(texts, model.embed(texts, cancel), strict=True))
    found = [{"score": float(vectors[one] @ vectors[other])} for one, other in pairs]
    return found, model.count_tokens(texts)


def _several(given: str | list[str] | None, param: str) -> list[str]:
    texts = [given] if isinstance(given, str) else list(given or ())
    if not 0 < len(texts) <= MOST:
        raise Refused(param, f"{param!r} has to have between 1 and {MOST} texts")
    return texts


def _pairs(ones: list[str], others: list[str]) -> list[tuple[str, str]]:
    """As vLLM does: one with each, or each with its own."""
    if len(ones) == 1:
        ones = ones * len(others)
    if len(ones) != len(others):
        raise Refused("text_2", f"text_1 has {len(ones)} texts and text_2 {len(others)}")
    return list(zip(ones, others, strict=True))
