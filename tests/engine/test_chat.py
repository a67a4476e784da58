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
from agentkit.engine.context import BATCH, Context, Piece
from agentkit.engine.grammar import Matcher
from agentkit.engine.weights import Weights
from agentkit.errors import Cancelled, ModelError, PromptTooLong, Unsupported, UserError
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
    text = f"Tell me a story of {free} words."
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


def cancelled_by_decoding(monkeypatch: pytest.MonkeyPatch) -> tuple[CancelToken, list[int]]:
    """A token that the first batch cancels, and the sizes of all batches."""
    token, sizes = CancelToken(), list[int]()
    decode = Context.decode

    def watched(self: Context, pieces: list[Piece]) -> None:
        sizes.append(sum(len(piece.tokens) for piece in pieces))
        token.cancel()
        decode(self, pieces)

    monkeypatch.setattr(Context, "decode", watched)
    return token, sizes


def test_a_cancel_waits_for_one_batch_only(
    model: LlamaChatModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    model._store.forget()
    token, sizes = cancelled_by_decoding(monkeypatch)
    *_, last = model.stream(long_question(model, free=100), token)
    assert last.completion is not None
    assert last.completion.finish_reason == "cancelled"
    assert sizes == [BATCH]


def test_closing_frees_the_memory_at_once(model_path: Callable[[str], Path]) -> None:
    model = LlamaChatModel(model_path("smollm2-135m"), "own", context_tokens=256, threads=1)
    stream = model.stream(question(max_tokens=100))
    next(stream)
    model.close()
    assert not model._weights.handle
    assert model._context is None
    *_, last = stream
    assert last.completion is not None
    assert last.completion.finish_reason == "cancelled"


def test_what_llama_cpp_would_abort_for_is_stopped_before(
    model_path: Callable[[str], Path],
) -> None:
    weights = Weights(model_path("smollm2-135m"), "small")
    context = Context(weights, context_tokens=300, sequences=2, threads=1)
    for piece in (
        Piece(0, 0, []), Piece(0, 0, [1] * (BATCH + 1)), Piece(0, 299, [1, 1]), Piece(2, 0, [1]),
        Piece(-1, 0, [1]),
    ):  # fmt: skip
        with pytest.raises(AssertionError):
            context.decode([piece])
    for sequence in (-1, 2):
        with pytest.raises(AssertionError):
            context.copy(0, sequence, 1)
    context.close()
    weights.close()


def test_memory_does_not_grow_with_requests(model: LlamaChatModel) -> None:
    """A thousand of two kinds, eight at a time.  Matchers are too small to show: counted."""

    def serve(count: int) -> None:
        for n in range(0, count, 8):
            schema = {"type": "object", "properties": {f"key{n % 20}": {"enum": ["a", "b"]}}}
            hot = Sampling(temperature=1.0, top_k=40, repeat_penalty=1.1)
            kinds: list[Any] = [{"sampling": hot}, {"constraint": JsonSchema(schema)}]
            streams = [
                model.stream(question(f"Question {n} {k}", max_tokens=1, **kinds[k % 2]))
                for k in range(8)
            ]
            assert all(list(stream)[-1].completion for stream in streams)

    def megabytes() -> float:
        gc.collect()
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * resource.getpagesize() / 1e6

    serve(200)
    before = megabytes()
    serve(1000)
    assert megabytes() - before < 15
    # By type: isinstance would ask every object for its class, and some modules warn when asked.
    assert not any(issubclass(type(one), Matcher) for one in gc.get_objects())


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


def test_a_prompt_longer_than_a_batch_is_read_whole(model: LlamaChatModel) -> None:
    request = ChatRequest(
        (Message("system", "The word is: apple. " + "Nothing here. " * 150),
         Message("user", "Which word?")),
        max_tokens=8,
        constraint=JsonSchema({"enum": ["apple", "stone", "river"]}),
    )  # fmt: skip
    assert model.count_tokens(request.messages) > BATCH
    assert json.loads(ask(model, request).text) in ("apple", "stone", "river")
    tokens = model._template.render(request.messages).tokens
    assert model._store.match((), tokens) == len(tokens) - 1


def test_an_answer_comes_back_as_the_tokens_that_were_written(model: LlamaChatModel) -> None:
    """A hot model writes what would be tokenised differently; its history is not read again."""
    hot = Sampling(temperature=1.8, seed=11)
    history = [Message("user", "Write something wild.")]
    for turn in range(3):
        said = ask(model, ChatRequest(tuple(history), max_tokens=40, sampling=hot))
        history += [said.message, Message("user", f"Go on, part {turn}.")]
        if said.finish_reason == "stop":
            written = said.usage.completion_tokens
            following = ask(model, ChatRequest(tuple(history), max_tokens=1)).usage
            assert following.cached_tokens > said.usage.prompt_tokens + written - 2


def test_what_a_grammar_cannot_enforce_is_said_and_checked_afterwards(
    model: LlamaChatModel,
) -> None:
    item = {"enum": ["red", "blue"]}
    schema = {"type": "array", "items": item, "minItems": 3, "maxItems": 3, "uniqueItems": True}
    with pytest.raises(ModelError, match="unique"):
        ask(model, question("Name colours.", constraint=JsonSchema(schema), max_tokens=40))
    pair = {**schema, "minItems": 1, "maxItems": 1}
    said = ask(model, question("Name a colour.", constraint=JsonSchema(pair), max_tokens=40))
    assert json.loads(said.text) in (["red"], ["blue"])
    assert any("uniqueItems" in note for note in said.notes)


def test_scores_say_what_the_model_finds_likely(model: LlamaChatModel) -> None:
    prompt = [Message("user", "What is the capital of France?")]
    good = model.score(prompt, "The capital of France is Paris.")
    bad = model.score(prompt, "The capital of France is fish bone.")
    assert good.logprob > bad.logprob
    assert b"".join(token.token for token in good.tokens) == b"The capital of France is Paris."
    assert all(token.forced and token.logprob <= 0 for token in good.tokens)
    again = model.score(prompt, "The capital of France is Paris.")
    assert again.logprob == pytest.approx(good.logprob, abs=0.6)  # another shape of batch


def test_a_score_that_nobody_waits_for_ends_within_a_batch(
    model: LlamaChatModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    model._store.forget()
    token, sizes = cancelled_by_decoding(monkeypatch)
    with pytest.raises(Cancelled):
        model.score(long_question(model, free=100).messages, "Yes, it is.", token)
    assert sizes == [BATCH]
    assert model._decoder is not None
    assert not model._decoder.full
    assert model._scheduler.free


def test_the_score_of_an_answer_is_that_of_its_own_log_probabilities(
    model: LlamaChatModel,
) -> None:
    request = question("What is the capital of France?", top_logprobs=3)
    said = ask(model, request)
    assert len(said.logprobs) == said.usage.completion_tokens
    assert all(token.top[0][1] >= token.logprob for token in said.logprobs)
    scored = model.score(request.messages, said.text)
    if len(scored.tokens) == len(said.logprobs):
        own = sum(token.logprob for token in said.logprobs)
        assert scored.logprob == pytest.approx(own, abs=0.5)


def test_perplexity_prefers_language_to_noise(model: LlamaChatModel) -> None:
    text = "The cat sat on the mat and looked out of the window. "
    noise = "mat the of looked window out sat. cat on and the The the "
    assert 1 < model.perplexity(text) < model.perplexity(noise)
    assert model.perplexity(text * 120) < model.perplexity(text)
    assert len(text * 120) > 3 * model.context_tokens
    with pytest.raises(UserError, match="two tokens"):
        model.perplexity("")


def test_a_warmed_prefix_is_not_read_again_even_when_room_is_needed(
    model: LlamaChatModel,
) -> None:
    opening = Message("system", "You are a very careful clerk. " * 20)
    model.warm([opening])
    for n in range(6):
        ask(model, question(f"{n} " * 300, max_tokens=1))
    usage = ask(model, ChatRequest((opening, Message("user", "Hello?")), max_tokens=1)).usage
    assert usage.cached_tokens > 100


def test_a_gap_in_code_is_filled(chat_model: Callable[[str], LlamaChatModel]) -> None:
    """As editors ask: up to the end of the line."""
    coder = chat_model("qwen2.5-coder-0.5b")
    before, after = "def area(width, height):\n    return ", "\n\nprint(area(2, 3))\n"
    prompt = coder._vocabulary.infill(before, after)
    said = ask(coder, ChatRequest(text=tuple(prompt), max_tokens=12, stop=("\n",)))
    assert said.text == "width * height"
    assert said.finish_reason == "stop"


def test_a_model_without_markers_for_a_gap_says_so(model: LlamaChatModel) -> None:
    with pytest.raises(Unsupported, match="suffix"):
        model._vocabulary.infill("a", "b")
