"""What comes back from /v1/chat/completions: a whole answer, or its chunks."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Sequence
from typing import Any

from agentkit import __version__
from agentkit.errors import ModelError
from agentkit.messages import CallDelta, Completion, Delta, TokenLogprob
from agentkit.web.openai.streams import DONE, chunks_of, data

FINGERPRINT = f"agentkit-{__version__}"


def completions(deltas: Iterable[Delta]) -> list[Completion]:
    """The answers, by sample.  Raises `ModelError` if one of them broke off."""
    ended = {one.sample: one.completion for one in deltas if one.completion is not None}
    for completion in ended.values():
        check_whole(completion)
    return [ended[sample] for sample in sorted(ended)]


def check_whole(completion: Completion) -> None:
    """Raise `ModelError` for an answer that was cancelled: nobody who still listens did that."""
    if completion.finish_reason == "cancelled":
        raise ModelError(
            f"the model {completion.model!r} was unloaded while it answered", hint="ask again"
        )


def usage(answers: Sequence[Completion]) -> dict[str, Any]:
    """What the answers to one prompt cost."""
    read = max((one.usage.prompt_tokens for one in answers), default=0)
    cached = answers[0].usage.cached_tokens if answers else 0
    written = sum(one.usage.completion_tokens for one in answers)
    return {
        "prompt_tokens": read,
        "completion_tokens": written,
        "total_tokens": read + written,
        "prompt_tokens_details": {"cached_tokens": cached},
    }


def logprob(token: bytes, value: float) -> dict[str, Any]:
    """A token with its probability; half a character is a question mark, `bytes` are exact."""
    return {"token": token.decode("utf-8", "replace"), "logprob": value, "bytes": list(token)}


def logprobs(tokens: Iterable[TokenLogprob]) -> dict[str, Any]:
    """Those of an answer, or of a piece of it."""
    return {
        "content": [
            logprob(one.token, one.logprob)
            | {"top_logprobs": [logprob(*other) for other in one.top]}
            for one in tokens
        ],
        "refusal": None,
    }


def head(kind: str, object_: str, model: str) -> dict[str, Any]:
    """What an answer and all of its chunks begin with."""
    return {
        "id": f"{kind}-{uuid.uuid4().hex}",
        "object": object_,
        "created": int(time.time()),
        "model": model,
        "system_fingerprint": FINGERPRINT,
    }


def whole(answers: Sequence[Completion], model: str, *, with_logprobs: bool) -> dict[str, Any]:
    """All of it at once."""
    return head("chatcmpl", "chat.completion", model) | {
        "choices": [
            {
                "index": index,
                "message": _message(one),
                "finish_reason": reason(one),
                "logprobs": logprobs(one.logprobs) if with_logprobs else None,
            }
            for index, one in enumerate(answers)
        ],
        "usage": usage(answers),
    }


def reason(completion: Completion) -> str:
    """Why an answer ended."""
    return "length" if completion.finish_reason == "deadline" else completion.finish_reason


def _message(completion: Completion) -> dict[str, Any]:
    message: dict[str, Any] = {
        "role": "assistant",
        "content": completion.text if completion.text or not completion.tool_calls else None,
        "refusal": None,
    }
    if completion.reasoning:
        message["reasoning_content"] = completion.reasoning
    if completion.tool_calls:
        message["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call in completion.tool_calls
        ]
    return message


class Chunks:
    """The chunks of one request, as they are written."""

    def __init__(self, model: str, *, samples: int, with_logprobs: bool, with_usage: bool) -> None:
        self._head = head("chatcmpl", "chat.completion.chunk", model)
        if with_usage:
            self._head["usage"] = None
        self._written = chunks_of(self._head)
        self._samples = samples
        self._with_logprobs = with_logprobs
        self._with_usage = with_usage
        self._ended: list[Completion] = []

    @property
    def opening(self) -> str:
        """Who speaks."""
        said = {"role": "assistant", "content": "", "refusal": None}
        return "".join(self._chunk(sample, said) for sample in range(self._samples))

    def written(self, deltas: Iterable[Delta]) -> str:
        """What is to be told of these."""
        return "".join(map(self._one, deltas))

    def closing(self) -> str:
        """What it cost, if that was asked for, and that it is all."""
        if not self._with_usage:
            return DONE
        return data(self._head | {"choices": [], "usage": usage(self._ended)}) + DONE

    def _one(self, delta: Delta) -> str:
        if delta.completion is not None:
            check_whole(delta.completion)
            self._ended.append(delta.completion)
            return self._chunk(delta.sample, {}, finish=reason(delta.completion))
        said: dict[str, Any] = {}
        if delta.text or (delta.logprobs and not delta.call):
            said["content"] = delta.text
        if delta.reasoning:
            said["reasoning_content"] = delta.reasoning
        if delta.call is not None:
            said["tool_calls"] = [_call(delta.call)]
        return self._chunk(delta.sample, said, delta.logprobs) if said else ""

    def _chunk(
        self,
        sample: int,
        said: dict[str, Any],
        tokens: Sequence[TokenLogprob] = (),
        finish: str | None = None,
    ) -> str:
        told = logprobs(tokens) if self._with_logprobs and tokens else None
        choice = {"index": sample, "delta": said, "logprobs": told, "finish_reason": finish}
        return self._written(choice)


def _call(call: CallDelta) -> dict[str, Any]:
    """The first piece says which tool is called; later ones have arguments only."""
    if not call.id:
        return {"index": call.index, "function": {"arguments": call.arguments}}
    return {
        "index": call.index,
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": call.arguments},
    }
