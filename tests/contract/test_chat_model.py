"""What every `ChatModel` promises; run on each adapter.

An adapter joins by a name in `ADAPTERS` and a branch in the fixture `adapter`.  `model("...")`
gives the model under test; a scripted one will answer with what was handed over, a real one as it
likes.  `real` are those that compute, `local` those that do it in this process.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from agentkit.cancel import CancelToken
from agentkit.engine import LlamaChatModel
from agentkit.errors import ModelError, PromptTooLong, UserError
from agentkit.messages import (
    ChatRequest,
    Choices,
    Completion,
    JsonSchema,
    Message,
    OneTool,
    Regex,
    Sampling,
    ToolCall,
    ToolSchema,
)
from agentkit.ports import ChatModel
from agentkit.remote import RemoteChatModel
from agentkit.testing import ScriptedModel

LLAMA_SERVER = Path(__file__).parent.parent / "remote" / "llama_server.py"

REMOTE = pytest.param("remote", marks=pytest.mark.model)
"""The first one, so that its server is gone before a model is loaded in this process."""

LOCAL = [
    pytest.param("smollm2-135m", marks=pytest.mark.model),
    pytest.param("qwen2.5-coder-0.5b", marks=pytest.mark.model),
]
ADAPTERS: dict[str, list[Any]] = {
    "model": ["scripted", REMOTE, *LOCAL],
    "real": [REMOTE, *LOCAL],
    "local": LOCAL,
}

Make = Callable[..., ChatModel]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    for fixture, adapters in ADAPTERS.items():
        if fixture in metafunc.fixturenames:
            metafunc.parametrize("adapter", adapters, indirect=True, scope="module")


@pytest.fixture(scope="module")
def adapter(request: pytest.FixtureRequest) -> Iterator[Make]:
    """Makes the model under test; the arguments are the answers of a scripted one."""
    if request.param == "scripted":
        yield ScriptedModel
    elif request.param == "remote":
        with llama_server(request.getfixturevalue("model_path")("smollm2-135m")) as url:
            served = RemoteChatModel(url, name="remote")
            yield lambda *answers: served
            served.close()
    else:
        loaded = request.getfixturevalue("chat_model")(request.param)
        yield lambda *answers: loaded


@contextmanager
def llama_server(gguf: Path) -> Iterator[str]:
    """The address of llama.cpp's own server with that model; it still loads it."""
    program = [sys.executable, str(LLAMA_SERVER), str(gguf), "smollm2"]
    with subprocess.Popen(
        program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


@pytest.fixture
def model(adapter: Make) -> Make:
    """Any adapter."""
    return adapter


@pytest.fixture
def real(adapter: Make) -> ChatModel:
    """A model that computes."""
    return adapter()


@pytest.fixture
def local(adapter: Make) -> ChatModel:
    """A model that computes in this process."""
    return adapter()


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


def parted_at_a_toss_up(first: Completion, second: Completion) -> bool:
    """Whether two answers are the same up to a token that was hardly likelier than another.

    Where cells of the cache lie decides the order of sums, and so the last bits of logits.
    """
    pairs = zip(first.logprobs, second.logprobs, strict=False)
    one, _ = next(pair for pair in pairs if pair[0].token != pair[1].token)
    return one.top[0][1] - one.top[1][1] < 0.1


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
    with pytest.raises(UserError, match="samples"):
        subject.stream(question(samples=0))
    with pytest.raises(UserError, match="timeout"):
        subject.stream(question(timeout=0.0))
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


def test_a_schema_that_cannot_be_enforced_is_refused(local: ChatModel) -> None:
    for schema in ({"type": "string", "pattern": "(?=a)b"}, {"enum": [{1, 2}]}):
        with pytest.raises(UserError, match="schema"):
            local.stream(question(constraint=JsonSchema(schema)))


def test_what_the_grammar_dictates_is_counted_and_not_sampled(local: ChatModel) -> None:
    schema = record(first={"enum": ["yes", "no"]}, second={"enum": ["yes", "no"]})
    usage = ask(local, question("Yes or no?", constraint=JsonSchema(schema)))[1].usage
    assert usage.completion_tokens / 2 < usage.forced_tokens < usage.completion_tokens
    assert usage.decode_calls <= 3


def test_an_answer_cut_in_what_the_grammar_dictates_says_length(local: ChatModel) -> None:
    whole = '"a sentence of which every word is dictated"'
    request = question(constraint=JsonSchema({"const": json.loads(whole)}), max_tokens=4)
    completion = ask(local, request)[1]
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
        ("typical_p", 2.0),
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
    repeated = [told(seed) == told(seed) for seed in (0, 7, -1, 2**32 - 1)]
    assert sum(repeated) >= 3  # the last bits of logits may tip a draw as hot as this
    assert len({told(seed) for seed in (1, 2, 3, 4)}) > 1
    assert len({told(None) for _ in range(4)}) > 1


def test_greedy_answers_repeat_and_penalties_change_them(real: ChatModel) -> None:
    request = question("Say la la la la.", max_tokens=12, top_logprobs=2)
    answer(real, request)
    first, second = (ask(real, request)[1] for _ in range(2))
    assert first.text == second.text or parted_at_a_toss_up(first, second)
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
    facts = "Ann sells bread. Bob sells fish. Carl sells flowers. Nobody sells cars. " * 4

    def about(shop: str, text: str) -> ChatRequest:
        schema = {"enum": ["Ann", "Bob", "Carl", "nobody"]}
        told = (Message("system", f"{shop} opens at nine. {facts}"), Message("user", text))
        return ChatRequest(told, 16, constraint=JsonSchema(schema))

    for shop in ("Zum Goldenen Hirschen", "The Three Swans"):
        fresh = ask(real, about(shop, "Who sells fish?"))[1]
        assert fresh.usage.cached_tokens < 40
        shared = real.count_tokens(about(shop, "").messages)
        for text in ("Who sells bread?", "Who sells fish?"):
            again = ask(real, about(shop, text))[1]
            assert again.usage.cached_tokens > shared - 15
        assert again.text == fresh.text


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


def test_two_open_answers_of_one_thread_both_finish(model: Make) -> None:
    subject = model("one two three", "four five six")
    first = subject.stream(question())
    pieces = [next(first).text]
    second = answer(subject, question("And this?"))
    pieces += [delta.text for delta in first]
    assert "".join(pieces)
    assert second


def test_a_waiting_request_can_be_cancelled(real: ChatModel) -> None:
    """More at once than an adapter answers at once; the last one waits, or is being answered."""
    streams = [real.stream(question(max_tokens=60)) for _ in range(8)]
    token = CancelToken()
    told: list[Completion] = []

    def run(number: int, cancel: CancelToken | None) -> None:
        *_, last = streams[number] if cancel is None else real.stream(question(), cancel)
        assert last.completion is not None
        if cancel is not None:
            told.append(last.completion)

    threads = [threading.Thread(target=run, args=(n, None)) for n in range(8)]
    threads.append(threading.Thread(target=run, args=(8, token)))
    for thread in threads:
        thread.start()
    token.cancel()
    for thread in threads:
        thread.join()
    assert [one.finish_reason for one in told] == ["cancelled"]


# -- tools ---------------------------------------------------------------------------------------

WEATHER = ToolSchema("weather", "The weather in a city today.", record(city=SHORT))
HALT = ToolSchema("halt", "End the conversation.", record())

QUESTION = "What is the weather in Rome?"


def fits(call: ToolCall, *tools: ToolSchema) -> bool:
    """Whether this is a call of one of the tools, with arguments that fit it."""
    schemas = {tool.name: tool.parameters for tool in tools}
    Draft202012Validator(schemas[call.name]).validate(json.loads(call.arguments))
    return bool(call.id)


def test_a_required_call_is_a_valid_call(model: Make) -> None:
    subject = model(ToolCall("1", "weather", '{"city": "Rome"}'))
    request = question(QUESTION, tools=(WEATHER, HALT), tool_choice="required", max_tokens=100)
    deltas = list(subject.stream(request))
    completion = deltas[-1].completion
    assert completion is not None
    assert completion.finish_reason == "tool_calls"
    assert completion.tool_calls
    assert all(fits(call, WEATHER, HALT) for call in completion.tool_calls)
    pieces = [delta.call for delta in deltas if delta.call]
    for index, call in enumerate(completion.tool_calls):
        own = [piece for piece in pieces if piece.index == index]
        assert (own[0].id, own[0].name) == (call.id, call.name)
        assert "".join(piece.arguments for piece in own) == call.arguments


@pytest.mark.parametrize("tool", [WEATHER, HALT], ids=lambda tool: tool.name)
def test_one_tool_can_be_demanded(model: Make, tool: ToolSchema) -> None:
    arguments = '{"city": "Rome"}' if tool is WEATHER else "{}"
    subject = model(ToolCall("1", tool.name, arguments))
    chosen = OneTool(tool.name)
    request = question(QUESTION, tools=(WEATHER, HALT), tool_choice=chosen, max_tokens=100)
    calls = ask(subject, request)[1].tool_calls
    assert {call.name for call in calls} == {tool.name}
    assert all(fits(call, tool) for call in calls)


def test_no_tool_is_called_when_none_may_be(model: Make) -> None:
    request = question(QUESTION, tools=(WEATHER,), tool_choice="none")
    pieces, completion = ask(model("It is fine."), request)
    assert completion.tool_calls == ()
    assert completion.finish_reason in ("stop", "length")
    assert "".join(pieces) == completion.text != ""


def test_a_model_may_choose_and_is_understood(model: Make) -> None:
    subject = model(Message("assistant", "I look.", tool_calls=(ToolCall("1", "halt", "{}"),)))
    completion = ask(subject, question(QUESTION, tools=(WEATHER, HALT), max_tokens=40))[1]
    assert completion.tool_calls or completion.text
    assert completion.message.tool_calls == completion.tool_calls
    assert (completion.finish_reason == "tool_calls") == bool(completion.tool_calls)


def test_a_history_with_calls_and_results_is_accepted(model: Make) -> None:
    history = (
        Message("user", QUESTION),
        Message("assistant", "", tool_calls=(ToolCall("1", "weather", '{"city": "Rome"}'),)),
        Message("tool", "sunny, 24 degrees", tool_call_id="1"),
    )
    subject = model("It is sunny.")
    assert subject.count_tokens(history, (WEATHER,)) > subject.count_tokens(history[:1])
    assert answer(subject, ChatRequest(history, 16, tools=(WEATHER,), tool_choice="none"))


def test_a_tool_choice_that_makes_no_sense_is_refused(model: Make) -> None:
    with pytest.raises(UserError, match="no tools"):
        model().stream(question(tool_choice="required"))
    with pytest.raises(UserError, match=r"no tool named 'weathr'.*weather"):
        model().stream(question(tools=(WEATHER,), tool_choice=OneTool("weathr")))


# -- patterns and choices ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "scripted"),
    [
        (r"[A-Z]{2}-\d{3}", "AB-123"),
        (r"(yes|no), because \w{1,8}\.", "no, because late."),
        (r"[^a-z\s]{4}", "4711"),
        (r"a+b?c{0,2}", "aab"),
        (r"ü(🦊|日本)", "ü日本"),
    ],
)
def test_an_answer_matches_its_pattern(model: Make, pattern: str, scripted: str) -> None:
    request = question("Make something up.", constraint=Regex(pattern), max_tokens=60)
    pieces, completion = ask(model(scripted), request)
    assert completion.finish_reason in ("stop", "length")
    if completion.finish_reason == "stop":
        assert re.fullmatch(pattern, completion.text)
    assert "".join(pieces) == completion.text != ""


