"""/v1/completions: the model goes on with a plain text, or with tokens.

Nothing is written around the text, and what looks like a marker of the model's vocabulary is one:
who asks here writes templates himself.  Texts of others belong into /v1/chat/completions.  With a
`suffix` the markers are written here, and both texts around the gap are nothing but text.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import Field

from agentkit.cancel import CancelToken
from agentkit.messages import ChatRequest, Completion, Delta, TokenLogprob, Usage
from agentkit.runtime import Runtime
from agentkit.web.openai import chat_answer
from agentkit.web.openai.asking import asked
from agentkit.web.openai.body import MOST_SAMPLES, Sampled
from agentkit.web.openai.elsewhere import working
from agentkit.web.openai.refusals import Refused, Route, unsupported
from agentkit.web.openai.shapes import COMPLETION, STREAM, answers
from agentkit.web.openai.streams import DONE, chunks_of, data, streamed
from agentkit.web.service import Here, Service

PATH = "/v1/completions"

router = APIRouter(tags=["openai"], route_class=Route)

USUAL_TOKENS = 16
"""How long an answer is where nothing is said, as in OpenAI's API."""

Tokens = Annotated[list[int], Field(min_length=1)]
Given = str | tuple[int, ...]


class CompletionBody(Sampled):
    """See https://platform.openai.com/docs/api-reference/completions/create."""

    model: str | None = None
    prompt: str | Tokens | Annotated[list[str | Tokens], Field(min_length=1, max_length=16)]
    max_tokens: int = Field(USUAL_TOKENS, ge=0)
    suffix: str = ""
    """What stands behind the gap: for models that have markers for that."""
    echo: bool = False
    logprobs: int | None = Field(None, ge=0, le=20)
    best_of: int | None = None

    def requests(self) -> list[ChatRequest]:
        """One for each prompt.  Raises `Refused`."""
        if self.suffix and self.echo:
            raise Refused("echo", "what fills a gap is given without the text around it")
        if self.best_of not in (None, self.n):
            raise unsupported("best_of", "n answers are given as they come")
        if not self.max_tokens and not self.echo:
            raise Refused("max_tokens", "an answer has at least one token, unless it is an echo")
        if len(self.prompts) * self.n > MOST_SAMPLES:
            raise Refused("n", f"more than {MOST_SAMPLES} answers to one request")
        return [
            ChatRequest(
                text=prompt,
                max_tokens=self.max_tokens,
                stop=self.stops,
                sampling=self.sampling(),
                samples=self.n,
                top_logprobs=self.logprobs,
            )
            for prompt in self.prompts
        ]

    @property
    def prompts(self) -> list[Given]:
        """What is gone on with."""
        match self.prompt:
            case str():
                return [self.prompt]
            case [int(), *_]:
                return [tuple(token for token in self.prompt if isinstance(token, int))]
            case _:
                return [one if isinstance(one, str) else tuple(one)  # type: ignore[arg-type]
                        for one in self.prompt]  # fmt: skip


@router.post(
    PATH,
    response_model=None,
    openapi_extra={"responses": answers(COMPLETION, STREAM)},
)
async def complete(body: CompletionBody, here: Here, request: Request) -> Response:
    """What follows a text."""
    name = body.model or here.runtime.settings.roles.chat
    wanted = body.requests()

    def begin(cancel: CancelToken) -> Iterator[Delta]:
        asks = [_between(one, body.suffix, here.runtime, name) for one in wanted]
        echoes = [_echo(one, body, here.runtime, name, cancel) for one in body.prompts]
        if body.max_tokens:
            streams = [asked(here, PATH, name, one, cancel) for one in asks]
        else:
            streams = [_nothing(one, body, here, name) for one in body.prompts]
        return _numbered(streams, echoes, body.n)

    answer = _Answer(name, body)
    if body.stream:
        return await streamed(begin, answer.chunks, closing=answer.closing)
    async with working(request, begin) as work:
        return JSONResponse(answer.whole(await work.everything()))


def _between(request: ChatRequest, suffix: str, runtime: Runtime, name: str) -> ChatRequest:
    """The same request for what is missing between two texts, where one stands behind the gap."""
    if not suffix or request.text is None:
        return request
    prompt = runtime.tokenizer(name).infill(request.text, suffix)
    return replace(request, text=tuple(prompt))


def _echo(
    prompt: Given, body: CompletionBody, runtime: Runtime, name: str, cancel: CancelToken
) -> Delta:
    """The prompt as the beginning of its answer, with its probabilities where they are wanted."""
    if not body.echo:
        return Delta()
    text = prompt if isinstance(prompt, str) else runtime.tokenizer(name).text(prompt)
    if body.logprobs is None:
        return Delta(text)
    tokenizer, tokens = runtime.tokenizer(name), _tokens(prompt, runtime, name)
    found = runtime.scorer(name).read(tokens, body.logprobs, cancel).tokens
    given = TokenLogprob(tokenizer.text(tokens[:1]).encode(), math.nan, math.nan)
    begins = len(tokenizer.tokens("")) if isinstance(prompt, str) else 0  # what nobody wrote
    return Delta(text, logprobs=(given, *found)[begins:])


