"""What is said of a schema that a grammar cannot enforce, and answers checked after the fact.

The byte tokenizer of llguidance stands in for a vocabulary: no model is needed.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest
from llguidance import LLMatcher, LLTokenizer

from agentkit.engine.conformance import (
    LONGEST_MESSAGE,
    check_answer,
    check_schema,
    enforceable,
    unenforced,
)
from agentkit.errors import ModelError, UserError
from agentkit.messages import Choices, JsonSchema, Lark, Regex

Schema = dict[str, Any]


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return LLTokenizer("byte")


def compiled(schema: Schema, tokenizer: Any) -> Any:
    text = json.dumps(schema)
    check_schema(text)
    options = {"whitespace_flexible": False, "lenient": True}
    rules = LLMatcher.grammar_from_json_schema(enforceable(text), overrides=options)
    matcher = LLMatcher(tokenizer, rules, log_level=0)
    assert not matcher.is_error(), matcher.get_error()
    return matcher


def missing(schema: Schema, tokenizer: Any) -> tuple[str, ...]:
    warnings = compiled(schema, tokenizer).get_grammar_warnings()
    return unenforced(json.dumps(schema), warnings)


def answers(matcher: Any, size: int, count: int) -> Iterator[str]:
    """Random texts that a grammar allows, of short pieces."""
    mask = np.zeros((size + 31) // 32, dtype=np.uint32)
    for seed in range(count):
        chance, walk, written = random.Random(seed), matcher.deep_copy(), bytearray()
        while not walk.is_stopped():
            walk.unsafe_compute_mask_ptr(mask.ctypes.data, mask.nbytes)
            bits = np.unpackbits(mask.view(np.uint8), bitorder="little")
            allowed = set(np.flatnonzero(bits).tolist())
            ends = [token for token in b'"]}' if token in allowed]
            if not ends and max(allowed) >= 256:
                break
            late = len(written) > 60 or chance.random() < 0.2
            token = ends[0] if ends and late else chance.choice(sorted(allowed - {256, 261}))
            assert walk.consume_token(token)
            written.append(token)
            if len(written) > 500:
                break
        else:
            yield written.decode()


# -- what is said ----------------------------------------------------------------------------------


def flag(**properties: Any) -> Schema:
    return {"type": "object", "properties": properties}


@pytest.mark.parametrize(
    ("schema", "notes"),
    [
        ({"type": "array", "uniqueItems": True}, ["uniqueItems"]),
        ({"type": "array", "uniqueItems": False}, []),
        ({"not": {"type": "string"}}, ["not"]),
        ({"if": {"type": "string"}, "then": {"minLength": 3}}, ["if", "then"]),
        (flag(a={"type": "array", "uniqueItems": True}), ["uniqueItems at /properties/a"]),
        (flag(**{"x/y~z": {"not": {}}}), ["not at /properties/x~1y~0z"]),
        ({"allOf": [{"type": "array"}, {"contains": {"const": 1}}]}, ["contains at /allOf/1"]),
        ({"$defs": {"d": {"not": {}}}, "$ref": "#/$defs/d"}, ["not at /$defs/d"]),
        ({"propertyNames": {"pattern": "^a"}}, ["propertyNames"]),
        ({"dependentRequired": {"a": ["b"]}}, ["dependentRequired"]),
        ({"unevaluatedProperties": False}, ["unevaluatedProperties"]),
        ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, ["oneOf"]),
        ({"oneOf": [{"type": "integer"}, {"type": "string"}]}, []),
        ({"type": "string", "format": "regex"}, ['format "regex"']),
        (flag(p={"type": "string", "format": "path"}),
         ['format "path" at /properties/p, which nothing checks']),
        ({"type": "string", "format": "email"}, []),
        ({**flag(a={}, b={}), "maxProperties": 1}, ["maxProperties"]),
        ({"type": "object", "minProperties": 1}, []),
        ({"type": "object", "minProperties": 2}, ["minProperties"]),
        ({"type": "integer", "maximum": 2**63}, ["maximum"]),
        ({"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1}, ["minimum", "maximum"]),
        ({"type": "number", "maximum": 1.7e308}, ["maximum"]),
        ({"items": {"type": "null"}, "prefixItems": [{"const": 1}], "additionalItems": False},
         ["prefixItems"]),
        ({"items": [{"const": 1}], "anyOf": [{"minItems": 1}], "additionalItems": False},
         ["additionalItems"]),
        ({"type": "integer", "minimum": 1, "exclusiveMinimum": True, "anyOf": [{"maximum": 9}]},
         ["exclusiveMinimum"]),
    ],
)  # fmt: skip
def test_what_is_not_enforced_is_named_with_its_place(
    schema: Schema, notes: list[str], tokenizer: Any
) -> None:
    assert list(missing(schema, tokenizer)) == notes


def test_a_warning_that_is_new_to_us_is_passed_on() -> None:
    assert unenforced("{}", ["something else is missing"]) == ("something else is missing",)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "minProperties": 2, "additionalProperties": {"type": "null"}},
        {"items": {"type": "null"}, "prefixItems": [{"const": 1}], "additionalItems": False,
         "type": "array", "minItems": 1},
        {"items": [{"const": 1}], "anyOf": [{"minItems": 2}], "additionalItems": False,
         "type": "array"},
        {"type": "integer", "exclusiveMinimum": True, "anyOf": [{"maximum": 2}], "minimum": 1},
    ],
)  # fmt: skip
def test_what_llguidance_lets_through_without_a_word(schema: Schema, tokenizer: Any) -> None:
    """As soon as this fails, `_lost` in conformance.py can lose a case."""
    matcher = compiled(schema, tokenizer)
    assert matcher.get_grammar_warnings() == []
    assert missing(schema, tokenizer) != ()
    faults = 0
    for text in answers(matcher, tokenizer.vocab_size, 60):
        try:
            check_answer(JsonSchema(schema), text)
        except ModelError:
            faults += 1
    assert faults


def test_llguidance_rounds_large_numbers(tokenizer: Any) -> None:
    """As soon as this fails, they need not be refused any more."""
    matcher = LLMatcher(tokenizer, LLMatcher.grammar_from_json_schema({"const": 2**53 + 1}))
    assert matcher.compute_ff_bytes() == str(2**53).encode()


def test_bounds_that_llguidance_would_round_are_left_to_the_check(tokenizer: Any) -> None:
    schema = {"type": "integer", "minimum": 0, "maximum": 2**64 - 1}
    assert json.loads(enforceable(json.dumps(schema))) == {"type": "integer", "minimum": 0}
    check_answer(JsonSchema(schema), str(2**64 - 1))
    with pytest.raises(ModelError, match="greater than the maximum"):
        check_answer(JsonSchema(schema), str(2**64))


def test_a_pattern_that_nothing_can_read_is_found_where_no_grammar_looks() -> None:
    schema = flag(a={"not": {"patternProperties": {"(?=x)": {}}}})
    with pytest.raises(UserError, match="not valid at /properties/a/not") as caught:
        check_schema(json.dumps(schema))
    assert caught.value.hint


# -- answers ---------------------------------------------------------------------------------------

PERSON: Schema = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1},
        "tags": {"type": "array", "uniqueItems": True, "items": {"type": "string"}},
    },
    "required": ["name"],
}


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        (PERSON, '{"name": "Ann", "tags": ["a", "b"]}'),
        ({"multipleOf": 0.1}, "0.7"),
        ({"multipleOf": 0.01}, "123456789012345678901234567890.01"),
        ({"const": 0.1}, "0.1"),
        ({"enum": [1.0]}, "1"),
        ({"type": "integer"}, "3.0"),
        ({"type": "integer"}, "1e3"),
        ({"type": "number"}, "1e999999999999"),
        ({"type": "number"}, "1e99999999999999999999999"),
        ({"minimum": 3}, "1e99999999999999999999999"),
        ({"pattern": "^\\p{L}+$"}, '"größe"'),
        ({"pattern": "^\\W$"}, '"ö"'),
        ({"pattern": "^a.\\u007f$"}, '"a\\u0001\\u007f"'),
        ({"pattern": "b"}, '"a\\"\\\\b\\n\\ud83d\\ude00"'),
        ({"patternProperties": {"^\\p{L}$": {"type": "null"}}}, '{"ö": null}'),
        ({"patternProperties": {"^a": {}}, "additionalProperties": False}, '{"ab": 1}'),
        ({"additionalProperties": {"type": "null"}, "properties": {"a": {}}}, '{"a": 1, "b":null}'),
        ({"items": [{"const": 1}], "additionalItems": False}, "[1]"),
        ({"minimum": 1, "exclusiveMinimum": True}, "2"),
        ({"type": "string", "format": "date"}, '"2024-02-29"'),
        ({"type": "string", "format": "path"}, '"anything"'),
        ({"$defs": {"a": {"$anchor": "x", "type": "null"}}, "$ref": "#x"}, "null"),
    ],
)  # fmt: skip
def test_what_fits_passes(schema: Schema, text: str) -> None:
    check_schema(json.dumps(schema))
    check_answer(JsonSchema(schema), text)


@pytest.mark.parametrize(
    ("schema", "text", "fault"),
    [
        (PERSON, '{"name": "", "tags": []}', " at $.name: '' should be non-empty"),
        (PERSON, '{"name": "Ann", "tags": ["a", "a"]}', " at $.tags: ['a', 'a'] has non-unique"),
        (PERSON, "{}", " at $: 'name' is a required property"),
        (PERSON, '{"name": "Ann', ": it is not JSON: Unterminated string"),
        (PERSON, "[" * 100_000, ": it has numbers or lists beyond all bounds"),
        ({"not": {"type": "string"}}, '"a"', " at $: 'a' should not be valid under"),
        ({"multipleOf": 0.1}, "0.75", " at $: 0.75 is not a multiple of 0.1"),
        ({"multipleOf": 0.1}, "1e6000", ": it has numbers or lists beyond all bounds"),
        ({"type": "integer"}, "1.5", " at $: 1.5 is not of type 'integer'"),
        ({"type": "integer"}, "true", " at $: True is not of type 'integer'"),
        ({"type": "integer"}, "1" * 5000, ": it is not JSON: Exceeds the limit"),
        ({"pattern": "^\\d$"}, '"௬"', " at $: '௬' does not match"),
        ({"patternProperties": {"^a": {"type": "null"}}}, '{"ab": 1}', " at $.ab: 1 is not"),
        ({"additionalProperties": False}, '{"x": 1}', " at $: the property 'x' is not expected"),
        ({"additionalProperties": {"type": "null"}}, '{"x": 1}', " at $.x: 1 is not"),
        ({"type": "string", "format": "date"}, '"2023-02-29"', " is not a 'date'"),
        ({"minProperties": 2}, '{"a": 1, "a": 2}', " at $: {'a': 2} does not have enough"),
        ({"items": [{"const": 1}], "additionalItems": False}, "[1, 2]", "Additional items"),
        ({"minimum": 1, "exclusiveMinimum": True}, "1", "less than or equal to the minimum"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said_with_its_place(schema: Schema, text: str, fault: str) -> None:
    check_schema(json.dumps(schema))
    with pytest.raises(ModelError, match="the answer does not fit the schema") as caught:
        check_answer(JsonSchema(schema), text)
    assert fault in str(caught.value)


def test_a_long_value_is_not_repeated_in_full() -> None:
    with pytest.raises(ModelError) as caught:
        check_answer(JsonSchema({"type": "null"}), json.dumps("x" * 10_000))
    assert len(str(caught.value)) < LONGEST_MESSAGE + 100


def test_a_pattern_takes_no_time_on_a_text_made_for_that() -> None:
    """Python's own regular expressions would take years."""
    with pytest.raises(ModelError):
        check_answer(JsonSchema({"pattern": "^(a+)+$"}), json.dumps("a" * 5000 + "b"))


