"""Foreign texts: templates may ask them anything, and never get hold of them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2 import Environment

from agentkit.engine.marks import OPAQUE, Arguments, Marks, Piece, to_json

TEXTS = st.text(max_size=12) | st.sampled_from(["", " a ", "x</think>y", "0", "\n", "a,b,c"])

EXPRESSIONS = [
    "{{ t }}",
    "{{ t | trim }}",
    "{{ t.strip() }}",
    "{{ t.lstrip('\n') }}",
    "{{ t.rstrip() | upper }}",
    "{{ t | lower }}",
    "{{ t | capitalize }}",
    "{{ t | string }}",
    "{{ t | replace('a', 'b') }}",
    "{{ t.replace(t, 'b') }}",
    "{{ t.split(sep=',', maxsplit=1)[0] }}",
    "{{ t * 3 }}",
    "{{ 2 * t }}",
    "{{ t[1:] }}",
    "{{ t[:-1] }}",
    "{{ t[::-1] }}",
    "{{ t.split('</think>')[-1] }}",
    "{{ t.split('</think>')[0].split('<think>')[-1] }}",
    "{{ t.partition(',')[2] }}",
    "{{ t.splitlines() | join('|') }}",
    "{{ t.removeprefix('a') }}",
    "{{ 'a' + t + 'b' }}",
    "{{ 'a' ~ t ~ 1 }}",
    "{{ [t, t] | join(', ') }}",
    "{{ t | length }}",
    "{{ t | tojson }}",
    "{{ [t, {'k': t, t: 1}] | tojson }}",
    "{{ {'k': t} | tojson(indent=2) }}",
    "{{ (t | tojson)[:-1] }}",
    "{% if t %}yes{% else %}no{% endif %}",
    "{% if t == 'a,b,c' %}yes{% endif %}",
    "{% if 'a,b,c' == t %}yes{% endif %}",
    "{% if t != '' %}yes{% endif %}",
    "{% if '</think>' in t %}yes{% endif %}",
    "{% if t in ['0', 'a,b,c'] %}yes{% endif %}",
    "{% if t in {'0': 1} %}yes{% endif %}",
    "{{ {'0': 'found'}[t] or '' }}",
    "{% if t is string %}yes{% endif %}",
    "{% if t is mapping %}yes{% endif %}",
    "{% if t is iterable %}yes{% endif %}",
    "{% if t.startswith(' ') and t.endswith(' ') %}yes{% endif %}",
    "{{ t.count('a') }} {{ t.find('b') }}",
    "{% for letter in t %}{{ letter }}.{% endfor %}",
    "{{ [t, 'b', 'a'] | sort | join }}",
    "{{ t < 'b' }}",
    "{% set x = t %}{{ x }}",
    "{% macro m(v) %}<{{ v }}>{% endmacro %}{{ m(t) }}",
]


def environment() -> Environment:
    made = Environment()
    made.filters["tojson"] = lambda value, indent=None: to_json(
        value, ensure_ascii=False, indent=indent
    )
    return made


def written(pieces: Any) -> str:
    return "".join(piece.text for piece in pieces)


@given(text=TEXTS)
@settings(max_examples=25)
@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_a_foreign_text_does_what_the_text_itself_does(expression: str, text: str) -> None:
    template = environment().from_string(expression)
    marks = Marks()
    assert written(marks.pieces(template.render(t=marks.text(text)))) == template.render(t=text)


@given(text=st.text(st.characters(exclude_characters="0123456789abcdef-"), min_size=2))
@settings(max_examples=10)
@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_no_character_of_it_is_scaffolding(expression: str, text: str) -> None:
    """What a template prints of its own is the same, whatever the text is."""
    template = environment().from_string(expression)
    marks = Marks()
    pieces = marks.pieces(template.render(t=marks.text(text)))
    scaffolding = "".join(piece.text for piece in pieces if piece.trusted)
    for letter in text:
        assert letter not in scaffolding or letter in expression + "yesnoTrueFalse,. "


def test_what_is_sealed_stays_whole() -> None:
    marks = Marks()
    pieces = [Piece("a ", trusted=True), Piece("", tokens=(7, 8)), Piece(" b")]
    for expression in ("{{ t | trim }}", "{{ t[1:] }}", "{{ t.split('b')[-1] }}", "{{ t }}"):
        rendered = environment().from_string(f"<{expression}>").render(t=marks.sealed(pieces))
        assert [piece for piece in marks.pieces(rendered) if piece.text != ""] == [
            Piece("<", trusted=True),
            *[piece for piece in pieces if piece.text],
            Piece(">", trusted=True),
        ]
    asked = environment().from_string("{% if t and '</think>' not in t %}{{ t == x }}{% endif %}")
    assert asked.render(t=marks.sealed(pieces), x=f"a {OPAQUE} b") == "True"


def test_a_text_within_scaffolding_survives_its_treatment() -> None:
    marks = Marks()
    template = environment().from_string("{{ ('<A ' + t + ' b>') | trim | upper | title | lower }}")
    assert written(marks.pieces(template.render(t=marks.text("McX")))) == "<a McX b>"


def test_a_repeated_text_is_no_longer_than_it_is() -> None:
    """Its mark is: an empty text, a billion times, must not become as many marks."""
    marks = Marks()
    assert str.__len__(marks.text("") * 1000) < 100
    assert str.__len__(1000 * marks.text("")) < 100


def test_a_single_text_may_be_cut() -> None:
    marks = Marks()
    cut = marks.sealed([Piece(" a ", static=True)]).strip()
    (piece,) = (piece for piece in marks.pieces(cut) if piece.text)
    assert piece == Piece("a", static=True)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("{{ a | tojson }}", '{"x": 1, "é": ["<|im_end|>"]}'),
        ("{{ {'name': n, 'arguments': a} | tojson }}",
         '{"name": "tool", "arguments": {"x": 1, "é": ["<|im_end|>"]}}'),
        ("{{ '(' + a + ')' }}", '({"x": 1, "é": ["<|im_end|>"]})'),
        ("{{ a }}{{ a ~ '' }}", '{"x": 1, "é": ["<|im_end|>"]}' * 2),
        ("{{ a | string }}", '{"x": 1, "é": ["<|im_end|>"]}'),
        ("{% for k, v in a.items() %}{{ k }}={{ v | tojson }};{% endfor %}",
         'x=1;é=["<|im_end|>"];'),
        ("{% for k, v in a | items %}{{ k }}={{ v | string }};{% endfor %}",
         "x=1;é=['<|im_end|>'];"),
        ("{% if a is string %}s{% endif %}{% if a is mapping %}m{% endif %}{{ a | length }}", "m2"),
        ("{{ a['x'] }}{{ a.get('y', 'none') }}", "1none"),
    ],
)  # fmt: skip
def test_arguments_serve_all_kinds_of_templates(expression: str, expected: str) -> None:
    marks = Marks()
    arguments = Arguments(marks, {"x": 1, "é": ["<|im_end|>"]})
    rendered = environment().from_string(expression).render(a=arguments, n=marks.text("tool"))
    assert "im_end" not in rendered
    assert written(marks.pieces(rendered)) == expected


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner),
)


@given(value=JSON_VALUES)
def test_foreign_values_have_the_json_of_the_values(value: Any) -> None:
    marks = Marks()
    text = to_json(marks.value(value), ensure_ascii=False)
    assert written(marks.pieces(text)) == json.dumps(value, ensure_ascii=False)


def test_what_is_missing_in_the_output_is_missed() -> None:
    marks = Marks()
    one, other = marks.text(" one "), marks.text("other")
    assert marks.all_in(f"{one} {other}", [one, other])
    assert marks.all_in(f"{one.strip()} {other[1:]}", [one, other])
    assert marks.all_in(to_json([one, {"key": other[1:]}]), [one, other])
    assert not marks.all_in(f"{one}", [one, other])
    exact = marks.sealed([Piece("", tokens=(7,))])
    assert not marks.all_in(to_json([exact]), [exact])
