"""YAML 1.2 with places: what the data are, and where everything stands."""

from __future__ import annotations

import math
from typing import Any

import pytest

from agentkit.errors import InvalidFile
from agentkit.yamlfile import Document, NodePath, load


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"), ("on", "on"), ("no", "no"), ("NO", "NO"), ("true", True), ("False", False),
        ("~", None), ("null", None), ("", None), ("12", 12), ("-3", -3), ("012", 12), ("0o17", 15),
        ("0x1F", 31), ("1_000", 1000), ("1.10", 1.1), ("1e3", 1000.0), (".5", 0.5),
        ("-.inf", -math.inf), ("2026-01-02", "2026-01-02"), ("12:30:45", "12:30:45"),
        ("2026-01-02 10:00:00", "2026-01-02 10:00:00"), ('"12"', "12"), ("'it''s'", "it's"),
        ('"a\\n\\u00e9"', "a\né"), ("!!str 12", "12"), ("${{ inputs.x }}", "${{ inputs.x }}"),
        ("=", "="), ("<<", "<<"),
    ],
)  # fmt: skip
def test_scalars_are_those_of_yaml_1_2_and_dates_stay_text(text: str, value: Any) -> None:
    data = load(f"a: {text}\n", "f").data["a"]

    assert data == value
    assert type(data) is type(value)


def test_keys_are_text_as_written() -> None:
    assert load("on: 1\n1: 2\ntrue: 3\n~: 4\n1.0: 5\n", "f").data == {
        "on": 1, "1": 2, "true": 3, "~": 4, "1.0": 5,
    }  # fmt: skip


def test_block_scalars() -> None:
    text = "a: |\n  one\n   two\n\nb: >-\n  one\n  two\n\n  three\nc: |2+\n   x\n\n"

    assert load(text, "f").data == {"a": "one\n two\n", "b": "one two\nthree", "c": " x\n\n"}


def test_anchors_and_merge_keys() -> None:
    text = "a: &a {x: 1, y: 2}\nb: *a\nc: {<<: *a, y: 3}\nd: {<<: [{x: 7}, *a]}\ne: &a 5\nf: *a\n"

    assert load(text, "f").data == {
        "a": {"x": 1, "y": 2},
        "b": {"x": 1, "y": 2},
        "c": {"y": 3, "x": 1},
        "d": {"x": 7, "y": 2},
        "e": 5,
        "f": 5,
    }


def said(text: str) -> list[str]:
    with pytest.raises(InvalidFile) as caught:
        load(text, "f")
    return [problem.headline() for problem in caught.value.problems]


def test_all_duplicate_keys_are_found_at_once() -> None:
    assert said("a: 1\nb: {c: 1, c: 2}\na: 2\n") == [
        'f:2:11: the key "c" stands here already, in line 2 [duplicate-key]',
        'f:3:1: the key "a" stands here already, in line 1 [duplicate-key]',
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: &a [*a]", "f:1:7: this contains itself, through an alias [alias-of-itself]"),
        ("a: &a {<<: *a}", 'f:1:7: "<<" takes the alias of a mapping [bad-merge]'),
        ("a: {<<: 3}", 'f:1:9: "<<" takes the alias of a mapping [bad-merge]'),
        ("a: !!python/object:os.system x", "f:1:4: YAML takes !!python/object:os.system for a tag"),
        ("a: !!binary aGk=", "f:1:4: YAML takes !!binary for a tag"),
        ("a: !!set {b, c}", "f:1:4: YAML takes !!set for a tag"),
        (f"a: {'9' * 5000}", "f:1:4: '99999"),
        ("a: !!int x", "f:1:4: 'x' is no number that can be used [bad-number]"),
    ],
)
def test_what_yaml_allows_and_nobody_means(text: str, problem: str) -> None:
    assert said(text)[0].startswith(problem)


def marked(document: Document, path: NodePath, *, at_key: bool = False) -> str:
    """The characters over which the caret would stand."""
    problem = document.problem(path, "rule", "message", at_key=at_key)
    return problem.source_line[problem.column - 1 :][: problem.length]


TEXT = """\
top:
  plain: some text  # a comment
  "quoted key": "a \\" b" # c
  flow: {a: [1, {b: two words}], c: 'it''s'}
  anchored: &x value
  alias: *x
  block: |
    one
  list:
    - first: 1
      second: 2
    - two
"""


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (("top", "plain"), "some text"),
        (("top", "quoted key"), '"a \\" b"'),
        (("top", "flow"), "{a: [1, {b: two words}], c: 'it''s'}"),
        (("top", "flow", "a"), "[1, {b: two words}]"),
        (("top", "flow", "a", 0), "1"),
        (("top", "flow", "a", 1, "b"), "two words"),
        (("top", "flow", "c"), "'it''s'"),
        (("top", "anchored"), "value"),
        (("top", "block"), "|"),
        (("top", "list"), "list"),
        (("top", "list", 0), "first"),
        (("top", "list", 0, "second"), "2"),
        (("top", "list", 1), "two"),
        (("top",), "top"),
        ((), "top"),
        (("top", "list", 0, "missing"), "first"),
        (("top", "plain", "deeper", 3), "some text"),
    ],
)
def test_places_of_values(path: NodePath, text: str) -> None:
    assert marked(load(TEXT, "f"), path) == text


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (("top", "plain"), "plain"),
        (("top", "quoted key"), '"quoted key"'),
        (("top", "flow", "a", 1, "b"), "b"),
        (("top", "list", 0, "second"), "second"),
        (("top", "list", 1), "two"),
    ],
)
def test_places_of_keys(path: NodePath, text: str) -> None:
    assert marked(load(TEXT, "f"), path, at_key=True) == text


@pytest.mark.parametrize(
    "source",
    [
        "a: x NEEDLE y", "a: 'it''s NEEDLE'", 'a: "a\\"b\\n\\u00e9 \\x41 NEEDLE"',
        "a: |\n  one\n  x NEEDLE",
        "a: >-\n  one\n\n  two NEEDLE three", "a: one\n  two\n  NEEDLE", 'a: "one \\\n  NEEDLE"',
        "a: &anchor 'it''s NEEDLE'", "{a: [1, 'x NEEDLE']}", "a: |2\n    x\n  NEEDLE",
        "a: Grüße 🎉 NEEDLE", "a: |\r\n  one\r\n  NEEDLE\r\n", "a: |  # NEED\n  NEEDLE",
    ],
)  # fmt: skip
def test_a_piece_of_a_text_is_found_however_it_is_written(source: str) -> None:
    document = load(source, "f")
    value, path = document.data["a"], ("a",)
    if isinstance(value, list):
        value, path = value[1], ("a", 1)  # type: ignore[assignment]  # plain data

    place = document.inside(path, value.index("NEEDLE"), 6)

    assert source.splitlines()[place.line][place.column :].startswith("NEEDLE")


def test_lines_end_where_yaml_says_they_end() -> None:
    """`str.splitlines` also breaks at a form feed and others, which would shift all places."""
    document = load('a: "x\u2028y"\nb: c\u00a0d\ne: f\n', "f")
    problem = document.problem(("e",), "rule", "message")

    assert (problem.line, problem.column, problem.source_line) == (4, 4, "e: f")
