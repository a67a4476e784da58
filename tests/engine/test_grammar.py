"""Constraints as masks: what is kept, what is refused, what is forced.

Most tests write an answer by taking allowed tokens at random.  A constraint is kept if no such
answer breaks it.
"""

from __future__ import annotations

import gc
import json
import random
import re
import threading
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from agentkit.engine import grammar
from agentkit.engine.conformance import check_answer
from agentkit.engine.grammar import Grammars, MaskWorker, Matcher
from agentkit.engine.vocabulary import Vocabulary
from agentkit.errors import ModelError, UserError
from agentkit.messages import Choices, Constraint, JsonSchema, Lark, Regex

pytestmark = pytest.mark.model

LONG = 150
"""Tokens after which a random answer tries to come to its end."""


@pytest.fixture(scope="module")
def vocabulary(vocabulary_of: Callable[[str], Vocabulary]) -> Vocabulary:
    return vocabulary_of("smollm2-135m")


@pytest.fixture(scope="module")
def grammars(vocabulary: Vocabulary) -> Grammars:
    return Grammars(vocabulary)


@pytest.fixture(scope="module")
def qwen(vocabulary_of: Callable[[str], Vocabulary]) -> Vocabulary:
    """A vocabulary with user-defined tokens such as `<tool_call>`."""
    return vocabulary_of("qwen2.5-coder-0.5b")


@pytest.fixture(scope="module")
def qwen_grammars(qwen: Vocabulary) -> Grammars:
    return Grammars(qwen)


def walk(vocabulary: Vocabulary, matcher: Matcher, chance: random.Random) -> tuple[list[int], int]:
    """The tokens of a random answer, and how many of them were forced."""
    closing = [vocabulary.tokenize(text, special=False)[0] for text in ('"', "]", "}", '"]', '"}')]
    tokens: list[int] = []
    count = 0
    while not matcher.finished:
        forced = matcher.forced()
        count += len(forced)
        tokens += forced
        if forced:
            continue
        may_end = any(map(matcher.permits, vocabulary.end_of_generation))
        if may_end and (len(tokens) > LONG or chance.random() < 0.3):
            break
        allowed = matcher.allowed()
        token = int(allowed[chance.randrange(len(allowed))])
        if len(tokens) > LONG:
            token = next(filter(matcher.permits, closing), token)
        assert matcher.permits(token)
        if token in vocabulary.end_of_generation:
            break
        matcher.accept([token])
        tokens.append(token)
        assert len(tokens) < 20 * LONG
    return tokens, count


def text_of(vocabulary: Vocabulary, tokens: Iterable[int]) -> str:
    return b"".join(map(vocabulary.piece, tokens)).decode()


def texts(
    vocabulary: Vocabulary, grammars: Grammars, constraint: Constraint, count: int = 30
) -> list[str]:
    """Random answers."""
    return [
        text_of(vocabulary, walk(vocabulary, grammars.matcher(constraint), random.Random(seed))[0])
        for seed in range(count)
    ]


# -- JSON ------------------------------------------------------------------------------------------


def test_a_constant_is_written_as_json_dumps_writes_it(
    vocabulary: Vocabulary, grammars: Grammars
) -> None:
    value = {"a": [1, 2, {"b": "größe 🦊"}], "c": None}
    (text,) = set(texts(vocabulary, grammars, JsonSchema({"const": value}), 5))
    assert text == json.dumps(value, ensure_ascii=False)


