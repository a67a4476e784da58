"""Answers taken apart: every dialect, every habit of its models, and wherever an answer is cut."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentkit.engine.dialects import AnswerReader, choose
from agentkit.errors import UserError
from agentkit.messages import (
    ChatRequest,
    Choices,
    Delta,
    JsonSchema,
    Lark,
    Message,
    OneTool,
    Regex,
    ToolSchema,
)

from .dialect_cases import cases, letters, template, tools

PARSING = {name: (file, case) for name, file, case in cases("parsing")}

AS_TEXT = [name for name, (file, case) in PARSING.items() if case.get("spelled", True)]
AS_TOKENS = [name for name, (file, _) in PARSING.items() if file["markers"]]

ASK = (Message("user", "?"),)


@dataclass(frozen=True)
class Reading:
    """What a reader made of an answer; `shown` is the same, put together from its deltas."""

    text: str
    reasoning: str
    calls: list[tuple[str, str]]
    notes: list[str]
    shown: tuple[str, str, dict[int, tuple[str, str]]]


def read(reader: AnswerReader, pieces: Iterable[tuple[str, bool]]) -> Reading:
    deltas: list[Delta] = []
    for text, special in pieces:
        deltas += reader.push(text, special=special)
    deltas += reader.finish()
    shown: dict[int, tuple[str, str]] = {}
    for delta in deltas:
        if delta.call:
            name, arguments = shown.get(delta.call.index, ("", ""))
            assert bool(delta.call.name) == (delta.call.index not in shown)
            assert bool(delta.call.id) == bool(delta.call.name)
            shown[delta.call.index] = (
                name + delta.call.name,
                arguments + delta.call.arguments,
            )
        assert bool(delta.text) + bool(delta.reasoning) + bool(delta.call) == 1
    return Reading(
        reader.text,
        reader.reasoning,
        [(call.name, call.arguments) for call in reader.calls],
        reader.notes,
        ("".join(d.text for d in deltas), "".join(d.reasoning for d in deltas), shown),
    )


def reader_of(file: dict[str, Any], case: dict[str, Any]) -> AnswerReader:
    dialect = choose(template(file["template"]), letters(markers=file["markers"]))
    request = ChatRequest(ASK, tools=tools(case.get("tools", ())))
    return dialect.reader(request, thinking=case.get("thinking", False))


def in_pieces(output: str, markers: Sequence[str], *, size: int) -> list[tuple[str, bool]]:
    """An answer with its markers as tokens, and the text between them cut into pieces."""
    if not markers:
        return [(output[at : at + size], False) for at in range(0, len(output), size)]
    parts = re.split("(" + "|".join(map(re.escape, markers)) + ")", output)
    pieces: list[tuple[str, bool]] = []
    for number, part in enumerate(parts):
        if number % 2:
            pieces.append((part, True))
        else:
            pieces += in_pieces(part, (), size=size)
    return pieces


@pytest.mark.parametrize("name", AS_TEXT)
def test_answers_are_taken_apart(name: str) -> None:
    check_reading(*PARSING[name], markers=())


@pytest.mark.parametrize("name", AS_TOKENS)
def test_answers_with_markers_that_are_tokens_are_taken_apart(name: str) -> None:
    file, case = PARSING[name]
    check_reading(file, case, markers=file["markers"])


def check_reading(file: dict[str, Any], case: dict[str, Any], *, markers: Sequence[str]) -> None:
    expected = (
        case.get("text", ""),
        case.get("reasoning", ""),
        [pair for call in case.get("calls", ()) for pair in call.items()],
        case.get("notes", []),
    )
    readings = [
        read(reader_of(file, case), in_pieces(case["output"], markers, size=size))
        for size in (1, 2, 7, len(case["output"]))
    ]
    first = readings[0]
    assert (first.text, first.reasoning, first.calls, first.notes) == expected
    assert all(reading == first for reading in readings)
    assert first.shown[:2] == (first.text, first.reasoning)
    assert set(first.calls) <= set(first.shown[2].values())


def test_there_are_cases_enough_to_be_worth_the_name() -> None:
    rendering = list(cases("rendering"))
    assert len(rendering) + len(PARSING) >= 60
    dialects = {
        type(choose(template(file["template"]), letters())).__name__ for _, file, _ in rendering
    }
    assert dialects == {"Hermes", "Llama3", "Mistral", "Gemma", "Generic"}


# -- any answer, cut anywhere ----------------------------------------------------------------------

FRAGMENTS = [
    *("<tool_call>", "</tool_call>", "<think>", "</think>", "[TOOL_CALLS]", "<|python_tag|>"),
    *("{", "}", "[", "]", '"', ",", ":", ";", "\\", "\n", " ", "```", "```json\n", "<", "x"),
    *('{"name": "get_weather", "arguments": ', '{"name": "nobody", ', '{"city": "Paris"}'),
    *('"name": "get_time"', '"parameters": {}', '"{\\"a\\": 1}"', "<tools>", "[ARGS]"),
]


@given(data=st.data(), thinking=st.booleans())
@pytest.mark.parametrize(
    "source", ["qwen3.jinja", "llama3.1.jinja", "mistral-nemo.jinja", "gemma2.jinja"]
)
def test_where_an_answer_is_cut_makes_no_difference(
    source: str, data: st.DataObject, thinking: bool
) -> None:
    """Nor does anything make a reader fail, and what is no call is never lost."""
    markers = [text for text in FRAGMENTS if len(text) > 5 and text[0] in "<["]
    dialect = choose(template(source), letters(markers=markers))
    request = ChatRequest(ASK, tools=tools(["get_weather", "get_time"]))
    output = data.draw(st.lists(st.sampled_from(FRAGMENTS), max_size=25))
    special = data.draw(st.booleans())
    whole = [(text, special and text in markers) for text in output]
    pieces: list[tuple[str, bool]] = []
    for text, is_marker in whole:
        size = len(text) if is_marker else data.draw(st.integers(1, 4))
        pieces += [(text[at : at + size], is_marker) for at in range(0, len(text), size)]
    one = read(dialect.reader(request, thinking=thinking), whole)
    other = read(dialect.reader(request, thinking=thinking), pieces)
    assert one == other
    if not one.shown[2] and not one.notes:
        said = squeezed(one.reasoning + one.text)
        hidden = {text for text, marker in whole if marker and text.startswith(("[", "<|"))}
        shown = squeezed("".join(text for text in output if text not in hidden))
        assert said in (shown, *left_out(shown, *dialect.think))


def squeezed(text: str) -> str:
    return "".join(text.split())


def left_out(text: str, opening: str, closing: str) -> list[str]:
    """The text without the markers of one block of reasoning, or without the last of them."""
    return [
        text.replace(opening, "", 1).replace(closing, "", 1),
        text.replace(closing, "", 1),
        text.replace(opening, "", 1),
    ]


@given(text=st.text())
def test_without_tools_an_answer_is_its_text(text: str) -> None:
    dialect = choose(None, letters())
    reading = read(dialect.reader(ChatRequest(ASK), thinking=False), [(text, False)])
    if not text.strip(" \t\r\n").startswith("<think>"):
        assert reading.text == reading.shown[0] == text
    assert reading.calls == []


@given(
    arguments=st.dictionaries(
        st.text(), st.recursive(st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(),
                                lambda inner: st.lists(inner, max_size=3)), max_size=3
    ),
    ascii_only=st.booleans(),
    indent=st.sampled_from([None, 0, 2]),
)  # fmt: skip
def test_the_text_of_arguments_is_kept(
    arguments: dict[str, Any], ascii_only: bool, indent: int | None
) -> None:
    raw = json.dumps(arguments, ensure_ascii=ascii_only, indent=indent)
    output = f'<tool_call>\n{{"name": "get_time", "arguments": {raw}}}\n</tool_call>'
    dialect = choose(None, letters())
    reader = dialect.reader(ChatRequest(ASK, tools=tools(["get_time"])), thinking=False)
    reading = read(reader, [(output, False)])
    assert reading.calls == [("get_time", raw)]
    assert reading.text == ""


def test_deltas_come_as_soon_as_they_can() -> None:
    """A call shows its name before its arguments, and text waits only while it may be a marker."""
    dialect = choose(template("qwen2.5.jinja"), letters())
    reader = dialect.reader(ChatRequest(ASK, tools=tools(["get_weather"])), thinking=False)
    assert [d.text for d in reader.push("Hi, 1 < 2", special=False)] == ["Hi, 1 < 2"]
    assert [d.text for d in reader.push(" and <tool", special=False)] == [" and"]
    assert [d.text for d in reader.push("box", special=False)] == [" <toolbox"]
    assert reader.push('\n<tool_call>\n{"name": "get_w', special=False) == []
    (named,) = reader.push('eather", ', special=False)
    assert named.call
    assert (named.call.index, named.call.name) == (0, "get_weather")
    assert re.fullmatch("call_[0-9a-z]{8,}", named.call.id)
    (begun,) = reader.push('"arguments": {"ci', special=False)
    assert begun.call
    assert begun.call.arguments == '{"ci'
    (more,) = reader.push('ty": 1}}', special=False)
    assert more.call
    assert (more.call.id, more.call.name) == ("", "")
    assert more.call.arguments == 'ty": 1}'


def test_ids_differ() -> None:
    dialect = choose(None, letters())
    ids = set()
    for _ in range(3):
        reader = dialect.reader(ChatRequest(ASK, tools=tools(["get_time"])), thinking=False)
        reader.push('{"name": "get_time"}{"name": "get_time"}', special=False)
        ids |= {call.id for call in reader.calls}
    assert len(ids) == 6


# -- which dialect ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "dialect"),
    [
        ("<tool_call> {\"arguments\"", "Hermes"),
        ("'<tool_call>\\n{\\\"name\\\": ..., \\\"arguments\\\": '", "Hermes"),
        ("<tool_call>\n<function=", "Generic"),
        ("[TOOL_CALLS]", "Mistral"),
        ("[INST]", "Generic"),
        ('<|start_header_id|> "parameters"', "Llama3"),
        ("<|start_header_id|>", "Generic"),
        ("<start_of_turn>", "Gemma"),
        ("<|im_start|>", "Generic"),
        (None, "Generic"),
    ],
)  # fmt: skip
def test_the_template_tells_the_dialect(source: str | None, dialect: str) -> None:
    assert type(choose(source, letters())).__name__ == dialect


# -- grammars --------------------------------------------------------------------------------------

SOURCES = ["qwen2.5.jinja", "qwen3.jinja", "llama3.1.jinja", "mistral-nemo.jinja",
           "mistral-small3.2.jinja", "gemma2.jinja", "smollm2.jinja"]  # fmt: skip

MARKERS = {
    "qwen2.5.jinja": ["<tool_call>", "</tool_call>"],
    "qwen3.jinja": ["<tool_call>", "</tool_call>", "<think>", "</think>"],
    "llama3.1.jinja": ["<|python_tag|>"],
    "mistral-nemo.jinja": ["[TOOL_CALLS]"],
    "mistral-small3.2.jinja": ["[TOOL_CALLS]", "[ARGS]", "[CALL_ID]"],
}

WEATHER_AND_TIME = tools(["get_weather", "get_time"])


def grammar(
    source: str, *, tokens: bool = True, thinking: bool = False, **request: Any
) -> str | None:
    markers = MARKERS.get(source, []) if tokens else []
    dialect = choose(template(source), letters(markers=markers))
    return dialect.grammar(ChatRequest(ASK, **request), thinking=thinking)


@pytest.mark.parametrize("tokens", [False, True], ids=["spelled", "tokens"])
@pytest.mark.parametrize("source", SOURCES)
def test_llguidance_accepts_every_grammar(source: str, tokens: bool) -> None:
    from llguidance import LLMatcher

    constraints = [None, JsonSchema({"type": "object"}), Regex("a/b|[/]+\\/"), Choices(("a", 'b"'))]
    choices = ["auto", "required", OneTool("get_time")]
    for constraint in constraints:
        for thinking in (False, True):
            for choice in choices:
                for many in (False, True):
                    text = grammar(
                        source,
                        tokens=tokens,
                        thinking=thinking,
                        tools=WEATHER_AND_TIME,
                        tool_choice=choice,
                        constraint=constraint,
                        parallel_tool_calls=many,
                    )
                    assert text
                    assert LLMatcher.validate_grammar(text) == ""
            alone = grammar(source, tokens=tokens, thinking=thinking, constraint=constraint)
            reasons = source == "qwen3.jinja" or thinking
            assert bool(alone) == (constraint is not None and reasons)
            assert not alone or LLMatcher.validate_grammar(alone) == ""


@pytest.mark.parametrize(
    ("source", "start"),
    [
        ("qwen2.5.jinja", "start: <[2000000]> body"),
        ("qwen3.jinja", 'start: (reasoning "\\n\\n")? <[2000000]> body'),
        ("mistral-nemo.jinja", 'start: <[2000000]> "[" item'),
        ("mistral-small3.2.jinja", "start: <[2000000]> call"),
        ("llama3.1.jinja", 'start: "{\\"name\\": \\"" call'),
        ("smollm2.jinja", 'start: "<tool_call>" body'),
    ],
)
def test_a_required_call_begins_with_the_first_token(source: str, start: str) -> None:
    text = grammar(source, tools=WEATHER_AND_TIME, tool_choice="required")
    assert text
    assert text.startswith(start)


def test_calls_one_by_one_or_several() -> None:
    for source in ("qwen2.5.jinja", "mistral-nemo.jinja", "mistral-small3.2.jinja"):
        several = grammar(source, tools=WEATHER_AND_TIME)
        single = grammar(source, tools=WEATHER_AND_TIME, parallel_tool_calls=False)
        one_tool = grammar(source, tools=WEATHER_AND_TIME, tool_choice=OneTool("get_time"))
        assert several
        assert single
        assert one_tool
        assert "*" in several.split("\n")[0]
        assert "*" not in single.split("\n")[0] + one_tool.split("\n")[0]
        assert "get_weather" not in one_tool


def test_without_tools_and_constraint_any_text_will_do() -> None:
    for source in SOURCES:
        assert grammar(source) is None


def test_no_call_where_none_is_wanted() -> None:
    """What is one token can be kept away; of ordinary text nobody knows what it will become."""
    assert grammar("qwen2.5.jinja", tools=WEATHER_AND_TIME, tool_choice="none") == (
        "start: TEXT?\nTEXT: /(.|\\n)*/"
    )
    assert grammar("smollm2.jinja", tools=WEATHER_AND_TIME, tool_choice="none") is None


@pytest.mark.parametrize(
    ("request_", "complaint"),
    [
        ({"tools": WEATHER_AND_TIME, "tool_choice": OneTool("get_wether")}, "get_weather"),
        ({"tool_choice": OneTool("get_time")}, "no tool named 'get_time'"),
        ({"tool_choice": "required"}, "the request has no tools"),
        ({"tools": WEATHER_AND_TIME * 2}, "two tools are named 'get_weather'"),
        ({"tools": WEATHER_AND_TIME, "constraint": Lark("start: /a/")}, "grammar of your own"),
        ({"tools": WEATHER_AND_TIME, "constraint": Choices(())}, "no choices"),
        ({"tools": WEATHER_AND_TIME, "constraint": JsonSchema({"type": 1})}, "schema is not valid"),
        ({"tools": WEATHER_AND_TIME, "constraint": JsonSchema({"a": ...})}, "schema is not valid"),
        ({"tools": (ToolSchema("x", "", {"a": ...}),)}, "parameters of the tool 'x' are not JSON"),
    ],
)
def test_what_cannot_be_asked_for(request_: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        grammar("qwen2.5.jinja", **request_)


def test_a_grammar_of_ones_own_is_enough_for_itself() -> None:
    lark = Lark("start: /a/")
    assert grammar("qwen3.jinja", constraint=lark) is None
    with pytest.raises(UserError, match="after reasoning"):
        grammar("qwen3.jinja", constraint=lark, thinking=True)


def test_a_schema_that_cannot_be_enforced_is_noted() -> None:
    """Keywords that llguidance lacks are left out; a schema that is no use leaves any object."""
    lax = ToolSchema("lax", "", {"properties": {"a": {"type": "array", "uniqueItems": True}}})
    odd = ToolSchema("odd", "", {"properties": {"a": {"type": "string", "pattern": "(?<=a)b"}}})
    dialect = choose(None, letters())
    request = ChatRequest(ASK, tools=(lax, odd))
    notes = dialect.reader(request, thinking=False).notes
    assert len(notes) == 2
    assert notes[0].startswith(
        "not enforced while decoding, in the arguments of 'lax': uniqueItems"
    )
    assert notes[1].startswith("not enforced while decoding, in the arguments of 'odd': ")
    text = dialect.grammar(request, thinking=False)
    assert text
    assert '"uniqueItems"' in text
    assert "(?<=a)" not in text


def test_objects_of_arguments_are_closed_where_that_is_safe() -> None:
    inner = {"type": "object", "properties": {"b": {}}}
    schema = {
        "properties": {
            "plain": inner,
            "list": {"type": "array", "items": inner},
            "open": {**inner, "additionalProperties": {"type": "string"}},
            "joined": {**inner, "allOf": [{"required": ["c"]}]},
        }
    }
    text = grammar("qwen2.5.jinja", tools=(ToolSchema("x", "", schema),))
    assert text
    (line,) = (line for line in text.split("\n") if line.startswith("arguments_0"))
    closed = json.loads(line.partition("%json ")[2])
    assert closed["additionalProperties"] is False
    assert closed["properties"]["plain"]["additionalProperties"] is False
    assert closed["properties"]["list"]["items"]["additionalProperties"] is False
    assert closed["properties"]["open"] == schema["properties"]["open"]
    assert closed["properties"]["joined"] == schema["properties"]["joined"]
    assert inner.keys() == {"type", "properties"}


def test_what_stands_before_a_marker_is_not_lost() -> None:
    """Found by hypothesis: `<`, and then the token `<think>`."""
    dialect = choose(template("qwen3.jinja"), letters(markers=["<think>", "</think>"]))
    request = ChatRequest(ASK, tools=tools(["get_weather"]))

    found = read(dialect.reader(request, thinking=False), [("<", False), ("<think>", True)])

    assert (found.reasoning + found.text).startswith("<")
