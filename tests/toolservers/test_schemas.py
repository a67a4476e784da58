"""A schema from somebody else means what it meant, or is refused with the reason."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, SchemaError

from agentkit.toolservers.schemas import Unfit, harmless

REAL: dict[str, Any] = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "type": "object",
    "properties": {
        "path": {"type": "string", "description": "A file."},
        "edits": {
            "type": "array",
            "items": {"$ref": "#/definitions/edit"},
            "minItems": 1,
        },
        "mode": {"enum": ["a", "b"], "default": "a"},
        "title": {"type": "string"},
        "pattern": {"type": "string"},
        "size": {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "null"}]},
        "pair": {"type": "array", "items": [{"type": "string"}, {"type": "integer"}]},
    },
    "required": ["path"],
    "additionalProperties": False,
    "definitions": {
        "edit": {
            "type": "object",
            "properties": {"old": {"type": "string"}, "more": {"$ref": "#/definitions/edit"}},
            "required": ["old"],
        }
    },
}


def fits(schema: dict[str, Any], value: Any) -> bool:
    return Draft202012Validator(schema).is_valid(value)


def test_a_schema_as_servers_write_them_means_what_it_meant() -> None:
    clean = harmless(REAL)
    Draft202012Validator.check_schema(clean)

    assert clean["properties"]["path"] == REAL["properties"]["path"]
    assert clean["properties"]["mode"] == REAL["properties"]["mode"]
    for good in (
        {"path": "x"},
        {"path": "x", "title": "t", "pattern": "p", "size": None, "pair": ["a", 1]},
        {"path": "x", "edits": [{"old": "a", "more": {"old": "b"}}]},
    ):
        assert fits(clean, good)
    for bad in (
        {},
        {"path": 1},
        {"path": "x", "other": 1},
        {"path": "x", "edits": []},
        {"path": "x", "edits": [{"old": "a", "more": {"old": 1}}]},
        {"path": "x", "size": -1},
        {"path": "x", "pair": ["a", "b"]},
    ):
        assert not fits(clean, bad)


def test_patterns_are_told_and_not_checked() -> None:
    clean = harmless({
        "type": "object",
        "properties": {"day": {"type": "string", "pattern": "^(a+)+$", "description": "A day."}},
        "patternProperties": {"^(x+)+$": {"type": "integer"}},
        "additionalProperties": False,
    })  # fmt: skip
    assert clean == {
        "type": "object",
        "properties": {"day": {"type": "string", "description": "A day. (pattern: ^(a+)+$)"}},
        "additionalProperties": True,
    }
    assert fits(clean, {"day": "a" * 100 + "b", "xxx": 1})


def test_words_are_shown_as_they_are_and_have_an_end() -> None:
    clean = harmless({"description": "a\x1b[2J\u202eb" + "c" * 10_000, "title": {"no": "text"}})
    assert clean["description"].startswith("a[2Jbccc")
    assert len(clean["description"]) == 600
    assert "title" not in clean


def chain(length: int) -> dict[str, Any]:
    parts: dict[str, Any] = {str(n): {"$ref": f"#/$defs/{n + 1}"} for n in range(length)}
    return {"$ref": "#/$defs/0", "$defs": {**parts, str(length): {}}}


def wide(width: int, depth: int) -> dict[str, Any]:
    parts: dict[str, Any] = {
        str(n): {"allOf": [{"$ref": f"#/$defs/{n + 1}"}] * width} for n in range(depth)
    }
    return {"$ref": "#/$defs/0", "$defs": {**parts, str(depth): {}}}


def nested(depth: int) -> dict[str, Any]:
    return {"properties": {"a": nested(depth - 1)}} if depth else {}


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"$ref": "https://example.org/x.json"}, "refers to another document"),
        ({"$ref": "x.json#/$defs/a"}, "refers to another document"),
        ({"properties": {"a": {"$dynamicRef": "#a"}}}, "refers to another document"),
        ({"$ref": 5}, "refers to another document: '5'"),
        ({"$ref": "#a", "$defs": {"a": {"$anchor": "a"}}}, "refers to a part that it does not"),
        ({"$ref": "#/$defs/a"}, r"that it does not have: '#/\$defs/a'"),
        ({"default": {"$ref": "http://x/"}, "$ref": "#/default"}, "refers to a part that it does"),
        ({"x-hidden": {"$ref": "http://x/"}, "$ref": "#/x-hidden"}, "refers to a part that it"),
        ({"$ref": "#"}, "refers to itself"),
        ({"anyOf": [{"not": {"$ref": "#"}}]}, "refers to itself"),
        ({"dependentSchemas": {"a/b": {"$ref": "#/dependentSchemas/a~1b"}}}, "refers to itself"),
        (chain(40), "refers to itself, part after part"),
        (wide(50, 2), "so often that a check would never end"),
        (nested(30), "is nested more than 40 deep"),
        ({"properties": {"a": 5}}, "is none: '5' stands where a schema should"),
        ({"properties": [1]}, r"is none: '\[1\]' stands under 'properties'"),
        ({"allOf": {}}, "stands under 'allOf'"),
        ({"$ref": "#/anyOf/7", "anyOf": [True]}, "refers to a part that it does not have"),
        ({"description": "x" * 2_000_000}, "is too large: 2 MB of JSON, 1 MB may be"),
        ({"enum": ["x" * 70_000]}, "is too large: 70 kB of JSON, 60 kB may be"),
    ],
)  # fmt: skip
def test_what_could_do_harm_is_refused(schema: dict[str, Any], said: str) -> None:
    with pytest.raises(Unfit, match=said):
        harmless(schema)


@pytest.mark.parametrize("schema", [chain(12), wide(10, 2), nested(18)])
def test_what_is_only_long_is_not(schema: dict[str, Any]) -> None:
    assert fits(harmless(schema), {"a": {"a": {}}})


KEYS = (
    "type properties items allOf anyOf not $ref $defs enum pattern patternProperties "
    "dependentSchemas description default required x"
).split()
REFERENCES = ["#", "#/$defs/x", "#/items", "#/properties/x", "http://x/", "object", "^(a+)+$"]
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(REFERENCES),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner),
    max_leaves=25,
)


@given(st.dictionaries(st.sampled_from(KEYS), anything), anything)
def test_whatever_is_let_through_can_be_checked_against(schema: dict[str, Any], value: Any) -> None:
    try:
        clean = harmless(schema)
        Draft202012Validator.check_schema(clean)
    except (Unfit, SchemaError):
        return
    list(Draft202012Validator(clean).iter_errors(value))