def test_most_tokens_of_a_closed_object_are_forced(
    vocabulary: Vocabulary, grammars: Grammars
) -> None:
    properties = {f"property number {n}": {"enum": ["yes", "no"]} for n in range(10)}
    schema = {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
    tokens, forced = walk(vocabulary, grammars.matcher(JsonSchema(schema)), random.Random(1))
    assert list(json.loads(text_of(vocabulary, tokens))) == list(properties)
    assert forced > 0.7 * len(tokens)


def test_matchers_of_one_schema_go_their_own_ways(
    vocabulary: Vocabulary, grammars: Grammars
) -> None:
    schema = JsonSchema({"enum": ["left", "right"]})
    one, other = grammars.matcher(schema), grammars.matcher(schema)
    quote = one.forced()
    one.accept(vocabulary.tokenize("left", special=False))
    assert other.forced() == quote
    other.accept(vocabulary.tokenize("right", special=False))


def test_the_order_of_properties_is_the_order_of_the_answer(
    vocabulary: Vocabulary, grammars: Grammars
) -> None:
    for names in (["z", "a"], ["a", "z"]):
        schema = {
            "type": "object",
            "properties": {name: {"const": 1} for name in names},
            "required": ["a", "z"],
            "additionalProperties": False,
        }
        matcher = grammars.matcher(JsonSchema(schema))
        assert text_of(vocabulary, matcher.forced()).startswith(f'{{"{names[0]}": 1')


def test_a_schema_cannot_change_how_json_is_written(
    vocabulary: Vocabulary, grammars: Grammars
) -> None:
    schema = {"const": [1, 2], "x-guidance": {"whitespace_flexible": True, "item_separator": ";"}}
    assert set(texts(vocabulary, grammars, JsonSchema(schema), 5)) == {"[1, 2]"}


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "nonsense"},
        {"type": "string", "minLength": "3"},
        {"required": "a"},
        {"$ref": "https://example.com/elsewhere.json"},
        {"$ref": "#/$defs/missing"},
        {"$schema": "https://example.com/dialect"},
        {"$schema": 7},
        {"type": "string", "pattern": "("},
        {"type": "string", "pattern": "(?<=a)b"},
        {"not": {"pattern": "(?=a)"}},
        {"type": "integer", "minimum": 5, "maximum": 4},
        {"type": "string", "const": 1},
        {"const": 2**53 + 1},
        {"enum": [{"id": [10**30]}]},
        {"const": float("nan")},
        {"enum": []},
        {"enum": [object()]},
    ],
)
def test_what_cannot_be_enforced_or_checked_is_refused_in_one_line(
    grammars: Grammars, schema: dict[str, Any]
) -> None:
    with pytest.raises(UserError, match=r"^the schema ") as caught:
        grammars.matcher(JsonSchema(schema))
    assert "\n" not in str(caught.value)


def test_a_schema_that_refers_to_itself(grammars: Grammars) -> None:
    node: dict[str, Any] = {"type": "object", "properties": {"next": {"$ref": "#"}}}
    assert not grammars.matcher(JsonSchema(node)).finished


def test_a_schema_that_contains_itself_is_refused(grammars: Grammars) -> None:
    schema: dict[str, Any] = {"type": "object"}
    schema["properties"] = schema
    with pytest.raises(UserError, match=r"^the schema is not valid"):
        grammars.matcher(JsonSchema(schema))


def closed(**properties: Any) -> dict[str, Any]:
    names = list(properties)
    return {
        "type": "object",
        "properties": properties,
        "required": names,
        "additionalProperties": False,
    }


ENFORCED: dict[str, dict[str, Any]] = {
    "anything": {},
    "types": {"type": ["string", "null", "integer"]},
    "number": {"type": "number", "minimum": -1.5, "exclusiveMaximum": 2},
    "integer": {"type": "integer", "exclusiveMinimum": 3, "maximum": 12},
    "multiple": {"type": "number", "multipleOf": 0.01, "minimum": 0, "maximum": 5},
    "length": {"type": "string", "minLength": 2, "maxLength": 4},
    "pattern": {"type": "string", "pattern": "^[A-Z]{2}-\\d{3}$"},
    "pattern of letters": {"type": "string", "pattern": "^\\p{Lu}\\w\\W$"},
    "id": {"type": "string", "format": "uuid"},
    "address": {"type": "string", "format": "ipv4"},
    "enum": {"enum": [1, "1", None, True, [1], {"a": 1.5}, "größe", 'a"b\\c\n']},
    "array": {"type": "array", "items": {"type": "boolean"}, "minItems": 1, "maxItems": 3},
    "tuple": {"prefixItems": [{"const": 1}, {"type": "null"}], "items": False, "type": "array"},
    "old tuple": {"items": [{"const": 1}, {"type": "null"}], "additionalItems": False,
                  "type": "array"},
    "object": closed(a={"type": "boolean"}, b=closed(c={"enum": ["x", "y"]})),
    "optional": {"type": "object", "properties": {"a": {"const": 1}, "b": {"const": 2}},
                 "additionalProperties": False},
    "map": {"type": "object", "additionalProperties": {"type": "integer"}, "maxProperties": 2},
    "named by pattern": {"type": "object", "patternProperties": {"^n_[a-z]$": {"type": "null"}},
                         "additionalProperties": False},
    "any of": {"anyOf": [{"type": "integer"}, closed(a={"const": 1})]},
    "one of, told apart": {"oneOf": [closed(kind={"const": "a"}), closed(kind={"const": "b"})]},
    "all of": {"allOf": [{"type": "integer", "minimum": 3}, {"maximum": 4}]},
    "definitions": {"$defs": {"x": {"type": "boolean"}}, "type": "array",
                    "items": {"$ref": "#/$defs/x"}},
    "draft 4": {"$schema": "http://json-schema.org/draft-04/schema#", "type": "integer",
                "minimum": 0, "exclusiveMinimum": True, "maximum": 2},
    "exclusive as in draft 4": {"type": "integer", "minimum": 0, "exclusiveMinimum": True,
                                "maximum": 2},
    "bounds of 53 bits": {"type": "integer", "minimum": -(2**53), "maximum": 2**53},
    "marker": {"enum": ["<tool_call>", "a<|im_end|>b"]},
}  # fmt: skip


