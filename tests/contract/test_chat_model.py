"""What every `ChatModel` promises; run on each adapter.

An adapter joins by a name in `ADAPTERS` and a branch in the fixture.  `model("...")` gives the
model under test; a scripted one will answer with what was handed over, a real one as it likes.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from agentkit.cancel import CancelToken
from agentkit.errors import ModelError, PromptTooLong, UserError
from agentkit.messages import ChatRequest, Completion, JsonSchema, Message, Sampling
from agentkit.ports import ChatModel
from agentkit.testing import ScriptedModel

REAL = [
    pytest.param("smollm2-135m", marks=pytest.mark.model),
    pytest.param("qwen2.5-coder-0.5b", marks=pytest.mark.model),
]
ADAPTERS = ["scripted", *REAL]

Make = Callable[..., ChatModel]


@pytest.fixture(scope="module", params=ADAPTERS)
def model(request: pytest.FixtureRequest) -> Make:
    """Makes the model under test; the arguments are the answers of a scripted one."""
    if request.param == "scripted":
        return ScriptedModel
    load = request.getfixturevalue("chat_model")
    return lambda *answers: load(request.param)


@pytest.fixture(scope="module", params=REAL)
def real(request: pytest.FixtureRequest) -> ChatModel:
    """A model that computes."""
    load: Callable[[str], ChatModel] = request.getfixturevalue("chat_model")
    return load(request.param)


def question(text: str = "Count from one to ten in words.", **more: Any) -> ChatRequest:
    more.setdefault("max_tokens", 16)
    return ChatRequest((Message("user", text),), **more)


def ask(
    model: ChatModel, request: ChatRequest, cancel: CancelToken | None = None
) -> tuple[list[str], Completion]:
    """All pieces of text, and the completion."""
    *pieces, last = model.stream(request, cancel)
    assert last.completion is not None
    assert last.text == ""
    assert all(piece.completion is None for piece in pieces)
    return [piece.text for piece in pieces], last.completion


def answer(model: ChatModel, request: ChatRequest) -> str:
    return ask(model, request)[1].text


# -- the stream ----------------------------------------------------------------------------------


def test_the_last_delta_carries_the_completion_and_the_pieces_make_up_its_text(
    model: Make,
) -> None:
    subject = model("One, two, three, four.")
    pieces, completion = ask(subject, question())
    assert "".join(pieces) == completion.text != ""
    assert all(pieces)
    assert len(pieces) > 1
    assert completion.model == subject.name


def test_the_usage_adds_up(model: Make) -> None:
    subject = model("One, two, three, four.")
    request = question()
    usage = ask(subject, request)[1].usage
    assert usage.prompt_tokens == subject.count_tokens(request.messages)
    assert 0 <= usage.cached_tokens < usage.prompt_tokens
    assert 0 < usage.completion_tokens <= 16
    assert usage.forced_tokens == 0
    assert usage.prefill_seconds >= 0 <= usage.decode_seconds


def test_max_tokens_ends_an_answer_with_length(model: Make) -> None:
    completion = ask(model("one two three four five six"), question(max_tokens=3))[1]
    assert completion.finish_reason == "length"
    assert completion.usage.completion_tokens == 3


def test_an_answer_that_ends_by_itself_says_stop(model: Make) -> None:
    request = question(
        "Say the word yes and nothing else.", constraint=JsonSchema({"const": "yes"})
    )
    assert ask(model('"yes"'), request)[1].finish_reason == "stop"


def test_characters_are_never_broken_across_deltas(model: Make) -> None:
    for tokens in range(1, 9):
        subject = model("🦊🦊 日本 🎉🎉")
        request = question("Repeat this: 🦊🦊🎉🎉日本🧑‍🚀🦊", max_tokens=tokens)
        assert "\ufffd" not in "".join(ask(subject, request)[0])


def test_what_makes_no_sense_is_refused_by_the_call_itself(model: Make) -> None:
    subject = model()
    with pytest.raises(UserError, match="max_tokens"):
        subject.stream(question(max_tokens=0))
    with pytest.raises(UserError, match="message"):
        subject.stream(ChatRequest(()))


# -- stop strings --------------------------------------------------------------------------------


def test_stop_strings_end_the_answer_and_never_leak(model: Make) -> None:
    """Cut out of what the model says anyway: within a word, across words, over several tokens."""
    told = "One, two, three, four, five, six, seven."
    request = question("Count: one, two, three, four, five, six,", max_tokens=20)
    answer(model(told), request)
    whole = answer(model(told), request)
    for start, length in [(2, 1), (3, 4), (6, 9), (10, 2), (1, 14)]:
        stop = whole[start : start + length]
        assert stop
        cut = ChatRequest(request.messages, 20, stop=("never said", stop))
        pieces, completion = ask(model(told), cut)
        assert "".join(pieces) == completion.text == whole[: whole.index(stop)]
        assert completion.finish_reason == "stop"


# -- cancel, abandon, close ----------------------------------------------------------------------


def test_a_cancel_ends_the_answer_and_the_model_goes_on_with_the_next(model: Make) -> None:
    token = CancelToken()
    subject = model("one two three four five six seven eight", "fine")
    stream = subject.stream(question(max_tokens=200), token)
    first = next(stream)
    token.cancel()
    *_, last = stream
    assert last.completion is not None
    assert last.completion.finish_reason == "cancelled"
    assert last.completion.text.startswith(first.text)
    assert last.completion.usage.completion_tokens <= 3
    assert ask(subject, question())[1].finish_reason in ("stop", "length")


def test_a_cancel_before_the_start_computes_nothing(model: Make) -> None:
    token = CancelToken()
    token.cancel()
    pieces, completion = ask(model("never said"), question(), token)
    assert (pieces, completion.text, completion.finish_reason) == ([], "", "cancelled")
    assert completion.usage.decode_calls == completion.usage.completion_tokens == 0


def test_an_abandoned_answer_leaves_the_model_usable(model: Make) -> None:
    subject = model("one two three", "one two three", "one two three", "one two three")
    expected = answer(subject, question())
    stream = subject.stream(question())
    next(stream)
    stream.close()  # type: ignore[attr-defined]  # a generator
    dropped = subject.stream(question())
    next(dropped)
    del dropped
    assert answer(subject, question()) == expected


def test_an_answer_can_be_closed_by_another_thread(model: Make) -> None:
    subject = model("one two three", "one two three")
    stream = subject.stream(question())
    next(stream)
    thread = threading.Thread(target=stream.close)  # type: ignore[attr-defined]  # a generator
    thread.start()
    thread.join()
    assert answer(subject, question())


def test_a_stream_that_was_never_begun_holds_nothing(model: Make) -> None:
    subject = model("never said", "one two")
    waiting = subject.stream(question())
    assert answer(subject, question())
    del waiting


# -- what does not fit ---------------------------------------------------------------------------


def test_a_prompt_that_does_not_fit_says_by_how_many_tokens(model: Make) -> None:
    subject = model("one two")
    request = question()
    room = subject.context_tokens - subject.count_tokens(request.messages)
    subject.stream(question(max_tokens=room))
    with pytest.raises(PromptTooLong, match="1 tokens too long") as caught:
        subject.stream(question(max_tokens=room + 1))
    assert caught.value.excess == 1
    assert caught.value.hint


def test_a_long_prompt_is_refused_before_anything_is_computed(model: Make) -> None:
    subject = model()
    request = question("word " * 2 * subject.context_tokens, max_tokens=10)
    prompt = subject.count_tokens(request.messages)
    with pytest.raises(PromptTooLong) as caught:
        subject.stream(request)
    assert caught.value.excess == prompt + 10 - subject.context_tokens


# -- JSON Schema ---------------------------------------------------------------------------------


def record(**properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": [*properties],
        "additionalProperties": False,
    }


SHORT = {"type": "string", "maxLength": 12}

SCHEMAS: list[tuple[dict[str, Any], Any]] = [
    ({"enum": ["red", "green", "blue"]}, "green"),
    ({"const": {"fixed": [1, None, True, "ü"]}}, {"fixed": [1, None, True, "ü"]}),
    ({"type": "boolean"}, True),
    ({"type": "integer", "minimum": 3, "maximum": 17}, 5),
    (record(name=SHORT, age={"type": "integer", "minimum": 0, "maximum": 150}),
     {"name": "Ann", "age": 3}),
    (record(a=record(b=record(c={"enum": [1, 2.5, None]}))), {"a": {"b": {"c": None}}}),
    ({"type": "array", "items": {"enum": ["x", "y"]}, "minItems": 2, "maxItems": 3}, ["x", "y"]),
    ({"type": "array", "items": record(who=SHORT), "maxItems": 2}, []),
    ({"anyOf": [{"type": "null"}, record(reason={"enum": ["late", "lost"]})]}, None),
    ({"type": "string", "pattern": "^[A-Z]{2}-[0-9]{3}$"}, "AB-123"),
    (record(**{"größe": {"enum": ["groß", "klein"]}, "名前": {"enum": ["太郎", "🦊"]}}),
     {"größe": "klein", "名前": "🦊"}),
]  # fmt: skip


@pytest.mark.parametrize(("schema", "scripted"), SCHEMAS)
def test_an_answer_fits_its_schema_and_is_written_as_json_dumps_writes(
    model: Make, schema: dict[str, Any], scripted: Any
) -> None:
    request = question("Make something up.", constraint=JsonSchema(schema), max_tokens=120)
    completion = ask(model(json.dumps(scripted, ensure_ascii=False)), request)[1]
    assert completion.finish_reason == "stop"
    value = json.loads(completion.text)
    Draft202012Validator(schema).validate(value)
    assert completion.text == json.dumps(value, ensure_ascii=False)


def test_an_empty_schema_asks_for_any_json(model: Make) -> None:
    request = question("Say hello.", constraint=JsonSchema({}), max_tokens=40)
    completion = ask(model({"hello": 1}), request)[1]
    if completion.finish_reason == "stop":
        json.loads(completion.text)
    assert completion.text.lstrip()[0] in '{["-0123456789tfn'


def test_a_schema_that_is_none_is_refused(model: Make) -> None:
    for schema in ({"type": "nonsense"}, {"properties": 5}):
        with pytest.raises(UserError, match="schema"):
            model().stream(question(constraint=JsonSchema(schema)))


def test_a_schema_that_cannot_be_enforced_is_refused(real: ChatModel) -> None:
    for schema in ({"type": "string", "pattern": "(?=a)b"}, {"enum": [{1, 2}]}):
        with pytest.raises(UserError, match="schema"):
            real.stream(question(constraint=JsonSchema(schema)))


def test_what_the_grammar_dictates_is_counted_and_not_sampled(real: ChatModel) -> None:
    schema = record(first={"enum": ["yes", "no"]}, second={"enum": ["yes", "no"]})
    usage = ask(real, question("Yes or no?", constraint=JsonSchema(schema)))[1].usage
    assert usage.completion_tokens / 2 < usage.forced_tokens < usage.completion_tokens
    assert usage.decode_calls <= 3


def test_an_answer_cut_in_what_the_grammar_dictates_says_length(real: ChatModel) -> None:
    whole = '"a sentence of which every word is dictated"'
    request = question(constraint=JsonSchema({"const": json.loads(whole)}), max_tokens=4)
    completion = ask(real, request)[1]
    assert completion.finish_reason == "length"
    assert completion.usage.completion_tokens == completion.usage.forced_tokens == 4
    assert completion.text
    assert whole.startswith(completion.text)


# -- sampling ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", -0.1),
        ("temperature", float("nan")),
        ("temperature", "hot"),
        ("top_k", -1),
        ("top_k", 2.5),
        ("top_p", 1.5),
        ("min_p", -1.0),
        ("repeat_penalty", 0.0),
        ("frequency_penalty", 3.0),
        ("presence_penalty", None),
        ("seed", "lucky"),
    ],
)
def test_a_sampling_parameter_out_of_bounds_is_named(
    real: ChatModel, name: str, value: Any
) -> None:
    with pytest.raises(UserError, match=f"^{name} must be"):
        real.stream(question(sampling=Sampling(**{name: value})))


def test_a_seed_makes_random_answers_repeatable(real: ChatModel) -> None:
    def told(seed: int | None) -> str:
        request = question(max_tokens=6, sampling=Sampling(temperature=1.5, seed=seed))
        return answer(real, request)

    told(0)
    for seed in (0, 7, -1, 2**32 - 1):
        assert told(seed) == told(seed)
    assert len({told(seed) for seed in (1, 2, 3, 4)}) > 1
    assert len({told(None) for _ in range(4)}) > 1


def test_greedy_answers_repeat_and_penalties_change_them(real: ChatModel) -> None:
    request = question("Say la la la la.", max_tokens=12)
    answer(real, request)
    assert answer(real, request) == answer(real, request)
    loud = Sampling(repeat_penalty=10.0, presence_penalty=2.0)
    calm = question("Say la la la la.", max_tokens=12, sampling=loud)
    assert answer(real, calm) != answer(real, request)


def test_truncation_to_one_token_is_greedy_at_any_temperature(real: ChatModel) -> None:
    request = question()
    answer(real, request)
    narrow = Sampling(temperature=2.0, top_k=1, top_p=0.9, min_p=0.1)
    assert answer(real, question(sampling=narrow)) == answer(real, request)


# -- reuse of what was read ----------------------------------------------------------------------


def test_a_shared_prefix_is_not_read_again_and_changes_no_answer(real: ChatModel) -> None:
    facts = "The shop opens at nine. Ann sells bread. Bob sells fish. Carl sells flowers. " * 4

    def about(text: str) -> ChatRequest:
        schema = {"enum": ["Ann", "Bob", "Carl", "nobody"]}
        return ChatRequest(
            (Message("system", facts), Message("user", text)), 16, constraint=JsonSchema(schema)
        )

    texts = ("Who sells fish?", "Who sells bread?")
    fresh = {}
    for text in texts:
        answer(real, question("Something else entirely."))
        fresh[text] = ask(real, about(text))[1]
        assert fresh[text].usage.cached_tokens < 30
    for text in texts:
        again = ask(real, about(text))[1]
        shared = real.count_tokens(about("").messages)
        assert again.usage.cached_tokens > shared - 15
        assert again.text == fresh[text].text


def test_a_repeated_request_reads_one_token(real: ChatModel) -> None:
    request = question(constraint=JsonSchema({"enum": ["yes", "no"]}))
    answer(real, request)
    usage = ask(real, request)[1].usage
    assert usage.cached_tokens == usage.prompt_tokens - 1


# -- threads -------------------------------------------------------------------------------------


def test_four_threads_at_once_each_get_their_own_answer(model: Make) -> None:
    subject = model(*[lambda asked: json.dumps(asked.constraint.schema["const"])] * 4)
    told: dict[str, str] = {}
    start = threading.Barrier(4)

    def run(own: str) -> None:
        start.wait()
        request = question(f"I am {own}", constraint=JsonSchema({"const": own}), max_tokens=64)
        told[own] = "".join(delta.text for delta in subject.stream(request))

    threads = [threading.Thread(target=run, args=(f"thread {n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert told == {f"thread {n}": f'"thread {n}"' for n in range(4)}


def test_a_second_question_within_an_open_answer_never_hangs(real: ChatModel) -> None:
    """One sequence: the thread that reads an answer would wait for itself."""
    stream = real.stream(question())
    next(stream)
    with pytest.raises(UserError, match="in the middle of another answer"):
        next(real.stream(question("And this?")))
    *_, last = stream
    assert last.completion is not None
    assert answer(real, question())


def test_a_request_that_waits_for_its_turn_can_be_cancelled(real: ChatModel) -> None:
    stream = real.stream(question())
    next(stream)
    token, told = CancelToken(), []
    thread = threading.Thread(target=lambda: told.append(ask(real, question(), token)[1]))
    thread.start()
    token.cancel()
    thread.join()
    assert [one.finish_reason for one in told] == ["cancelled"]
    stream.close()  # type: ignore[attr-defined]  # a generator


# -- the end -------------------------------------------------------------------------------------


@pytest.fixture(params=["scripted", REAL[0]])
def own_model(request: pytest.FixtureRequest) -> ChatModel:
    """One that the test may close."""
    if request.param == "scripted":
        return ScriptedModel("one two three four")
    from agentkit.engine import LlamaChatModel

    path = request.getfixturevalue("model_path")(request.param)
    return LlamaChatModel(path, "own", context_tokens=256, threads=1)


def test_a_closed_model_says_so(own_model: ChatModel) -> None:
    own_model.close()
    own_model.close()
    with pytest.raises(ModelError, match="was closed"):
        own_model.count_tokens([Message("user", "hello")])
    with pytest.raises(ModelError, match="was closed"):
        own_model.stream(question())


def test_closing_cancels_the_answer_that_is_open(own_model: ChatModel) -> None:
    stream = own_model.stream(question())
    next(stream)
    own_model.close()
    *_, last = stream
    assert last.completion is not None
    assert last.completion.finish_reason == "cancelled"
    with pytest.raises(ModelError, match="was closed"):
        own_model.stream(question())