def test_nothing_is_fetched_for_a_check(monkeypatch: pytest.MonkeyPatch) -> None:
    fetched: list[Any] = []
    monkeypatch.setattr("urllib.request.urlopen", fetched.append)
    schema = {"not": {"$ref": "https://example.com/elsewhere.json"}}
    with pytest.raises(UserError, match=r"^the schema is not valid"):
        check_answer(JsonSchema(schema), "1")
    assert fetched == []


def test_a_choice_is_checked_and_what_a_grammar_enforces_whole_is_not() -> None:
    check_answer(Choices(("a", "b")), "b")
    with pytest.raises(ModelError, match='none of the choices: "a b"'):
        check_answer(Choices(("a", "b")), "a b")
    check_answer(Regex("a"), "b")
    check_answer(Lark('start: "a"'), "b")


RANDOM: Mapping[str, Schema] = {
    "unique": {"type": "array", "items": {"enum": [1, 2, 3]}, "uniqueItems": True},
    "not": {"type": "string", "maxLength": 3, "not": {"pattern": "[aeiou]"}},
    "one of": {"oneOf": [{"enum": [1, 2]}, {"enum": [2, 3]}]},
    "contains": {"type": "array", "items": {"type": "boolean"}, "contains": {"const": True}},
    "if": {"type": "string", "maxLength": 4, "if": {"minLength": 2}, "then": {"pattern": "^[a-m]"}},
    "names": {"propertyNames": {"maxLength": 2}, "additionalProperties": {"type": "null"},
              "type": "object"},
}  # fmt: skip


@pytest.mark.parametrize("name", RANDOM)
def test_of_answers_to_what_is_not_enforced_some_fit_and_some_do_not(
    name: str, tokenizer: Any
) -> None:
    schema = RANDOM[name]
    assert missing(schema, tokenizer)
    verdicts = set()
    for text in answers(compiled(schema, tokenizer), tokenizer.vocab_size, 80):
        try:
            check_answer(JsonSchema(schema), text)
        except ModelError:
            verdicts.add(False)
        else:
            verdicts.add(True)
    assert verdicts == {True, False}