@pytest.mark.parametrize("name", ENFORCED)
def test_every_answer_fits_a_schema_that_is_enforced(
    name: str, vocabulary: Vocabulary, grammars: Grammars
) -> None:
    constraint = JsonSchema(ENFORCED[name])
    assert grammars.matcher(constraint).unenforced == ()
    for text in texts(vocabulary, grammars, constraint):
        check_answer(constraint, text)


@pytest.mark.parametrize(
    ("schema", "unenforced"),
    [
        (
            {"type": "array", "items": {"enum": [1, 2, 3]}, "uniqueItems": True, "maxItems": 4},
            ("uniqueItems",),
        ),
        ({"oneOf": [{"enum": [1, 2]}, {"enum": [2, 3]}]}, ("oneOf",)),
        ({"type": "integer", "minimum": -(2**63), "maximum": 0}, ("minimum",)),
    ],
)
def test_what_is_not_enforced_is_named_and_the_rest_enforced(
    schema: dict[str, Any],
    unenforced: tuple[str, ...],
    vocabulary: Vocabulary,
    grammars: Grammars,
) -> None:
    assert grammars.matcher(JsonSchema(schema)).unenforced == unenforced
    rest = {keyword: value for keyword, value in schema.items() if keyword not in unenforced}
    for text in texts(vocabulary, grammars, JsonSchema(schema), 10):
        check_answer(JsonSchema(rest), text)


NAMES = st.sampled_from(["a", "b", "größe", 'say "hi"', "<tool_call>", ""])


def schemas() -> st.SearchStrategy[dict[str, Any]]:
    """Schemas of the common subset, which llguidance says that it enforces."""
    leaves = st.one_of(
        st.sampled_from([{"type": kind} for kind in ("null", "boolean", "integer", "string")]),
        st.builds(lambda low, span: {"type": "integer", "minimum": low, "maximum": low + span},
                  st.integers(-1000, 1000), st.integers(0, 500)),
        st.builds(lambda low, span: {"type": "string", "minLength": low, "maxLength": low + span},
                  st.integers(0, 4), st.integers(0, 9)),
        st.builds(lambda values: {"enum": values},
                  st.lists(st.one_of(NAMES, st.integers(-99, 99), st.none()), min_size=1)),
    )  # fmt: skip

    def larger(parts: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
        return st.one_of(
            st.builds(_array, parts, st.integers(0, 2), st.integers(0, 3)),
            st.builds(_object, st.dictionaries(NAMES, parts, max_size=3), st.booleans(),
                      st.sampled_from([False, {"type": "integer"}])),
            st.builds(lambda options: {"anyOf": options}, st.lists(parts, min_size=1, max_size=3)),
        )  # fmt: skip

    return st.recursive(leaves, larger, max_leaves=6)


def _array(items: dict[str, Any], least: int, span: int) -> dict[str, Any]:
    return {"type": "array", "items": items, "minItems": least, "maxItems": least + span}


def _object(properties: dict[str, Any], required: bool, others: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties)[: None if required else 1],
        "additionalProperties": others,
    }