def _tokens(prompt: Given, runtime: Runtime, name: str) -> Sequence[int]:
    return runtime.tokenizer(name).tokens(prompt) if isinstance(prompt, str) else prompt


def _nothing(prompt: Given, body: CompletionBody, here: Service, name: str) -> Iterator[Delta]:
    """An answer without a token: somebody wants to know how likely the prompt is."""
    read = len(_tokens(prompt, here.runtime, name))
    here.metrics.answered(PATH, name, read)
    for sample in range(body.n):
        cost = Usage(prompt_tokens=read)
        yield Delta(sample=sample, completion=Completion("", "length", cost, name))


def _numbered(
    streams: Sequence[Iterator[Delta]], echoes: Sequence[Delta], samples: int
) -> Iterator[Delta]:
    """Answers to several prompts as samples of one, after the prompt itself where it is wanted."""
    for number, (echo, stream) in enumerate(zip(echoes, streams, strict=True)):
        if echo.text:
            for sample in range(number * samples, (number + 1) * samples):
                yield replace(echo, sample=sample)
        for delta in stream:
            done = delta.completion
            yield Delta(
                delta.text,
                logprobs=delta.logprobs,
                sample=number * samples + delta.sample,
                completion=done and replace(done, logprobs=(*echo.logprobs, *done.logprobs)),
            )


class _Answer:
    """What comes back, at once or in chunks."""

    def __init__(self, model: str, asked: CompletionBody) -> None:
        self._head = chat_answer.head("cmpl", "text_completion", model)
        self._written = chunks_of(self._head)
        self._asked = asked
        self._ended: list[Completion] = []
        self._offsets: dict[int, int] = {}

    def whole(self, deltas: Sequence[Delta]) -> dict[str, Any]:
        """All of it."""
        for delta in deltas:
            self._note(delta)
        ended = {one.sample: one.completion for one in deltas if one.completion is not None}
        choices = [
            self._choice(
                sample,
                "".join(one.text for one in deltas if one.sample == sample),
                ended[sample].logprobs,
                chat_answer.reason(ended[sample]),
            )
            for sample in sorted(ended)
        ]
        return self._head | {"choices": choices, "usage": self._usage()}

    def chunks(self, deltas: Iterable[Delta]) -> str:
        """Some of it."""
        return "".join(map(self._chunk, deltas))

    def closing(self) -> str:
        """The end of a stream."""
        if not self._asked.with_usage:
            return DONE
        return data(self._head | {"choices": [], "usage": self._usage()}) + DONE

    def _chunk(self, delta: Delta) -> str:
        self._note(delta)
        done = delta.completion
        if not (delta.text or delta.logprobs or done):
            return ""
        finish = chat_answer.reason(done) if done else None
        choice = self._choice(delta.sample, delta.text, delta.logprobs, finish)
        return self._written(choice)

    def _note(self, delta: Delta) -> None:
        if delta.completion is not None:
            chat_answer.check_whole(delta.completion)
            self._ended.append(delta.completion)

    def _choice(
        self, sample: int, text: str, tokens: Sequence[TokenLogprob], finish: str | None
    ) -> dict[str, Any]:
        told = None
        if self._asked.logprobs is not None:
            told = self._logprobs(sample, tokens)
        return {"index": sample, "text": text, "logprobs": told, "finish_reason": finish}

    def _logprobs(self, sample: int, tokens: Sequence[TokenLogprob]) -> dict[str, Any]:
        offsets = []
        for one in tokens:
            offsets.append(self._offsets.get(sample, 0))
            self._offsets[sample] = offsets[-1] + len(_shown(one.token))
        return {
            "tokens": [_shown(one.token) for one in tokens],
            "token_logprobs": [None if _is_given(one) else one.logprob for one in tokens],
            "top_logprobs": [
                None if _is_given(one) else {_shown(token): value for token, value in one.top}
                for one in tokens
            ],
            "text_offset": offsets,
        }

    def _usage(self) -> dict[str, Any]:
        """Of all prompts together."""
        found = [
            chat_answer.usage(self._ended[first : first + self._asked.n])
            for first in range(0, len(self._ended), self._asked.n)
        ]
        total: dict[str, Any] = {
            key: sum(one[key] for one in found)
            for key in ("prompt_tokens", "completion_tokens", "total_tokens")
        }
        cached = sum(one["prompt_tokens_details"]["cached_tokens"] for one in found)
        return total | {"prompt_tokens_details": {"cached_tokens": cached}}


def _is_given(token: TokenLogprob) -> bool:
    """Whether it is the first of all: nothing stands before it that could make it likely."""
    return math.isnan(token.logprob)


def _shown(token: bytes) -> str:
    return token.decode("utf-8", "replace")
