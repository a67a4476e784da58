"""The adapter beyond the contract of its port: the edge of the context, faults, long service."""

from __future__ import annotations

import gc
import json
import resource
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agentkit.cancel import CancelToken
from agentkit.engine import LlamaChatModel, chat
from agentkit.engine.context import BATCH, Context
from agentkit.engine.grammar import Matcher
from agentkit.engine.weights import Weights
from agentkit.errors import ModelError, PromptTooLong
from agentkit.messages import ChatRequest, Completion, JsonSchema, Message, Sampling

pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def model(chat_model: Callable[[str], LlamaChatModel]) -> LlamaChatModel:
    return chat_model("smollm2-135m")


def question(text: str = "Count from one to ten.", **more: Any) -> ChatRequest:
    more.setdefault("max_tokens", 8)
    return ChatRequest((Message("user", text),), **more)


def ask(model: LlamaChatModel, request: ChatRequest) -> Completion:
    *_, last = model.stream(request)
    assert last.completion is not None
    return last.completion


def long_question(model: LlamaChatModel, *, free: int) -> ChatRequest:
    """A prompt that leaves `free` tokens of the context."""
    text = "Tell me a very long story."
    while True:
        missing = model.context_tokens - free - model.count_tokens([Message("user", text)])
        if missing <= 0:
            break
        text += " and" * missing
    assert missing == 0
    return question(text, max_tokens=None)


def test_an_answer_that_reaches_the_end_of_the_context_says_length(model: LlamaChatModel) -> None:
    """To the last cell: the final token is drawn and shown, and need not be read any more."""
    endless = {"type": "string", "minLength": 10_000}
    request = replace(
        long_question(model, free=chat.ANSWER_RESERVE), constraint=JsonSchema(endless)
    )
    completion = ask(model, request)
    usage = completion.usage
    assert completion.finish_reason == "length"
    assert usage.prompt_tokens + usage.completion_tokens == model.context_tokens
    assert ask(model, question()).text


def test_without_max_tokens_some_room_for_an_answer_is_kept(model: LlamaChatModel) -> None:
    with pytest.raises(PromptTooLong) as caught:
        model.stream(long_question(model, free=chat.ANSWER_RESERVE - 1))
    assert (caught.value.excess, caught.value.reserved) == (1, chat.ANSWER_RESERVE)


def test_the_context_is_as_large_as_asked_for(model_path: Callable[[str], Path]) -> None:
    """llama.cpp rounds up to a multiple of 256."""
    model = LlamaChatModel(model_path("smollm2-135m"), "small", context_tokens=300, threads=1)
    assert model.context_tokens == 300
    model.close()