@settings(max_examples=150, deadline=None)
@given(schema=schemas(), seed=st.integers(0, 2**32))
def test_every_answer_fits_whatever_the_schema(
    schema: dict[str, Any], seed: int, qwen: Vocabulary, qwen_grammars: Grammars
) -> None:
    """Checked by jsonschema as it is, not by our own use of it."""
    matcher = qwen_grammars.matcher(JsonSchema(schema))
    assert matcher.unenforced == ()
    tokens, _ = walk(qwen, matcher, random.Random(seed))
    Draft202012Validator(schema).validate(json.loads(text_of(qwen, tokens)))


# -- choices, regular expressions, grammars --------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        ("red", "green", "blue"),
        ("a", "ab", "abc", "b"),
        ("yes", "yes, but"),
        ("", "x"),
        ('"quoted"', "two\nlines", "back\\slash", "größe 🦊", "\x00\x7f", "a | b", "/x/"),
        ("<tool_call>", "<|im_end|>", "a <tool_call> b"),
        tuple(f"option {n}" for n in range(300)),
    ],
)
def test_an_answer_is_one_of_the_choices_and_may_be_any(
    options: tuple[str, ...], qwen: Vocabulary, qwen_grammars: Grammars
) -> None:
    for text in texts(qwen, qwen_grammars, Choices(options)):
        assert text in options
        check_answer(Choices(options), text)
    for option in options[:10]:
        matcher = qwen_grammars.matcher(Choices(options))
        matcher.accept(qwen.tokenize(option, special=False))
        assert matcher.finished or not qwen.end_of_generation.isdisjoint(matcher.allowed().tolist())


def test_nothing_to_choose_from_is_refused(grammars: Grammars) -> None:
    with pytest.raises(UserError, match="the list of choices is empty"):
        grammars.matcher(Choices(()))


@pytest.mark.parametrize(
    "pattern",
    [
        "a*",
        "(red|green) ?[0-9]{2,3}",
        r"\d+\.\d+|none",
        "(?i)no",
        "[^ab]{3}",
        "a|ab|abc",
        "a/b|\n",
    ],
)
def test_an_answer_matches_the_whole_pattern(
    pattern: str, vocabulary: Vocabulary, grammars: Grammars
) -> None:
    for text in texts(vocabulary, grammars, Regex(pattern)):
        assert re.fullmatch(pattern, text, re.ASCII), text


def test_an_answer_keeps_to_a_grammar(vocabulary: Vocabulary, grammars: Grammars) -> None:
    sums = 'start: term ("+" term)*\nterm: NUMBER | "(" start ")"\nNUMBER: /[0-9]{1,3}/'
    for text in texts(vocabulary, grammars, Lark(sums)):
        assert re.fullmatch(r"[0-9+()]+", text)
        assert text.count("(") == text.count(")")


@pytest.mark.parametrize(
    ("constraint", "words"),
    [
        (Regex("["), "unclosed character class"),
        (Regex("(?=a)b"), "look-around, including look-ahead and look-behind, is not supported"),
        (Lark('begin: "a"'), "no start rule found"),
        (Lark("start: missing"), "unknown name"),
        (Lark('start: "a'), "lexer error"),
    ],
)
def test_what_is_no_constraint_is_refused_in_the_words_of_llguidance(
    constraint: Constraint, words: str, grammars: Grammars
) -> None:
    with pytest.raises(UserError, match="cannot be enforced while decoding") as caught:
        grammars.matcher(constraint)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_text_of_a_marker_is_written_as_text(qwen: Vocabulary, qwen_grammars: Grammars) -> None:
    """Also where real markers are around it."""
    marker, end = qwen.marker("<tool_call>"), qwen.marker("</tool_call>")
    value = {"text": "<tool_call></tool_call>"}
    body = json.dumps({"const": value, "x-guidance": grammar.STYLE})
    matcher = qwen_grammars.matcher(Lark(f"start: <[{marker}]> body <[{end}]>\nbody: %json {body}"))
    (first, *inside, last), _ = walk(qwen, matcher, random.Random(1))
    assert (first, last) == (marker, end)
    assert {marker, end}.isdisjoint(inside)
    assert text_of(qwen, inside) == json.dumps(value)