def test_a_pattern_that_is_none_is_refused(model: Make) -> None:
    for pattern in ("(", "[z-a]"):
        with pytest.raises(UserError, match=r"pattern|regular expression"):
            model().stream(question(constraint=Regex(pattern)))


def test_an_answer_is_one_of_the_choices(model: Make) -> None:
    options = ("red wine", 'say "no" [never]', "größer", "🦊")
    for option in options:
        request = question(f"Say: {option}", constraint=Choices(options), max_tokens=30)
        completion = ask(model(option), request)[1]
        assert completion.finish_reason == "stop"
        assert completion.text in options


# -- samples, probabilities, reasoning, deadlines ------------------------------------------------


def test_several_samples_each_end_with_their_own_completion(model: Make) -> None:
    drawn = Sampling(temperature=1.5, seed=1)
    subject = model("one two", "three four", "five six")
    deltas = list(subject.stream(question(samples=3, sampling=drawn, max_tokens=8)))
    for sample in range(3):
        *pieces, last = [delta for delta in deltas if delta.sample == sample]
        assert last.completion is not None
        assert all(piece.completion is None for piece in pieces)
        assert last.completion.text == "".join(piece.text for piece in pieces) != ""
        assert last.completion.usage.completion_tokens <= 8
    assert {delta.sample for delta in deltas} == {0, 1, 2}


