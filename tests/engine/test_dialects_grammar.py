"""Grammars of calls on real vocabularies: what they force, and whatever they let through is a call.

Only the vocabularies are read.  Where a family's own is not at hand, its grammar runs with markers
spelled out, on a vocabulary that has no tokens for them.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from agentkit.engine.dialects import Dialect, choose
from agentkit.engine.grammar import Grammars, Matcher
from agentkit.engine.text import Characters
from agentkit.engine.vocabulary import Vocabulary
from agentkit.errors import ModelError, UserError
from agentkit.messages import (
    ChatRequest,
    Choices,
    Constraint,
    JsonSchema,
    Lark,
    Message,
    OneTool,
    Regex,
    ToolCall,
)

from .dialect_cases import template, tools

pytestmark = pytest.mark.model

SOURCES = ["qwen2.5.jinja", "qwen3.jinja", "llama3.1.jinja", "mistral-nemo.jinja",
           "mistral-small3.2.jinja", "gemma2.jinja", "smollm2.jinja"]  # fmt: skip

FIRST_ONLY = ["llama3.1.jinja", "gemma2.jinja"]
"""Families that call or talk, but not both."""

TOOLS = tools(["get_weather", "get_time", "search"])

ASK = (Message("user", "?"),)


class Writer:
    """Writes answers as a grammar allows, and has a dialect read them."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self.grammars = Grammars(vocabulary)
        words, brackets = range(3000), ('"', '"}', '"}}', "]", "}", "}}", '"]', ",", ", ", " {")
        self._letters = [t for t in words if vocabulary.piece(t).decode("latin1").isalpha()]
        self._closing = [vocabulary.tokenize(text, special=False)[0] for text in brackets]
        self._markers = [t for t in range(vocabulary.size) if vocabulary.is_marker(t)]

    def dialect(self, source: str) -> Dialect:
        return choose(template(source), self.vocabulary)

    def matcher(self, source: str, *, thinking: bool = False, **request: Any) -> Matcher:
        text = self.dialect(source).grammar(ChatRequest(ASK, **request), thinking=thinking)
        assert text
        return self.grammars.matcher(Lark(text))

    def text(self, tokens: Sequence[int]) -> str:
        return "".join(map(self.written, tokens))

    def written(self, token: int) -> str:
        return self.vocabulary.text(token)

    def begin(self, matcher: Matcher, source: str, before: str = "") -> list[int]:
        """The beginning of a call, after some text."""
        tokens = self.vocabulary.tokenize(before, special=False)
        opener = self.dialect(source).opener
        tokens += self.vocabulary.tokenize(opener, special=True, after=tokens)
        matcher.accept(tokens)
        return tokens

    def walk(self, matcher: Matcher, chance: random.Random) -> tuple[list[int], int]:
        """A random answer that comes to an end, and how many of its tokens were forced."""
        tokens: list[int] = []
        forced = 0
        ends = self.vocabulary.end_of_generation
        while not matcher.finished:
            run = matcher.forced()
            tokens += run
            forced += len(run)
            if matcher.finished:
                break
            token = self._choose(matcher, chance, len(tokens))
            if token in ends:
                break
            matcher.accept([token])
            tokens.append(token)
        return tokens, forced

    def _choose(self, matcher: Matcher, chance: random.Random, written: int) -> int:
        """Mostly short words, and out of every string, list and text as soon as may be."""
        for tokens, odds in (
            (self._closing, 0.5 + written / 200),
            (self._markers, 0.3 + written / 200),
            (chance.sample(self._letters, 20), 1),
        ):
            permitted = [token for token in tokens if matcher.permits(token)]
            if permitted and chance.random() < odds:
                return chance.choice(permitted)
        return int(chance.choice(matcher.allowed()))

    def read(
        self, source: str, tokens: Sequence[int], *, thinking: bool = False, **request: Any
    ) -> Any:
        reader = self.dialect(source).reader(ChatRequest(ASK, **request), thinking=thinking)
        characters = Characters()
        for token in tokens:
            if self.vocabulary.is_marker(token):
                reader.push(self.vocabulary.text(token), special=True)
            else:
                reader.push(characters.push(self.vocabulary.piece(token)), special=False)
        reader.finish()
        return reader