# -- masks -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "constraint", [JsonSchema({"type": "string", "minLength": 5}), Choices(("red", "green"))]
)
def test_all_views_of_a_mask_agree(
    constraint: Constraint, vocabulary: Vocabulary, grammars: Grammars
) -> None:
    matcher = grammars.matcher(constraint)
    matcher.accept(matcher.allowed()[:1].tolist())
    allowed = matcher.allowed().tolist()
    assert [token for token in range(vocabulary.size) if matcher.permits(token)] == allowed
    logits = np.arange(vocabulary.size, dtype=np.float32)
    ids, values = matcher.candidates(logits)
    assert ids[values > -np.inf].tolist() == allowed
    assert values[values > -np.inf].tolist() == logits[allowed].tolist()


def test_a_mask_is_that_of_the_last_accepted_token(
    vocabulary: Vocabulary, grammars: Grammars
) -> None:
    matcher = grammars.matcher(Choices(("ab", "xy")))
    (a,), (y,) = (vocabulary.tokenize(text, special=False) for text in ("a", "y"))
    assert matcher.permits(a)
    matcher.accept([a])
    assert not matcher.permits(a)
    assert not matcher.permits(y)
    assert matcher.forced() == vocabulary.tokenize("b", special=False)
    assert matcher.finished


def test_masks_are_computed_in_another_thread(grammars: Grammars) -> None:
    constraints: list[Constraint] = [
        Choices(("red", "green")),
        JsonSchema({"type": "string"}),
        Regex("[ab]+"),
    ]
    expected = [grammars.matcher(one).allowed().tolist() for one in constraints]
    worker = MaskWorker()
    try:
        for _ in range(20):
            matchers = [grammars.matcher(one) for one in constraints]
            worker.start(matchers)
            worker.wait()
            assert all(matcher._computed for matcher in matchers)
            assert [matcher.allowed().tolist() for matcher in matchers] == expected
        worker.start([])
        worker.wait()
    finally:
        worker.close()
        worker.close()


def test_a_token_that_is_not_allowed_is_an_error_from_then_on(
    vocabulary: Vocabulary, grammars: Grammars
) -> None:
    matcher = grammars.matcher(JsonSchema({"const": 1}))
    for use in (
        lambda: matcher.accept(vocabulary.tokenize("x", special=False)),
        lambda: matcher.permits(0),
        matcher.allowed,
        lambda: matcher.finished,
    ):
        with pytest.raises(ModelError, match="lost its way"):
            use()


def test_a_fault_in_one_matcher_is_not_that_of_others(
    vocabulary: Vocabulary, grammars: Grammars
) -> None:
    broken, whole = (grammars.matcher(Choices(("red", "green"))) for _ in range(2))
    with pytest.raises(ModelError):
        broken.accept(vocabulary.tokenize("x", special=False))
    worker = MaskWorker()
    worker.start([broken, whole])
    worker.wait()
    worker.close()
    assert whole.allowed().size
    with pytest.raises(ModelError):
        broken.allowed()


# -- what is kept ----------------------------------------------------------------------------------


def test_only_the_latest_grammars_are_kept(
    vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grammar, "CACHED_GRAMMARS", 3)
    grammars = Grammars(vocabulary)
    for pattern in "12314":
        grammars.matcher(Regex(pattern))
    assert list(grammars._compiled) == [("Regex", "3"), ("Regex", "1"), ("Regex", "4")]


def test_the_same_text_means_something_else_to_each_kind(
    vocabulary: Vocabulary, grammars: Grammars
) -> None:
    text = 'start: "a"'
    assert set(texts(vocabulary, grammars, Lark(text), 3)) == {"a"}
    assert set(texts(vocabulary, grammars, Regex(text), 3)) == {text}


def test_a_matcher_outlives_the_grammars_it_came_from(vocabulary: Vocabulary) -> None:
    """C calls back into Python for the tokens of what is forced."""
    matcher = Grammars(vocabulary).matcher(JsonSchema({"const": "a long text, forced whole"}))
    gc.collect()
    text = text_of(vocabulary, matcher.forced())
    assert '"a long text, forced whole"'.startswith(text)
    assert text


def test_threads_may_compile_at_once(
    vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grammar, "CACHED_GRAMMARS", 2)
    grammars, failed = Grammars(vocabulary), []

    def compile_some(first: int) -> None:
        try:
            grammars.warm()
            for value in range(first, first + 20):
                assert grammars.matcher(JsonSchema({"const": value % 7})).forced()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=compile_some, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
