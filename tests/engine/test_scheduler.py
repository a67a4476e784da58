"""Many requests at once, one small context: nothing is lost, and nobody sees another's text.

With the smallest real model, so that batches, forks and evictions are those of llama.cpp.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agentkit import machine
from agentkit.cancel import CancelToken
from agentkit.engine import LlamaChatModel
from agentkit.engine.batch import PIECE
from agentkit.engine.context import Context, DecodeFailed, NoRoom, Piece
from agentkit.engine.scheduler import FAULTS
from agentkit.errors import ModelBusy, ModelError
from agentkit.messages import (
    ChatRequest,
    Choices,
    Completion,
    Delta,
    JsonSchema,
    Message,
    Sampling,
)

pytestmark = pytest.mark.model

Load = Callable[..., LlamaChatModel]


@pytest.fixture
def load(model_path: Callable[[str], Path]) -> Iterator[Load]:
    """A model of the test's own, with a context and slots as it likes."""
    loaded: list[LlamaChatModel] = []

    def make(context_tokens: int = 1024, **more: Any) -> LlamaChatModel:
        path = model_path("smollm2-135m")
        threads = machine.physical_cores()
        loaded.append(
            LlamaChatModel(path, "small", context_tokens=context_tokens, threads=threads, **more)
        )
        return loaded[-1]

    yield make
    for model in loaded:
        model.close()


def question(text: str = "Count from one to ten.", **more: Any) -> ChatRequest:
    more.setdefault("max_tokens", 8)
    return ChatRequest((Message("user", text),), **more)


def completion(stream: Iterator[Delta]) -> Completion:
    *_, last = stream
    assert last.completion is not None
    return last.completion


def ask(model: LlamaChatModel, request: ChatRequest) -> Completion:
    return completion(model.stream(request))


def settled(model: LlamaChatModel) -> None:
    """Wait until the decode thread has nothing to do, then compare its books with the cache."""
    while not model._scheduler.idle:
        time.sleep(0.01)
    store, context = model._store, model._context
    assert context is not None
    assert store.busy == set()
    for sequence in range(context.sequences):
        assert context.length(sequence) == len(store.tokens(sequence))
    assert len(store._free) + len(store._holders) == context.sequences


# -- batching ------------------------------------------------------------------------------------


def test_concurrent_answers_are_those_that_each_would_get_alone(load: Load) -> None:
    """Constrained to a few words, so that the rounding of batches cannot tip a choice."""
    model = load(2048)
    facts = "Ann sells bread. Bob sells fish. Carl sells flowers. Dora sells books. "
    requests = [
        ChatRequest(
            (Message("system", facts * repeat), Message("user", f"What does {name} sell?")),
            constraint=Choices((" bread", " fish", " flowers", " books")),
        )
        for repeat in (1, 5)
        for name in ("Ann", "Bob", "Carl", "Dora")
    ]
    together = [model.stream(request) for request in requests]
    answers = [completion(stream).text for stream in together]
    fresh = load(2048)
    for request, answer in zip(requests, answers, strict=True):
        fresh._store.forget()
        alone = ask(fresh, request)
        assert alone.usage.cached_tokens == 0
        assert alone.text == answer


def test_a_prompt_that_many_share_is_read_once(load: Load) -> None:
    model = load(2048)
    document = Message("system", "The shop opens at nine and closes at five. " * 40)
    streams = [
        model.stream(ChatRequest((document, Message("user", f"Question {n}?")), max_tokens=4))
        for n in range(8)
    ]
    usages = [completion(stream).usage for stream in streams]
    shared = model.count_tokens([document])
    assert usages[0].cached_tokens < 10
    assert all(usage.cached_tokens > shared - 10 for usage in usages[1:])


def test_samples_share_their_prompt_and_differ(load: Load) -> None:
    model = load()
    request = question(
        "Tell me a story of a fox. " * 10, samples=4, sampling=Sampling(temperature=1.5, seed=3)
    )
    completions: dict[int, Completion] = {}
    for delta in model.stream(request):
        if delta.completion is not None:
            completions[delta.sample] = delta.completion
    assert sorted(completions) == [0, 1, 2, 3]
    assert len({one.text for one in completions.values()}) > 1
    prompt = completions[0].usage.prompt_tokens
    assert [completions[n].usage.cached_tokens for n in (1, 2, 3)] == [prompt - 1] * 3


