"""What servers send, recorded or by their documentation, and what is made of it."""

from __future__ import annotations

import math
from typing import Any

import pytest

from agentkit.errors import ModelError
from agentkit.messages import (
    CallDelta,
    ChatRequest,
    Choices,
    Completion,
    Delta,
    JsonSchema,
    Lark,
    Message,
    OneTool,
    Regex,
    ToolCall,
    ToolSchema,
    Usage,
)

from .player import CHAT, FINE, RECORDED, USAGE, Make, Player, stream, text

WEATHER = ToolSchema("weather", "Weather of a city", {"type": "object"})


def question(**more: Any) -> ChatRequest:
    return ChatRequest((Message("user", "Say hello."),), **more)


def deltas(make: Make, player: Player, answer: bytes, **more: Any) -> list[Delta]:
    player.on(CHAT, answer)
    return list(make().stream(question(**more)))


def completion(make: Make, player: Player, answer: bytes, **more: Any) -> Completion:
    last = deltas(make, player, answer, **more)[-1].completion
    assert last is not None
    return last


def recorded(name: str) -> bytes:
    return stream((RECORDED / name).read_bytes(), end="")


# -- recordings of llama-server ------------------------------------------------------------------


def test_a_recorded_answer(make: Make, player: Player) -> None:
    *pieces, last = deltas(make, player, recorded("llama-server-text.sse"))
    told = last.completion
    assert told is not None
    assert "".join(piece.text for piece in pieces) == told.text != ""
    assert (told.finish_reason, told.model, told.reasoning) == ("length", "big", "")
    assert (told.usage.prompt_tokens, told.usage.completion_tokens) == (33, 4)
    assert 0 < told.usage.prefill_seconds < 60 > told.usage.decode_seconds > 0
    assert told.notes == ()


def test_recorded_samples_are_counted_one_by_one(make: Make, player: Player) -> None:
    found = deltas(make, player, recorded("llama-server-samples.sse"), samples=2, top_logprobs=1)
    ends = [delta.completion for delta in found if delta.completion]
    assert [end.usage.completion_tokens for end in ends] == [2, 2]
    for end in ends:
        assert b"".join(token.token for token in end.logprobs) == end.text.encode()
        assert all(len(token.top) == 1 for token in end.logprobs)
        assert all(token.logprob < 0 for token in end.logprobs)


def test_a_recorded_call_is_streamed_and_put_together(make: Make, player: Player) -> None:
    found = deltas(make, player, recorded("llama-server-tool.sse"), tools=(WEATHER,))
    pieces = [delta.call for delta in found if delta.call]
    told = found[-1].completion
    assert told is not None
    (call,) = told.tool_calls
    assert (call.name, call.arguments) == ("weather", '{"city": "Rome"}')
    assert (pieces[0].id, pieces[0].name) == (call.id, "weather")
    assert all(piece.id == piece.name == "" for piece in pieces[1:])
    assert "".join(piece.arguments for piece in pieces) == call.arguments
    assert (told.finish_reason, told.text) == ("tool_calls", "")


def test_a_recorded_call_that_was_cut_off_is_left_out(make: Make, player: Player) -> None:
    told = completion(make, player, recorded("llama-server-cut-call.sse"), tools=(WEATHER,))
    assert [call.arguments for call in told.tool_calls] == ['{"city": "Rome"}']
    assert told.finish_reason == "length"
    assert "cut off" in told.notes[0]


# -- the habits of others ------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["reasoning_content", "reasoning"])
def test_thoughts_are_kept_apart(make: Make, player: Player, key: str) -> None:
    told = stream(text(**{key: "Hm"}), text(**{key: "."}), text("Yes"), text(end="stop"), USAGE)
    found = deltas(make, player, told)
    assert [(delta.reasoning, delta.text) for delta in found[:-1]] == [
        ("Hm", ""), (".", ""), ("", "Yes"),
    ]  # fmt: skip
    last = found[-1].completion
    assert last is not None
    assert (last.reasoning, last.text) == ("Hm.", "Yes")
    assert last.message == Message("assistant", "Yes", "Hm.")


def test_ollama_numbers_the_calls_of_one_event(make: Make, player: Player) -> None:
    """Each call is whole, and each event may begin with number 0 again."""

    def event(*calls: dict[str, Any]) -> dict[str, Any]:
        return text(tool_calls=[{"type": "function", **call} for call in calls])

    first = {"id": "a", "index": 0, "function": {"name": "weather", "arguments": '{"c": 1}'}}
    second = {"id": "b", "index": 0, "function": {"name": "weather", "arguments": {"c": "ü"}}}
    told = completion(
        make,
        player,
        stream(event(first), event(second), text(end="stop"), USAGE),
        tools=(WEATHER,),
    )
    assert told.tool_calls == (
        ToolCall("a", "weather", '{"c": 1}'),
        ToolCall("b", "weather", '{"c": "ü"}'),
    )
    assert told.finish_reason == "tool_calls"