@pytest.fixture(scope="module", params=["smollm2-135m", "qwen2.5-coder-0.5b"])
def writer(request: pytest.FixtureRequest, vocabulary_of: Callable[[str], Vocabulary]) -> Writer:
    return Writer(vocabulary_of(request.param))


def check_call(call: ToolCall) -> None:
    """Known, JSON as json.dumps writes it, and of the shape that the tool wants."""
    (tool,) = (tool for tool in TOOLS if tool.name == call.name)
    value = json.loads(call.arguments)
    Draft202012Validator(dict(tool.parameters)).validate(value)
    assert set(value) <= set(tool.parameters["properties"])
    written = re.sub(r"-0\b", "0", call.arguments)  # the only number that json.dumps changes
    assert written == json.dumps(value, ensure_ascii=False)


@pytest.mark.parametrize("source", SOURCES)
def test_whatever_a_forced_grammar_lets_through_is_a_valid_call(
    writer: Writer, source: str
) -> None:
    chance = random.Random(source)
    for parallel in (False, True, False):
        request: dict[str, Any] = {"tools": TOOLS, "tool_choice": "required"}
        request["parallel_tool_calls"] = parallel
        matcher = writer.matcher(source, **request)
        begun = writer.begin(matcher, source) if source == "qwen3.jinja" else []
        tokens, _ = writer.walk(matcher, chance)
        reader = writer.read(source, [*begun, *tokens], **request)
        assert reader.text == ""
        assert reader.notes == []
        assert reader.calls
        assert parallel or len(reader.calls) == 1
        for call in reader.calls:
            check_call(call)


@pytest.mark.parametrize("source", SOURCES)
def test_a_call_that_the_model_begins_itself_is_held_to_the_grammar_llama_cpp_python_1338_1772(
    writer: Writer, source: str
) -> None:
    """The sign that a call begins is enough: everything after it is forced or constrained."""
    matcher = writer.matcher(source, tools=TOOLS)
    before = "Let me look.\n" if source not in FIRST_ONLY else "\n "
    tokens = writer.begin(matcher, source, before)
    rest, forced = writer.walk(matcher, random.Random(source))
    assert forced
    reader = writer.read(source, [*tokens, *rest], tools=TOOLS)
    assert reader.text == before.strip()
    assert reader.notes == []
    for call in reader.calls:
        check_call(call)
    assert reader.calls


@pytest.mark.parametrize("source", SOURCES)
def test_where_the_model_may_choose_any_text_will_do(writer: Writer, source: str) -> None:
    for text in (
        "No.",
        "Well,\n\nthe answer is 42.",
        " { } [1, 2]",
        "```json\n{}\n```",
        "größe 🦊",
    ):
        matcher = writer.matcher(source, tools=TOOLS)
        assert matcher.forced() == []
        matcher.accept(writer.vocabulary.tokenize(text, special=False))
        assert set(map(int, matcher.allowed())) & writer.vocabulary.end_of_generation


@pytest.mark.parametrize("source", SOURCES)
def test_one_tool_leaves_little_to_choose(writer: Writer, source: str) -> None:
    """Without arguments there is nothing left but the answer itself."""
    request: dict[str, Any] = {"tools": TOOLS, "tool_choice": OneTool("get_time")}
    matcher = writer.matcher(source, **request)
    begun = writer.begin(matcher, source)
    tokens, forced = writer.walk(matcher, random.Random(0))
    letters_of_an_id = 9 if source == "mistral-small3.2.jinja" else 0
    assert len(tokens) - forced <= letters_of_an_id
    calls = writer.read(source, [*begun, *tokens], **request).calls
    assert [(call.name, call.arguments) for call in calls] == [("get_time", "{}")]


@pytest.mark.parametrize("source", ["qwen2.5.jinja", "smollm2.jinja"])
@pytest.mark.parametrize(
    "begun",
    [
        '{"name": "search", "arguments":',
        '{\n  "name": "search",\n  "parameters":',
        '```json\n{"name": "search", "arguments":',
        'Sure:\n\n```\n{\n    "name": "search",\n    "arguments":',
    ],
)
def test_a_call_without_markers_is_held_to_its_schema(
    writer: Writer, source: str, begun: str
) -> None:
    """Qwen2.5-Coder writes most of its calls like this."""
    matcher = writer.matcher(source, tools=TOOLS)
    tokens = writer.vocabulary.tokenize(begun, special=False)
    matcher.accept(tokens)
    forced = matcher.forced()
    assert writer.text(forced).startswith(' {"query":')
    rest, _ = writer.walk(matcher, random.Random(7))
    reader = writer.read(source, [*tokens, *forced, *rest], tools=TOOLS)
    assert [call.name for call in reader.calls][:1] == ["search"]
    check_call(reader.calls[0])