def test_drawn_samples_differ(real: ChatModel) -> None:
    drawn = Sampling(temperature=1.5, seed=1)
    deltas = real.stream(question(samples=4, sampling=drawn, max_tokens=8))
    assert len({delta.completion.text for delta in deltas if delta.completion}) > 1


def test_probabilities_come_with_the_text_that_they_belong_to(model: Make) -> None:
    deltas = list(model("one two three").stream(question(top_logprobs=3, max_tokens=6)))
    completion = deltas[-1].completion
    assert completion is not None
    assert completion.logprobs
    told = b"".join(token.token for token in completion.logprobs)
    assert told.startswith(completion.text.encode())
    streamed = [token for delta in deltas for token in delta.logprobs]
    assert tuple(streamed) == completion.logprobs[: len(streamed)] != ()
    for token in completion.logprobs:
        assert token.logprob <= 0 >= token.allowed_logprob
        assert 1 <= len(token.top) <= 3
        assert list(token.top) == sorted(token.top, key=lambda one: -one[1])
        assert token.top[0] == (token.token, token.logprob)  # greedy


def test_no_probabilities_unless_asked_for(model: Make) -> None:
    deltas = list(model("one two three").stream(question()))
    assert not any(delta.logprobs for delta in deltas)
    completion = deltas[-1].completion
    assert completion is not None
    assert completion.logprobs == ()


