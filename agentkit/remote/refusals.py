"""What a server says no with, sorted by whose fault it is.

The numbers of a prompt that is too long stand in fields of their own (llama-server) or in the
sentence (OpenAI, vLLM).
"""

from __future__ import annotations

import re

from agentkit.errors import AgentkitError, ModelError, PromptTooLong, UserError
from agentkit.remote.facts import unknown_model
from agentkit.remote.server import Refused

_CONTEXT = re.compile(
    r"(?:maximum context length is|maximum model length of|context length is only) (\d+)"
)
_PROMPT = re.compile(r"(\d+) (?:in the messages|input tokens)|prompt \(length (\d+)\)")


def explain(
    refused: Refused, *, url: str, model: str, known: tuple[str, ...] = (), reserved: int = 1
) -> AgentkitError:
    """The error to raise; `reserved` is the room that the answer was to have, in tokens."""
    status, words = refused.status, refused.words
    said = f": {words}" if words else ""
    if too_long := _too_long(refused, reserved):
        return too_long
    if status in (401, 403):
        return UserError(
            f"{url} does not let us in{said}",
            hint="set the token that it wants: token_env in settings names the variable with it",
        )
    if status == 404:
        if (model and model in words) or (known and model not in known):
            return unknown_model(url, model, known)
        return UserError(
            f"{url} is not the address of an OpenAI-compatible server{said}",
            hint="it ends in /v1: http://127.0.0.1:8080/v1",
        )
    if 300 <= status < 400:
        return UserError(f"{url} sends us elsewhere{said}", hint="set that address in settings")
    if 400 <= status < 500:
        return UserError(f"{url} refused the request{said}")
    return ModelError(f"{url} failed ({status}){said}", hint="its own log may say more")


def _too_long(refused: Refused, reserved: int) -> PromptTooLong | None:
    details, words = refused.details, refused.words
    prompt, context = details.get("n_prompt_tokens"), details.get("n_ctx")
    if refused.status == 400 and not isinstance(prompt, int):
        found, limit = _PROMPT.search(words), _CONTEXT.search(words)
        if found and limit:
            prompt, context = int(found[1] or found[2]), int(limit[1])
    if not isinstance(prompt, int) or not isinstance(context, int):
        return None
    return PromptTooLong(
        prompt_tokens=prompt,
        reserved=max(reserved, context - prompt + 1),  # it does not fit, whatever we reserved
        context_tokens=context,
    )