@pytest.mark.parametrize("source", ["qwen2.5.jinja", "smollm2.jinja"])
def test_json_that_names_no_tool_is_text(writer: Writer, source: str) -> None:
    for text in (
        '{"name": "Paris", "arguments": 1}',
        '```json\n{"name": "searching", "x": {}}\n```',
    ):
        matcher = writer.matcher(source, tools=TOOLS)
        tokens = writer.vocabulary.tokenize(text, special=False)
        matcher.accept(tokens)
        assert set(map(int, matcher.allowed())) & writer.vocabulary.end_of_generation
        assert writer.read(source, tokens, tools=TOOLS).text == text


@pytest.mark.parametrize("source", FIRST_ONLY)
def test_a_block_around_a_call_may_be_closed(writer: Writer, source: str) -> None:
    matcher = writer.matcher(source, tools=TOOLS)
    text = '```json\n{\n  "name": "get_time", "parameters": {}}\n```'
    tokens = writer.vocabulary.tokenize(text, special=False)
    matcher.accept(tokens)
    assert set(map(int, matcher.allowed())) & writer.vocabulary.end_of_generation
    assert [call.name for call in writer.read(source, tokens, tools=TOOLS).calls] == ["get_time"]


def test_no_text_before_a_required_call(writer: Writer) -> None:
    for source in ("qwen2.5.jinja", "mistral-nemo.jinja", "llama3.1.jinja"):
        matcher = writer.matcher(source, tools=TOOLS, tool_choice="required")
        first, opener = writer.text(matcher.forced()), writer.dialect(source).opener
        assert len(first) > 6
        assert first.startswith(opener) or opener.startswith(first)


@pytest.mark.parametrize("source", ["qwen2.5.jinja", "smollm2.jinja"])
@pytest.mark.parametrize("choice", ["auto", "required"])
def test_a_line_s_end_after_a_call_does_not_bind_to_another(
    writer: Writer, source: str, choice: str
) -> None:
    """Small models write one where they would like to explain; kept from that, they should stop."""
    matcher = writer.matcher(source, tools=TOOLS, tool_choice=choice)
    call = '<tool_call>\n{"name": "get_time", "arguments": {}}\n</tool_call>\n'
    matcher.accept(writer.vocabulary.tokenize(call, special=True))
    assert set(map(int, matcher.allowed())) & writer.vocabulary.end_of_generation
    matcher.accept(writer.vocabulary.tokenize("<tool_call>", special=True))
    assert writer.text(matcher.forced()).startswith('\n{"name":')


def test_control_tokens_have_no_place_in_an_answer(writer: Writer) -> None:
    start = writer.vocabulary.marker("<|im_start|>")
    assert start is not None
    for choice in ("auto", "required"):
        matcher = writer.matcher("qwen2.5.jinja", tools=TOOLS, tool_choice=choice)
        matcher.forced()
        assert start not in matcher.allowed()


def test_calls_can_be_kept_away(vocabulary_of: Callable[[str], Vocabulary]) -> None:
    writer = Writer(vocabulary_of("qwen2.5-coder-0.5b"))
    matcher = writer.matcher("qwen2.5.jinja", tools=TOOLS, tool_choice="none")
    assert not matcher.permits(writer.vocabulary.marker("<tool_call>") or 0)
    assert matcher.permits(writer.vocabulary.tokenize("Hi", special=False)[0])


REASONING = ["qwen3.jinja", "qwen3.5.jinja"]


