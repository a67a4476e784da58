"""The `ChatModel` adapter on any OpenAI-compatible server."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from agentkit.cancel import CancelToken
from agentkit.errors import AgentkitError, ModelError, PromptTooLong, UserError
from agentkit.messages import ChatRequest, Delta, FinishReason, Message, ToolSchema
from agentkit.remote import wire
from agentkit.remote.answer import Answer
from agentkit.remote.dialects import Flavour
from agentkit.remote.facts import Facts, learn
from agentkit.remote.refusals import explain
from agentkit.remote.server import Interrupted, Refused, Server, Stop, TryAgain
from agentkit.remote.shapes import Plain

COMPLETIONS = "chat/completions"

COUNTING: set[Flavour] = {"llama.cpp", "vllm"}
"""Servers that say how many tokens a prompt has."""

BYTES_PER_TOKEN = 3
"""For servers that do not count for us: rather too many tokens than too few."""

TEMPLATE_TOKENS = 1024
"""More than a chat template adds to a conversation, apart from what it adds to each message."""

MESSAGE_TOKENS = 16

IMAGE_TOKENS = 1024
"""About what a picture costs; no server counts them beforehand."""


class RemoteChatModel:
    """A model on a llama-server, Ollama, vLLM, LM Studio or anything else that speaks like OpenAI.

    `url` is the server's address, with or without `/v1`; `model` its name there, None for the only
    one; `flavour` what kind of server it is, None to believe what it says.  `context_tokens` has to
    be given where the server does not tell it (Ollama does not, and silently cuts what is longer).
    `retries` is how often a request is sent again while the server is busy, still loads its model
    or drops the connection, and never once a piece of the answer was given out.  `read_seconds` is
    how long it may be silent.  Nothing is asked of the server before it is needed.

    A prompt is counted by the server, where it has a tokenizer to ask (llama-server, vLLM), and
    only if it might not fit; otherwise `count_tokens` is an estimate that errs on the long side,
    and the server decides.  Seeds are taken modulo 2**31.  `priority` and `forced_tokens` do not
    cross the network.

    Raises `UserError` for an address or a token that cannot be one.
    """

    def __init__(
        self,
        url: str,
        model: str | None = None,
        *,
        name: str,
        token: str | None = None,
        context_tokens: int | None = None,
        flavour: Flavour | None = None,
        connect_seconds: float = 5.0,
        read_seconds: float = 300.0,
        retries: int = 5,
    ) -> None:
        self.name = name
        self._server = Server(
            url,
            token=token,
            connect_seconds=connect_seconds,
            read_seconds=read_seconds,
            retries=retries,
        )
        self._model = model
        self._flavour = flavour
        self._context_tokens = context_tokens
        self._facts: Facts | None = None
        self._learning = threading.Lock()
        self._closed = False

    def __repr__(self) -> str:
        return f"RemoteChatModel({self._server.url!r}, {self._model!r}, name={self.name!r})"

    @property
    def context_tokens(self) -> int:
        """What is set, or else what the server says.  Raises `UserError` if neither is known."""
        known = self._context_tokens or self._learn(self._only_closed).context_tokens
        if known is None:
            raise UserError(
                f"{self._server.url} does not say how much context {self.name!r} has",
                hint="say with how much the server was started: "
                f"remotes.{self.name}.context_tokens in settings",
            )
        return known

    def count_tokens(self, messages: Sequence[Message], tools: Sequence[ToolSchema] = ()) -> int:
        """Length of the rendered prompt, counted by the server, or an estimate."""
        self._check_open()
        return self._count(messages, tools, self._only_closed)

    def stream(self, request: ChatRequest, cancel: CancelToken | None = None) -> Iterator[Delta]:
        """See `ports.ChatModel.stream`; also raises `MachineError` if the server is not there.

        What is wrong with a request is said by this call; what only the server finds out, by the
        first step of the iterator.
        """
        self._check_open()
        wire.check(request)
        stop = self._stop(request, cancel or CancelToken())
        try:
            if reason := stop():
                raise Interrupted(reason)
            facts = self._learn(stop)
            asked = wire.asked(request, facts)
            self._check_fits(request, stop)
        except Interrupted as interrupted:
            nothing = Answer(self.name, request, [Plain() for _ in range(request.samples)])
            return nothing.completions(interrupted.reason)
        return self._answer(request, asked, facts, stop)

    def warm(self, messages: Sequence[Message], tools: Sequence[ToolSchema] = ()) -> None:
        """Let a server that keeps what it read read this: costs a request of one token.

        An optimisation: if it fails, the first real question will say why.
        """
        self._check_open()
        with suppress(AgentkitError):
            if self._learn(self._only_closed).dialect.caches:
                for _ in self.stream(ChatRequest(tuple(messages), 1, tools=tuple(tools))):
                    pass

    def close(self) -> None:
        """Refuse new requests and break running ones off."""
        self._closed = True

    # -- one answer ------------------------------------------------------------------------------

    def _answer(
        self, request: ChatRequest, asked: wire.Asked, facts: Facts, stop: Stop
    ) -> Iterator[Delta]:
        patience = self._server.patience(stop)
        answer = self._blank(request, asked, facts)
        reason: FinishReason | None = None
        try:
            while True:
                try:
                    yield from self._attempt(answer, asked, stop)
                    break
                except TryAgain as again:
                    patience.wait(again)
                    answer = self._blank(request, asked, facts)
        except Interrupted as interrupted:
            reason = interrupted.reason
        except Refused as refused:
            raise self._explained(refused, facts, request) from None
        told = estimate(request.messages, request.tools)
        yield from answer.completions(reason, prompt_tokens=told, queued_seconds=patience.waited)

    def _attempt(self, answer: Answer, asked: wire.Asked, stop: Stop) -> Iterator[Delta]:
        """Send the request once.  `TryAgain` comes out only while nothing was given out."""
        try:
            for event in self._server.events(COMPLETIONS, asked.body, stop):
                for delta in answer.read(event):
                    yield delta
                    if reason := stop():
                        raise Interrupted(reason)
                if answer.complete:
                    return
            broken = TryAgain(ModelError(f"{self._server.url} ended an answer without a reason"))
        except TryAgain as again:
            broken = again
        if answer.ended:
            return
        if not answer.begun:
            raise broken
        raise ModelError(
            f"the answer of {self.name!r} broke off after {answer.characters} characters: {broken}",
            hint="it was not asked again: its beginning had been given out",
        )

    def _blank(self, request: ChatRequest, asked: wire.Asked, facts: Facts) -> Answer:
        shapes = [asked.shape() for _ in range(request.samples)]
        return Answer(self.name, request, shapes, _notes(request, facts))

    def _explained(
        self, refused: Refused, facts: Facts | None = None, request: ChatRequest | None = None
    ) -> AgentkitError:
        return explain(
            refused,
            url=self._server.url,
            model=facts.model if facts else "",
            known=facts.models if facts else (),
            reserved=(request.max_tokens if request else None) or 1,
        )

    # -- what fits -------------------------------------------------------------------------------

    def _check_fits(self, request: ChatRequest, stop: Stop) -> None:
        """Ask the server to count only where it might not fit; a token has at least one byte."""
        reserved = request.max_tokens or 1
        context = self.context_tokens
        if _most_tokens(request.messages, request.tools) + reserved <= context:
            return
        if self._learn(stop).dialect.flavour not in COUNTING:
            return
        prompt = self._count(request.messages, request.tools, stop)
        if prompt + reserved > context:
            raise PromptTooLong(prompt_tokens=prompt, reserved=reserved, context_tokens=context)

    def _count(self, messages: Sequence[Message], tools: Sequence[ToolSchema], stop: Stop) -> int:
        pictures = IMAGE_TOKENS * sum(len(message.images) for message in messages)
        if pictures:
            texts = [replace(one, images=()) for one in messages]
            return pictures + self._count(texts, tools, stop)
        facts = self._learn(stop)
        flavour, ask = facts.dialect.flavour, self._server.ask
        text: dict[str, Any] = {"messages": wire.messages(messages), "tools": wire.tools(tools)}
        if flavour not in COUNTING:
            return estimate(messages, tools)
        try:
            if flavour == "llama.cpp":
                prompt = ask("/apply-template", text, stop).get("prompt")
                text = {"content": prompt, "add_special": True, "parse_special": True}
            tokens = ask("/tokenize", {**text, "model": facts.model}, stop)
        except Refused as refused:
            raise self._explained(refused, facts) from None
        listed = tokens.get("tokens")
        count = len(listed) if isinstance(listed, list) else tokens.get("count")
        if not isinstance(count, int):
            raise ModelError(f"{self._server.url} was asked to count tokens, and gave no number")
        return count

    # -- the server ------------------------------------------------------------------------------

    def _learn(self, stop: Stop) -> Facts:
        with self._learning:
            if self._facts is None:
                try:
                    self._facts = learn(self._server, self._model, self._flavour, stop)
                except Refused as refused:
                    raise self._explained(refused) from None
            return self._facts

    def _stop(self, request: ChatRequest, cancel: CancelToken) -> Stop:
        deadline = None if request.timeout is None else time.monotonic() + request.timeout

        def stop() -> FinishReason | None:
            if cancel.cancelled or self._closed:
                return "cancelled"
            return "deadline" if deadline is not None and time.monotonic() >= deadline else None

        return stop

    def _only_closed(self) -> FinishReason | None:
        return "cancelled" if self._closed else None

    def _check_open(self) -> None:
        if self._closed:
            raise ModelError(f"the model {self.name!r} was closed")


def estimate(messages: Sequence[Message], tools: Sequence[ToolSchema] = ()) -> int:
    """About how many tokens a prompt has, by its length in bytes."""
    return _bytes(messages, tools) // BYTES_PER_TOKEN + MESSAGE_TOKENS * len(messages)


def _most_tokens(messages: Sequence[Message], tools: Sequence[ToolSchema]) -> int:
    return _bytes(messages, tools) + MESSAGE_TOKENS * len(messages) + TEMPLATE_TOKENS


def _bytes(messages: Sequence[Message], tools: Sequence[ToolSchema]) -> int:
    messages = [replace(one, images=()) for one in messages]
    told = json.dumps([wire.messages(messages), wire.tools(tools)], ensure_ascii=False)
    return len(told.encode("utf-8", "surrogatepass"))


def _notes(request: ChatRequest, facts: Facts) -> tuple[str, ...]:
    notes = []
    if request.tools and not facts.knows_tools:
        notes.append("the server's chat template does not tell the model of its tools")
    if request.top_logprobs is not None and request.constraint is not None:
        notes.append("what the constraint leaves of the probabilities is not known over HTTP")
    return tuple(notes)