def test_calls_without_numbers_and_names_get_some(make: Make, player: Player) -> None:
    wire: dict[str, Any] = {
        "tool_calls": [{"function": {"name": "weather"}}, {"function": {"name": "weather"}}]
    }
    found = deltas(make, player, stream(text(**wire), text(end="tool_calls")), tools=(WEATHER,))
    told = found[-1].completion
    assert told is not None
    first, second = told.tool_calls
    assert first.id != second.id != ""
    assert first.arguments == "{}"
    assert [delta.call for delta in found if delta.call] == [
        CallDelta(0, first.id, "weather"),
        CallDelta(1, second.id, "weather"),
    ]


def test_several_samples_may_be_counted_together(make: Make, player: Player) -> None:
    """As OpenAI's protocol has it: one number for all, at the very end."""

    def piece(index: int, **delta: Any) -> dict[str, Any]:
        return {"choices": [{"index": index, **delta}]}

    answer = stream(
        piece(1, delta={"content": "B"}),
        piece(0, delta={"content": "A"}),
        piece(0, delta={}, finish_reason="stop"),
        piece(1, delta={}, finish_reason="length"),
        USAGE,
    )
    found = deltas(make, player, answer, samples=2)
    ends = [delta.completion for delta in found if delta.completion]
    assert [(end.text, end.finish_reason) for end in ends] == [("A", "stop"), ("B", "length")]
    assert [end.usage.completion_tokens for end in ends] == [2, 0]
    assert sum((end.usage for end in ends), Usage()).prompt_tokens == 18


def test_usage_is_estimated_and_said_to_be_where_none_comes(make: Make, player: Player) -> None:
    told = completion(make, player, stream(text("Good"), text(" day"), text(end="stop")))
    assert told.usage.completion_tokens == 2
    assert told.usage.prompt_tokens > 0
    assert "estimated" in told.notes[0]


def test_cached_tokens_are_told(make: Make, player: Player) -> None:
    usage = {
        "prompt_tokens": 100,
        "completion_tokens": 1,
        "prompt_tokens_details": {"cached_tokens": 64},
    }
    told = completion(make, player, stream(text("A", "stop"), {"choices": [], "usage": usage}))
    assert told.usage.cached_tokens == 64


@pytest.mark.parametrize(
    "odd",
    [
        {"prompt_tokens": "many", "completion_tokens": None},
        {"prompt_tokens": -5, "completion_tokens": True},
        {"prompt_tokens": 1e300, "prompt_tokens_details": [1]},
    ],
)
def test_usage_that_is_none_counts_nothing(make: Make, player: Player, odd: Any) -> None:
    told = completion(make, player, stream(text("A", "stop"), {"usage": odd, "timings": 7}))
    counted = told.usage
    assert (counted.prompt_tokens, counted.cached_tokens, counted.completion_tokens) == (0, 0, 0)


@pytest.mark.parametrize(
    ("sent", "reason", "notes"),
    [
        ("stop", "stop", 0),
        ("length", "length", 0),
        ("content_filter", "stop", 1),
        ("abort", "stop", 1),
    ],
)
def test_how_an_answer_ended(
    make: Make, player: Player, sent: str, reason: str, notes: int
) -> None:
    told = completion(make, player, stream(text("A", sent), USAGE))
    assert (told.finish_reason, len(told.notes)) == (reason, notes)


@pytest.mark.parametrize(
    "answer",
    [
        stream(text("Good"), text(" day."), text(end="stop"), USAGE, end=""),
        stream(b": ping\n\n", text("Good"), b": ping\n\n", text(" day.", "stop"), USAGE),
        stream(
            b"\n\ndata:\n\n", text("Good"), b"event: x\nid: 3\n\n", text(" day.", "stop"), USAGE
        ),
        stream(text("Good"), text(" day.", "stop"), USAGE).replace(b"}\n\n", b"}\r\n\r\n"),
        stream(text(None, role="assistant"), text("Good day.", "stop"), USAGE),
        stream(
            {"choices": [{"message": {"content": "Good day."}, "finish_reason": "stop"}]}, USAGE
        ),
        stream({}, {"choices": None}, {"choices": [7]}, text("Good day.", "stop"), USAGE),
    ],
    ids=["no-done", "pings", "fields", "crlf", "null", "not-streamed", "empty"],
)
def test_odd_streams_are_understood(make: Make, player: Player, answer: bytes) -> None:
    assert completion(make, player, answer).text == "Good day."


def test_what_comes_after_the_end_is_not_waited_for(make: Make, player: Player) -> None:
    assert completion(make, player, FINE + b": ping\n\n" * 3).text == "Good day."


# -- probabilities -------------------------------------------------------------------------------


def test_probabilities_are_read_with_or_without_bytes(make: Make, player: Player) -> None:
    content = [
        {"token": "ü", "logprob": -1.5, "top_logprobs": [{"token": "ü", "logprob": -1.5}]},
        {"token": "\ufffd", "bytes": [240, 159], "logprob": None, "top_logprobs": []},
        {"token": "", "bytes": [], "logprob": -9.0},
    ]
    event = text("ü")
    event["choices"][0]["logprobs"] = {"content": content}
    told = completion(
        make, player, stream(event, text(end="stop"), USAGE), top_logprobs=1,
        constraint=JsonSchema({}), stop=("x",),
    )  # fmt: skip
    first, second = told.logprobs
    assert (first.token, first.logprob, first.top) == ("ü".encode(), -1.5, (("ü".encode(), -1.5),))
    assert (second.token, second.logprob, second.top) == (b"\xf0\x9f", -math.inf, ())
    assert "not known over HTTP" in told.notes[0]


