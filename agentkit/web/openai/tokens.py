"""/tokenize and /detokenize, in the words of vLLM (`prompt`) and of llama-server (`content`)."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from pydantic import Field, model_validator

from agentkit.cancel import CancelToken
from agentkit.web.openai.body import Body
from agentkit.web.openai.chat_body import Tool
from agentkit.web.openai.conversation import Turn, conversation, tools
from agentkit.web.openai.elsewhere import result
from agentkit.web.openai.refusals import Route
from agentkit.web.service import Here

router = APIRouter(tags=["openai"], route_class=Route)


class TokenizeBody(Body):
    """A text or a conversation."""

    model: str | None = None
    prompt: str | None = None
    content: str | None = None
    messages: list[Turn] | None = Field(None, min_length=1)
    tools: list[Tool] = Field(default_factory=list)
    add_special_tokens: bool = True
    add_special: bool = True
    """The same for llama-server: whether the text begins a prompt."""
    parse_special: bool = True
    """Harmless: markers are always read as such."""
    return_token_strs: bool = False
    with_pieces: bool = False

    @model_validator(mode="after")
    def _one(self) -> TokenizeBody:
        if sum(one is not None for one in (self.prompt, self.content, self.messages)) != 1:
            raise ValueError("give one of prompt, content and messages")
        return self


class DetokenizeBody(Body):
    """Tokens."""

    model: str | None = None
    tokens: list[int]


@router.post("/tokenize")
async def tokenize(asked: TokenizeBody, here: Here, request: Request) -> dict[str, Any]:
    """The tokens of a text, or of a conversation as the model reads it."""
    name = asked.model or here.runtime.settings.roles.chat

    def work(cancel: CancelToken) -> dict[str, Any]:
        tokenizer = here.runtime.tokenizer(name)
        if asked.messages is not None:
            known = tools([tool.function for tool in asked.tools], None, "tools")
            tokens = tokenizer.prompt(conversation(asked.messages, name), known)
        else:
            alone = asked.add_special_tokens and asked.add_special
            tokens = tokenizer.tokens(asked.prompt or asked.content or "", alone=alone)
        found: dict[str, Any] = {"count": len(tokens), "tokens": tokens}
        if asked.return_token_strs:
            found["token_strs"] = [tokenizer.text([token]) for token in tokens]
        if asked.with_pieces:
            found["tokens"] = [{"id": one, "piece": tokenizer.text([one])} for one in tokens]
        return found

    return await result(request, work)


@router.post("/detokenize")
async def detokenize(asked: DetokenizeBody, here: Here, request: Request) -> dict[str, Any]:
    """The text of tokens."""
    name = asked.model or here.runtime.settings.roles.chat
    text = await result(request, lambda cancel: here.runtime.tokenizer(name).text(asked.tokens))
    return {"prompt": text, "content": text}