def test_a_cancel_waits_for_one_batch_only(
    model: LlamaChatModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(model, question("Something else."))
    token, sizes = CancelToken(), []
    decode = Context.decode

    def watched(self: Context, tokens: list[int]) -> None:
        sizes.append(len(tokens))
        token.cancel()
        decode(self, tokens)

    monkeypatch.setattr(Context, "decode", watched)
    *_, last = model.stream(long_question(model, free=100), token)
    assert last.completion is not None
    assert last.completion.finish_reason == "cancelled"
    assert sizes == [BATCH]


@pytest.mark.parametrize("after", [True, False])
def test_a_fault_in_a_decode_costs_that_answer_only(
    model: LlamaChatModel, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    """Also one that strikes between the decode and its bookkeeping, as Ctrl-C can."""
    request = question(
        "Which colour? " * 150, constraint=JsonSchema({"enum": ["red", "green", "blue"]})
    )
    expected = ask(model, request).text
    ask(model, question())
    decode, calls = Context.decode, [0]

    def failing(self: Context, tokens: list[int]) -> None:
        calls[0] += 1
        if calls[0] == 2:
            held = list(self.held)
            if after:
                decode(self, tokens)
                self.held[:] = held
            raise KeyboardInterrupt
        decode(self, tokens)

    monkeypatch.setattr(Context, "decode", failing)
    with pytest.raises(KeyboardInterrupt):
        ask(model, request)
    monkeypatch.undo()
    again = ask(model, request)
    assert again.usage.cached_tokens >= BATCH
    assert again.text == expected


def test_a_model_closed_in_the_middle_is_freed_when_the_answer_ends(
    model_path: Callable[[str], Path],
) -> None:
    model = LlamaChatModel(model_path("smollm2-135m"), "own", context_tokens=256, threads=1)
    stream, dropped = model.stream(question()), model.stream(question())
    next(stream)
    model.close()
    assert model._weights.handle
    assert [delta.completion is not None for delta in stream][-1]
    assert not model._weights.handle
    assert model._context is None
    with pytest.raises(ModelError, match="was closed"):
        next(dropped)


def test_a_decode_that_fails_is_a_model_error(
    model: LlamaChatModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert model._context is not None
    lib = model._context._lib
    monkeypatch.setattr(lib, "llama_decode", lambda *arguments: 1)
    with pytest.raises(ModelError, match="llama_decode returned 1"):
        ask(model, question())
    monkeypatch.undo()
    assert ask(model, question()).usage.cached_tokens == 0


def test_what_llama_cpp_would_abort_for_is_stopped_before(model: LlamaChatModel) -> None:
    context = model._context
    assert context is not None
    for tokens in ([], [1] * (BATCH + 1)):
        with pytest.raises(AssertionError):
            context.decode(tokens)
    context.keep(0)
    context.held += [1] * (context.size - 1)
    with pytest.raises(AssertionError):
        context.decode([1, 1])
    context.keep(0)


def test_memory_does_not_grow_with_requests(
    model: LlamaChatModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """200 requests of two kinds.  Sampler chains and matchers are too small to show: counted."""
    assert model._context is not None
    lib, chains = model._context._lib, [0]
    make, free = lib.llama_sampler_chain_init, lib.llama_sampler_free

    def counted(function: Callable[[Any], Any], step: int) -> Callable[[Any], Any]:
        def call(argument: Any) -> Any:
            chains[0] += step
            return function(argument)

        return call

    monkeypatch.setattr(lib, "llama_sampler_chain_init", counted(make, 1))
    monkeypatch.setattr(lib, "llama_sampler_free", counted(free, -1))

    def serve(count: int) -> None:
        for n in range(count):
            schema = {"type": "object", "properties": {f"key{n % 20}": {"enum": ["a", "b"]}}}
            hot = Sampling(temperature=1.0, top_k=40, repeat_penalty=1.1)
            ask(model, question(f"Question {n}", max_tokens=1, sampling=hot))
            ask(model, question(f"Question {n}", max_tokens=1, constraint=JsonSchema(schema)))

    def megabytes() -> float:
        gc.collect()
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * resource.getpagesize() / 1e6

    serve(25)
    before = megabytes()
    serve(100)
    assert megabytes() - before < 15
    assert chains == [0]
    assert [one for one in gc.get_objects() if isinstance(one, Matcher)] == []


def test_a_model_that_cannot_be_set_up_leaves_nothing_behind(
    model_path: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    freed: list[Weights] = []
    close = Weights.close

    def watched(self: Weights) -> None:
        freed.append(self)
        close(self)

    monkeypatch.setattr(Weights, "close", watched)
    monkeypatch.setattr(Weights, "chat_template", "{% broken")
    with pytest.raises(ModelError, match="chat template of the model is broken"):
        LlamaChatModel(model_path("smollm2-135m"), "broken", context_tokens=256, threads=1)
    assert [one.handle for one in freed] == [None]


def test_answers_are_the_same_in_many_small_batches(
    model: LlamaChatModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A prompt longer than a batch is read whole: its first sentence decides the answer."""
    request = ChatRequest(
        (Message("system", "The word is: apple. " + "Nothing here. " * 150),
         Message("user", "Which word?")),
        max_tokens=8,
        constraint=JsonSchema({"enum": ["apple", "stone", "river"]}),
    )  # fmt: skip
    assert model.count_tokens(request.messages) > BATCH
    assert json.loads(ask(model, request).text) in ("apple", "stone", "river")
    assert model._context is not None
    tokens = model._template.tokens(request.messages)
    assert model._context.held[: len(tokens)] == tokens