def test_a_model_that_does_not_reason_has_no_reasoning(model: Make) -> None:
    deltas = list(model("one two three").stream(question()))
    assert not any(delta.reasoning for delta in deltas)
    completion = deltas[-1].completion
    assert completion is not None
    assert completion.reasoning == ""


def test_a_deadline_that_has_passed_computes_nothing(model: Make) -> None:
    pieces, completion = ask(model("never said"), question(timeout=1e-9))
    assert (pieces, completion.text, completion.finish_reason) == ([], "", "deadline")
    assert completion.usage.completion_tokens == 0


def test_a_deadline_ends_an_answer_with_what_there_is(real: ChatModel) -> None:
    """Reading the question and telling a story takes longer than a tenth of a second anywhere."""
    request = question("Tell a long story.", max_tokens=900, timeout=0.1)
    pieces, completion = ask(real, request)
    assert completion.finish_reason == "deadline"
    assert "".join(pieces) == completion.text
    assert completion.usage.completion_tokens < 900
    assert answer(real, question())


# -- the end -------------------------------------------------------------------------------------


@pytest.fixture(params=["scripted", REMOTE, LOCAL[0]])
def own_model(request: pytest.FixtureRequest) -> Iterator[ChatModel]:
    """One that the test may close."""
    if request.param == "scripted":
        yield ScriptedModel("one two three four")
        return
    path = request.getfixturevalue("model_path")("smollm2-135m")
    if request.param == "remote":
        with llama_server(path) as url:
            yield RemoteChatModel(url, name="own")
    else:
        yield LlamaChatModel(path, "own", context_tokens=256, threads=1)


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