# -- what no server should send ------------------------------------------------------------------


@pytest.mark.parametrize(
    "event",
    [
        b"data: {broken\n\n",
        b"data: [1, 2]\n\n",
        b"data: " + b"[" * 100_000 + b"\n\n",
        {"choices": [{"index": 1, "delta": {}}]},
        {"choices": [{"index": "x", "delta": {}}]},
        {"choices": [{"delta": "text"}]},
        text(content=["a", "list"]),
        text(reasoning_content={"a": 1}),
        text(tool_calls=[{"index": 10**9, "function": {"name": "weather"}}]),
        text(tool_calls=[{"index": -1, "function": {"name": "weather"}}]),
        text(tool_calls=[{"function": {"name": ["x"]}}]),
        text(tool_calls=[{"id": str(n), "function": {"name": "weather"}} for n in range(200)]),
    ],
)  # fmt: skip
def test_nonsense_is_the_model_s_fault(make: Make, player: Player, event: Any) -> None:
    with pytest.raises(ModelError, match="the server"):
        deltas(make, player, stream(event, text("A", "stop"), USAGE), tools=(WEATHER,))


# -- keeping to what was asked -------------------------------------------------------------------

NUMBER = JsonSchema({"type": "object", "properties": {"n": {"type": "integer"}}})


@pytest.mark.parametrize(
    ("constraint", "answer", "fault"),
    [
        (NUMBER, '{"n": "seven"}', "'seven' is not of type 'integer'"),
        (NUMBER, "Sure! Here it is:", "is not JSON"),
        (Choices(("yes", "no")), '"maybe"', "'maybe' is not one of the options"),
    ],
)
def test_an_answer_that_breaks_its_constraint_is_an_error(
    make: Make, player: Player, constraint: Any, answer: str, fault: str
) -> None:
    with pytest.raises(ModelError, match="did not keep to the constraint") as caught:
        deltas(make, player, stream(text(answer, "stop"), USAGE), constraint=constraint)
    assert fault in str(caught.value)


def test_a_pattern_is_checked_too(make: Make, player: Player) -> None:
    player.on(CHAT, stream(text("abc", "stop"), USAGE))
    model = make(flavour="vllm")
    with pytest.raises(ModelError, match="'abc' does not match"):
        list(model.stream(question(constraint=Regex("[0-9]+"))))
    (last,) = list(model.stream(question(constraint=Lark('start: "x"'))))[-1:]
    assert last.completion is not None
    assert "not checked" in last.completion.notes[0]


def test_what_was_cut_off_is_not_held_against_it(make: Make, player: Player) -> None:
    told = completion(
        make, player, stream(text('{"n": '), text(end="length"), USAGE), constraint=NUMBER
    )
    assert (told.text, told.finish_reason) == ('{"n": ', "length")


def test_a_schema_is_never_fetched_from_somewhere(make: Make, player: Player) -> None:
    remote = JsonSchema({"$ref": f"{player.url}/schema.json"})
    told = completion(make, player, stream(text("{}", "stop"), USAGE), constraint=remote)
    assert "not checked" in told.notes[0]
    assert "/schema.json" not in [asked.path for asked in player.asked]


@pytest.mark.parametrize(
    ("choice", "calls", "fault"),
    [
        ("required", [], "called no tool"),
        (OneTool("weather"), ["other"], "called other instead of weather"),
        ("none", ["weather"], "no call was asked for"),
    ],
)
def test_a_choice_of_tools_that_is_not_obeyed_is_an_error(
    make: Make, player: Player, choice: Any, calls: list[str], fault: str
) -> None:
    wire = [{"id": name, "function": {"name": name, "arguments": "{}"}} for name in calls]
    with pytest.raises(ModelError, match=fault):
        deltas(
            make,
            player,
            stream(text("A", tool_calls=wire), text(end="stop"), USAGE),
            tools=(WEATHER,),
            tool_choice=choice,
        )


def test_a_forced_call_comes_out_of_json(make: Make, player: Player) -> None:
    sent = '{\n "name": "weather",\n "arguments": {"city":"Rome"}}'
    player.on(CHAT, stream(*[text(piece) for piece in sent], text(end="stop"), USAGE))
    found = list(make(flavour="ollama").stream(question(tools=(WEATHER,), tool_choice="required")))
    told = found[-1].completion
    assert told is not None
    (call,) = told.tool_calls
    assert (call.name, call.arguments) == ("weather", '{"city": "Rome"}')
    assert (told.text, told.finish_reason) == ("", "tool_calls")
    assert [delta.call for delta in found[:-1]] == [
        CallDelta(0, call.id, *("weather", call.arguments))
    ]