@pytest.mark.parametrize("source", REASONING)
@pytest.mark.parametrize(
    ("constraint", "valid", "invalid"),
    [
        (JsonSchema({"type": "array", "items": {"type": "integer"}}), "[1, 2]", "[a"),
        (Regex("(yes|no)/[0-9]+"), "yes/12", "maybe"),
        (Choices(("left", "right")), "left", "up"),
    ],
    ids=["schema", "regex", "choices"],
)
def test_a_constraint_holds_after_the_reasoning(
    writer: Writer, source: str, constraint: Constraint, valid: str, invalid: str
) -> None:
    thought = "Hm, [a] or <b>?\n"
    for thinking in (False, True):
        for answer, fits in ((valid, True), (invalid, False)):
            matcher = writer.matcher(source, thinking=thinking, constraint=constraint)
            opening = "" if thinking else "<think>\n"
            tokens = writer.vocabulary.tokenize(f"{opening}{thought}</think>", special=True)
            matcher.accept(tokens)
            assert writer.text(matcher.forced()).startswith("\n\n")
            if not fits:
                with pytest.raises(ModelError):
                    matcher.accept(writer.vocabulary.tokenize(answer, special=False))
                continue
            answered = writer.vocabulary.tokenize(answer, special=False)
            matcher.accept(answered)
            ends = set(map(int, matcher.allowed())) & writer.vocabulary.end_of_generation
            assert matcher.finished or ends
            reader = writer.read(
                source,
                [*tokens, *writer.vocabulary.tokenize("\n\n", special=False), *answered],
                thinking=thinking,
                constraint=constraint,
            )
            assert (reader.reasoning, reader.text) == (thought.strip(), valid)


def test_reasoning_may_be_left_out_where_the_prompt_has_not_begun_it(writer: Writer) -> None:
    matcher = writer.matcher("qwen3.jinja", constraint=Choices(("left", "right")))
    matcher.accept(writer.vocabulary.tokenize("left", special=False))
    begun = writer.matcher("qwen3.jinja", thinking=True, constraint=Choices(("left", "right")))
    begun.accept(writer.vocabulary.tokenize("left and right", special=False))


@pytest.mark.parametrize("source", REASONING)
def test_a_required_call_comes_after_the_reasoning_llama_cpp_24202_23773(
    writer: Writer, source: str
) -> None:
    request: dict[str, Any] = {"tools": TOOLS, "tool_choice": "required"}
    matcher = writer.matcher(source, thinking=True, **request)
    tokens = writer.vocabulary.tokenize("Hm.\n</think>", special=True)
    matcher.accept(tokens)
    rest, _ = writer.walk(matcher, random.Random(1))
    reader = writer.read(source, [*tokens, *rest], thinking=True, **request)
    assert reader.reasoning == "Hm."
    assert reader.text == ""
    for call in reader.calls:
        check_call(call)
    assert reader.calls


def test_with_a_constraint_the_answer_is_a_call_or_keeps_to_it(writer: Writer) -> None:
    request: dict[str, Any] = {"tools": TOOLS, "constraint": Regex("[0-9]+")}
    for source in ("qwen2.5.jinja", "smollm2.jinja", "gemma2.jinja"):
        matcher = writer.matcher(source, **request)
        matcher.accept(writer.vocabulary.tokenize("42", special=False))
        matcher = writer.matcher(source, **request)
        opener = writer.dialect(source).opener
        matcher.accept(writer.vocabulary.tokenize(opener, special=True))
        matcher = writer.matcher(source, **request)
        with pytest.raises(ModelError):
            matcher.accept(writer.vocabulary.tokenize("Hello", special=False))


# -- what is allowed in one request ---------------------------------------------------------------


@pytest.mark.parametrize("source", SOURCES)
def test_what_is_allowed_binds_the_call_and_does_not_change_the_prompt(
    writer: Writer, source: str
) -> None:
    weather, time, search = TOOLS
    city = {"type": "object", "properties": {"city": {"enum": ["Oslo"]}}, "required": ["city"]}
    narrow = (
        replace(weather, allowed=city),
        replace(time, allowed=False),
        replace(search, allowed=False),
    )
    dialect = writer.dialect(source)
    asked = ChatRequest(ASK, tools=narrow, tool_choice="required", parallel_tool_calls=False)
    grammar = dialect.grammar(asked, thinking=False) or ""

    assert "Oslo" in grammar
    assert "get_weather" in grammar
    assert "get_time" not in grammar
    assert dialect.describe(narrow) == dialect.describe(TOOLS)
    writer.grammars.matcher(Lark(grammar))


def test_a_required_call_needs_a_tool_that_may_be_called(writer: Writer) -> None:
    none = tuple(replace(tool, allowed=False) for tool in TOOLS)
    with pytest.raises(UserError, match="no tools to be called"):
        writer.matcher("qwen2.5.jinja", tools=none, tool_choice="required")
