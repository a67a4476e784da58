"""A model is asked, and what that costs is counted."""

from __future__ import annotations

from collections.abc import Iterator

from agentkit.cancel import CancelToken
from agentkit.messages import ChatRequest, Completion, Delta
from agentkit.web.openai import chat_answer
from agentkit.web.service import Service


def asked(
    here: Service, route: str, model: str, request: ChatRequest, cancel: CancelToken
) -> Iterator[Delta]:
    """The answer, piece by piece.  Raises what `ChatModel.stream` raises, at once."""
    return _counted(here, route, model, here.runtime.chat(model).stream(request, cancel))


def _counted(here: Service, route: str, model: str, deltas: Iterator[Delta]) -> Iterator[Delta]:
    ended: list[Completion] = []
    try:
        for delta in deltas:
            if delta.completion is not None:
                ended.append(delta.completion)
            yield delta
    finally:
        cost = chat_answer.usage(ended)
        here.metrics.answered(
            route,
            model,
            cost["prompt_tokens"],
            cost["prompt_tokens_details"]["cached_tokens"],
            cost["completion_tokens"],
        )