def test_a_running_answer_waits_for_one_piece_of_a_prompt_at_most(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load(2048)
    batches: list[list[int]] = []
    decode = Context.decode

    def watched(self: Context, pieces: list[Piece]) -> None:
        batches.append([len(piece.tokens) for piece in pieces])
        decode(self, pieces)

    monkeypatch.setattr(Context, "decode", watched)
    running = model.stream(question("Tell me a long story.", max_tokens=60))
    next(running)
    ask(model, question("Nothing of this matters. " * 150, max_tokens=2))
    completion(running)
    mixed = [sizes for sizes in batches if len(sizes) > 1]
    assert len(mixed) >= 3
    assert all(sum(sizes) - 1 <= PIECE for sizes in mixed)
    assert all(sizes[0] == 1 for sizes in mixed)


def test_interactive_requests_go_before_background_ones(load: Load) -> None:
    model = load(slots=1)
    ended: list[str] = []

    def run(name: str, request: ChatRequest) -> threading.Thread:
        stream = model.stream(request)

        def read() -> None:
            completion(stream)
            ended.append(name)

        thread = threading.Thread(target=read)
        thread.start()
        return thread

    background = question("Tell me a story.", max_tokens=40, priority="background")
    threads = [run(f"background {n}", background) for n in range(2)]
    threads.append(run("interactive", question("Yes or no?", max_tokens=4)))
    for thread in threads:
        thread.join()
    assert ended[0] == "interactive"
    settled(model)


def test_too_many_requests_are_refused_with_a_number(load: Load) -> None:
    model = load(slots=1, queue=3)
    assert not model.full
    streams = [model.stream(question("Story 0", max_tokens=100))]
    next(streams[0])  # it has its slot
    streams += [model.stream(question(f"Story {n}", max_tokens=100)) for n in range(1, 4)]
    assert model.full
    more = question("One more", max_tokens=100)
    with pytest.raises(ModelBusy, match="busy") as caught:
        streams += [model.stream(more) for _ in range(5)]
    assert caught.value.waiting == 3
    for stream in streams:
        stream.close()  # type: ignore[attr-defined,unused-ignore]  # not part of an iterator
    assert not model.full
    assert ask(model, question()).text


def test_a_deadline_ends_an_answer_with_what_there_is(load: Load) -> None:
    model = load()
    ask(model, question())
    ended = ask(model, question("Tell me a long story.", max_tokens=900, timeout=0.3))
    assert ended.finish_reason == "deadline"
    assert ended.text
    settled(model)


def test_a_deadline_counts_while_waiting(load: Load) -> None:
    model = load(slots=1)
    running = model.stream(question("Tell me a long story.", max_tokens=200))
    next(running)
    assert ask(model, question(timeout=0.05)).finish_reason == "deadline"
    completion(running)


# -- coming and going ----------------------------------------------------------------------------


def test_a_client_that_goes_away_frees_its_place(load: Load) -> None:
    model = load(slots=1)
    running = model.stream(question("Tell me a long story.", max_tokens=900))
    waiting = model.stream(question("Another one.", max_tokens=900))
    next(running)
    del waiting
    running.close()  # type: ignore[attr-defined]  # not part of an iterator
    assert ask(model, question()).text
    settled(model)


@pytest.mark.parametrize("seed", range(8))
def test_random_interleavings_lose_nothing_and_leak_nothing(load: Load, seed: int) -> None:
    """25 requests for each of 8 seeds: branching conversations, samples, cancels, a cache that
    holds a fraction of them.  What is asked for is a constant, so every answer can be checked."""
    model, dice = load(320, slots=4), random.Random(seed)
    openings = ["You are a clerk. " * 8, "You are a poet. " * 5, "You are a cook. " * 12]
    reading: list[threading.Thread] = []
    faults: list[str] = []

    def read(stream: Iterator[Delta], expected: str, token: CancelToken, cancel: bool) -> None:
        for delta in stream:
            if cancel:
                token.cancel()
            if delta.completion is None:
                continue
            said = delta.completion
            if said.finish_reason == "cancelled" and cancel:
                whole = expected.startswith(said.text)
            else:
                whole = said.text == expected
            if not whole:
                faults.append(f"{said.finish_reason} {said.text!r} instead of {expected!r}")

    for number in range(25):
        secret = f"secret {seed} {number} " + "x" * dice.randrange(30)
        history = [Message("system", dice.choice(openings))]
        for turn in range(dice.randrange(3)):
            history += [Message("user", f"Turn {turn}?"), Message("assistant", f"Answer {turn}.")]
        history.append(Message("user", f"Question {dice.randrange(4)}"))
        token = CancelToken()
        request = ChatRequest(
            tuple(history),
            constraint=JsonSchema({"const": secret}),
            samples=dice.choice([1, 1, 1, 2]),
            priority=dice.choice(["interactive", "background"]),
        )
        kind = dice.choice(["read", "read", "read", "cancel", "drop"])
        stream = model.stream(request, token)
        if kind == "drop":
            del stream
            continue
        expected = json.dumps(secret)
        thread = threading.Thread(target=read, args=(stream, expected, token, kind == "cancel"))
        thread.start()
        reading.append(thread)
        if dice.random() < 0.3:
            time.sleep(dice.random() * 0.1)
    for thread in reading:
        thread.join(60)
        assert not thread.is_alive()
    assert faults == []
    settled(model)


def test_closing_ends_all_answers(load: Load) -> None:
    model = load(slots=2)
    streams = [model.stream(question(f"Story {n}", max_tokens=500)) for n in range(5)]
    next(streams[0])
    model.close()
    assert [completion(stream).finish_reason for stream in streams] == ["cancelled"] * 5


# -- the shelf -----------------------------------------------------------------------------------


def test_conversations_that_left_the_cache_come_back_without_being_read(load: Load) -> None:
    model = load(400, slots=2)
    openings = [Message("system", f"You are number {n}. " + f"Number {n} is kind. " * 20)
                for n in range(4)]  # fmt: skip
    for opening in openings:
        ask(model, ChatRequest((opening, Message("user", "Hello?")), max_tokens=4))
    for opening in openings:
        again = ask(model, ChatRequest((opening, Message("user", "Hello?")), max_tokens=4)).usage
        assert again.cached_tokens == again.prompt_tokens - 1
    settled(model)


# -- faults --------------------------------------------------------------------------------------


class Faults:
    """Lets chosen calls of `Context.decode` fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.plan: dict[int, Exception] = {}
        self.calls = 0
        self.also: Callable[[list[Piece]], Exception | None] = lambda pieces: None
        decode = Context.decode

        def failing(context: Context, pieces: list[Piece]) -> None:
            self.calls += 1
            fault = self.plan.get(self.calls) or self.also(pieces)
            if fault is not None:
                raise fault
            decode(context, pieces)

        monkeypatch.setattr(Context, "decode", failing)


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> Faults:
    return Faults(monkeypatch)


@pytest.mark.parametrize("fault", [NoRoom(), DecodeFailed(2), DecodeFailed(-1), DecodeFailed(-3)])
@pytest.mark.parametrize("call", [1, 3])
def test_a_decode_that_fails_once_costs_nobody_an_answer(
    load: Load, faults: Faults, fault: Exception, call: int
) -> None:
    model = load()
    faults.plan[call] = fault
    streams = [
        model.stream(question(f"Number {n}", constraint=JsonSchema({"const": f"answer {n}"})))
        for n in range(3)
    ]
    assert [completion(stream).text for stream in streams] == [f'"answer {n}"' for n in range(3)]
    settled(model)


def test_who_breaks_every_decode_fails_alone(load: Load, faults: Faults) -> None:
    model = load()
    poison = model._vocabulary.tokenize("poison", special=False)[0]
    faults.also = lambda pieces: (
        DecodeFailed(-1) if any(poison in piece.tokens for piece in pieces) else None
    )
    good = [model.stream(question(f"Number {n}")) for n in range(2)]
    bad = model.stream(question("poison"))
    more = model.stream(question("And another one"))
    with pytest.raises(ModelError, match="llama_decode returned -1"):
        completion(bad)
    assert all(completion(stream).text for stream in [*good, more])
    assert faults.calls > FAULTS
    settled(model)


def test_a_context_that_claims_to_be_full_gives_way_to_the_oldest(
    load: Load, faults: Faults
) -> None:
    """Fuller than the books say: the younger requests wait until the older are done."""
    model = load()
    faults.also = lambda pieces: NoRoom() if len(pieces) > 1 else None
    streams = [model.stream(question(f"Number {n}", max_tokens=4)) for n in range(3)]
    assert all(completion(stream).text for stream in streams)
    settled(model)


def test_a_stumble_of_our_own_ends_all_requests_and_the_next_one_works(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load()

    def stumble(self: Context, pieces: list[Piece]) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Context, "decode", stumble)
    with pytest.raises(ModelError, match="stumbled"):
        ask(model, question())
    monkeypatch.undo()
    assert ask(model, question()).text
    settled(model)
