"""`${{ ... }}`: what it gives, what it refuses, and that it stays within bounds."""

from __future__ import annotations

import tracemalloc
from contextlib import suppress
from time import thread_time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentkit.errors import ModelMissing
from agentkit.workflow import environment
from agentkit.workflow.expressions import ExpressionError, Reference, is_whole, references, render

FACTS: dict[str, Any] = {
    "inputs": {
        "n": 3, "name": "Ada", "items": [1, 2], "keys": "k", "get": 5, "values": {"pop": True},
        "people": [{"name": "Ada"}, {"name": "Bob"}], "nothing": None,
    },
    "steps": {"ask": {"outputs": {"text": "hi", "items": [3]}}, "skipped": {"outputs": None}},
    "run": {"id": "r1"},
}  # fmt: skip

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


# -- values ----------------------------------------------------------------------------------------


@given(PLAIN)
def test_one_expression_alone_keeps_the_value_and_its_type(value: Any) -> None:
    assert render("${{ x }}", {"x": value}) == value
    assert type(render("  ${{ x }}\n", {"x": value})) is type(value)


@given(PLAIN)
def test_what_an_expression_gives_is_never_evaluated_again(value: Any) -> None:
    assert render("${{ x }}", {"x": {"a": value, "b": "${{ y }} {{ y }} {% x %}"}}) == {
        "a": value,
        "b": "${{ y }} {{ y }} {% x %}",
    }
    assert render("> ${{ x }}", {"x": "${{ y }}"}) == "> ${{ y }}"


@given(st.text())
def test_text_without_an_expression_stays_as_it_is(text: str) -> None:
    if "${{" not in text:
        assert render(text, {}) == text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${{ inputs.n }}", 3),
        ("n=${{ inputs.n }}", "n=3"),
        ("${{ inputs.n }}${{ inputs.n }}", "33"),
        ("${{ inputs.items }}", [1, 2]),
        ("all: ${{ inputs.items }}", "all: [1, 2]"),
        ("${{ inputs.keys }}", "k"),
        ("${{ inputs.get }}", 5),
        ("${{ inputs.values.pop }}", True),
        ("${{ inputs['items'] }}", [1, 2]),
        ("${{ steps.ask.outputs.items[0] }}", 3),
        ("${{ inputs.nothing }}", None),
        ("<${{ inputs.nothing }}>", "<>"),
        ("${{ true }} ${{ 1.5 }}", "true 1.5"),
        ("${{ inputs.name.upper() }}", "ADA"),
        ("${{ inputs.people | map(attribute='name') }}", ["Ada", "Bob"]),
        ("${{ inputs.people | map(attribute='name') | join(' & ') }}", "Ada & Bob"),
        ("${{ inputs.people | groupby('name') | map(attribute='grouper') }}", ["Ada", "Bob"]),
        ("${{ inputs.people | selectattr('name', 'equalto', 'Bob') }}", [{"name": "Bob"}]),
        ("${{ inputs.nope | default('d') }}", "d"),
        ("${{ inputs.nope is defined }}", False),
        ("${{ '}}' }}", "}}"),
        ("${{ '}}' ~ \"}}\" }} x", "}}}} x"),
        ("${{ 'it\\'s }}' }}", "it's }}"),
        ("${{ {'a': {'b': 1}} }}", {"a": {"b": 1}}),
        ("${{ (1, 2) }}", [1, 2]),
        ("${{ 'a' ~ 1 ~ inputs.items ~ 1.5 ~ true ~ {'b': 2} }}", "a1[1, 2]1.5True{'b': 2}"),
        ("${{ '%s and %03d %%' % ('a', 7) }}", "a and 007 %"),
        ("${{ '%(a)s' % {'a': [1]} }}", "[1]"),
        ("${{ range(3) }}", [0, 1, 2]),
        ("${{ '0123' }}", "0123"),
        ("${{ {'ä': 1} | tojson }}", '{"ä": 1}'),
        ("${{ '[1, 2]' | fromjson }}", [1, 2]),
        ("${{ 'a\nb' | lines }}", ["a", "b"]),
        ("${{ 'Ein Bär!' | slug }}", "ein-b-r"),
        ("${{ '%03d' | format(7) }}", "007"),
        ("${{ '<b>' | escape }}", "&lt;b&gt;"),
        ("{{ plain }} {% x %} {# y #} $HOME ${x}", "{{ plain }} {% x %} {# y #} $HOME ${x}"),
    ],
)
def test_values(text: str, value: Any) -> None:
    rendered = render(text, FACTS)

    assert rendered == value
    assert type(rendered) is type(value)


def test_data_is_rendered_at_any_depth_but_keys_are_not() -> None:
    data = {"${{ run.id }}": ["${{ run.id }}", {"n": "${{ inputs.n }}"}], "plain": 1}

    assert render(data, FACTS) == {"${{ run.id }}": ["r1", {"n": 3}], "plain": 1}


def test_an_error_says_where_in_the_data_it_struck() -> None:
    with pytest.raises(ExpressionError) as caught:
        render({"a": ["x", {"b": "${{ inputs.nope }}"}]}, FACTS)

    assert caught.value.path == ("a", 1, "b")


def test_an_expression_cannot_change_what_it_reads() -> None:
    facts = {"x": [1], "y": {"a": 1}}
    for text in ("${{ x.append(2) }}", "${{ y.update({'b': 2}) }}", "${{ y.clear() }}"):
        with pytest.raises(ExpressionError):
            render(text, facts)

    assert facts == {"x": [1], "y": {"a": 1}}


# -- errors ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("${{ nope }}", 'there is no "nope", only "inputs", "steps", "run"'),
        ("${{ steps.nope }}", 'there is no "nope", only "ask", "skipped"'),
        ("${{ steps.nope.outputs }}", 'there is no "nope", only "ask", "skipped"'),
        ("${{ steps.ask.outputs.nope }}", 'there is no "nope", only "text", "items"'),
        ("${{ steps.skipped.outputs.text }}", "the value is null (was its step skipped?)"),
        ("${{ inputs.people.name }}", "map(attribute='name') gives that of each entry"),
        ("${{ inputs.people | map(attribute='age') | list }}", 'no "age", only "name"'),
        ("${{ inputs.items[7] }}", "there is no entry 7: there are 2, counted from 0"),
        ("${{ inputs.name.first }}", 'there is no "first": the value is text'),
        ("${{ inputs.n() }}", "a number cannot be called"),
        ("${{ inputs.name.upper }}", "a function must be called: add ()"),
        ("${{ 'a' + 1 }}", "+ cannot join text and something else: ~ can"),
        ("${{ inputs.n > 'a' }}", "'>' not supported between instances of a number and text"),
        ("${{ 1 / 0 }}", "division by zero"),
        ("${{ 'x' | fromjson }}", "this is not JSON"),
        ("${{ inputs.nope ~ 'x' }}", 'there is no "nope"'),
        ("${{ 'x' if inputs.nope else 'y' }}", 'there is no "nope"'),
    ],
)
def test_errors_name_what_there_is(text: str, said: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        render(text, FACTS)

    assert said in str(caught.value)
    assert text in str(caught.value)


# -- the sandbox -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "source",
    [
        "''.__class__", "''.__class__.__mro__", "''['__class__']", "inputs.__class__",
        "inputs.items.__class__", "inputs.n.__class__",  "(1).__class__.__base__",
        "range.__globals__", "range.__init__", "inputs.name.upper.__self__",
        "inputs.name.upper.__globals__", "cycler.__init__.__globals__", "lipsum.__globals__",
        "joiner()", "namespace(a=1)", "dict(a=1)", "self._TemplateReference__context",
        "'{0.__class__}'.format(1)", "'{0.__class__}'.format_map({'0': 1})",
        "'%s'.__mod__(1)", "inputs | attr('keys')", "inputs.people | map(attribute='__class__')",
        "inputs.people | map('attr', 'keys')", "inputs.people | sum(attribute='__class__')",
        "inputs.people | sort(attribute='__class__')", "'x'.encode()", "'a'.translate({97: 98})",
        "inputs.name.upper.__call__()", "inputs | pprint", "inputs | xmlattr",
        "inputs.people | groupby('__class__')", "(inputs.people | groupby('name'))[0].__class__",
        "loop", "caller()", "super()", "config", "request", "__import__('os')",
        "open('/etc/passwd')",
        "inputs.items.append(1)", "inputs.items.clear()", "inputs.items.sort()",
    ],
)  # fmt: skip
def test_nothing_but_plain_data_can_be_reached(source: str) -> None:
    with pytest.raises(ExpressionError):
        render("${{ " + source + " }}", FACTS)


@pytest.mark.parametrize(
    "source",
    [
        "'a' * 10**10", "10**10 * 'a'", "[0] * 10**9", "[[0] * 100000] * 100000",
        "10**100000", "(10**2000) * (10**2000) * (10**2000)",
        "range(10**9)", "range(0, -10**9, -1)", "range(10**9) | list", "range(10**12) | length",
        "([range(100000)] * 1000) | map('sum') | list",
        "([[0] * 1000] * 100) | map('length') | map('string') | map('upper') | list | length"
        " + ([range(100000)] * 100) | map('list') | list | length",
        "range(100000) | map('string') | map('replace', '', 'abcdefgh' * 1000) | list",
        "range(100000) | join('a' * 5000)", "('a' * 5000).join(['b'] * 5000)",
        "'aaaa'.replace('', 'b' * 5000000)", "'aaaa' | replace('', 'b' * 5000000)",
        "'%999999999d' % 1", "'%999999999d' | format(1)", "'%*d' | format(999999999, 1)",
        "'%.999999999f' % 1.5", "'a' | center(10**9)", "'a'.center(10**9)", "'a'.ljust(10**9)",
        "'a'.zfill(10**9)", "'\t'.expandtabs(10**9)", "'{:>999999999}'.format(1)",
        "'a\n' | indent(10**9)", "[1] | batch(10**9, 0) | list", "[1] | slice(10**9) | list",
        "1 | round(10**9, 'floor')", "{'a': 1} | tojson(indent=10**9)",
        "(('a' * 5000000) + 'a')", "9" * 5000, "(" * 3000 + "1" + ")" * 3000, "+".join("1" * 3000),
        "1" + " + 1" * 10000,
        " ~ ".join(["'a' * 5000000"] * 100), "'' ~ ([['a' * 1000] * 1000] * 100)",
        "[" + ", ".join(["'a' * 5000000"] * 200) + "]", "['a' * 5000000] * 200",
        "{" + ", ".join(f"{n}: 'a' * 5000000" for n in range(200)) + "}",
        "range(1000) | map('replace', '', 'a' * 5000000) | list",
        "('%s' * 500) % (" + ", ".join(["'a' * 5000000"] * 500) + ")",
        "('%s' * 500) % (['a' * 5000000] * 500)", "('%(a)s' * 500) % {'a': 'a' * 50000}",
        "('%s' * 500) | format(" + ", ".join(["'a' * 50000"] * 500) + ")",
        "('%999d' * 50000) % (1,)", "'%(a(b)c)999999999d' % {'a(b)c': 1}", "('%(' * 2000000) % 1",
        "([[0] * 1000] * 1000) * 100 == ([[0] * 1000] * 1000) * 100",
    ],
)  # fmt: skip
def test_a_mistake_ends_with_a_sentence_and_not_with_a_full_memory(source: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        render("${{ " + source + " }}", FACTS)

    assert len(str(caught.value)) < 600


def test_a_mistake_takes_neither_long_nor_much_memory() -> None:
    many = ", ".join(["'a' * 5000000"] * 500)
    for source in (many.replace(",", " ~"), f"[{many}]", f"('%s' * 500) % ({many})"):
        before = thread_time()
        tracemalloc.start()
        try:
            with pytest.raises(ExpressionError):
                render("${{ " + source + " }}", FACTS)
            assert tracemalloc.get_traced_memory()[1] < 200_000_000
        finally:
            tracemalloc.stop()
        assert thread_time() - before < 2


def test_the_pieces_of_a_text_are_bounded_together() -> None:
    with pytest.raises(ExpressionError, match=r"the result would have 5\d{6} characters"):
        render("${{ x }}" * 1000, {"x": "a" * 1_000_000})


def test_the_time_of_an_expression_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    assert render("${{ range(90000) | map('string') | list | length }}", FACTS) == 90_000
    monkeypatch.setattr(environment, "SECONDS", 0.0)

    with pytest.raises(ExpressionError, match="too much work"):
        render("${{ range(90000) | map('string') | list | length }}", FACTS)


def test_what_was_made_elsewhere_is_read_up_to_a_size() -> None:
    assert render("${{ x }}", {"x": "a" * 10_000_000}) == "a" * 10_000_000
    with pytest.raises(ExpressionError, match="the result would have more than 20000000"):
        render("${{ x }}", {"x": ["a" * 10_000_000] * 3})


# -- what is known without evaluating --------------------------------------------------------------


def paths(text: str) -> list[tuple[str, ...]]:
    return [reference.path for reference in references(text)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("${{ steps.a.outputs.b }}", [("steps", "a", "outputs", "b")]),
        ("${{ steps['a'].outputs[\"b\"] }}", [("steps", "a", "outputs", "b")]),
        ("${{ a[0].b }}", [("a", "*", "b")]),
        ("${{ a.0.b }}", [("a", "*", "b")]),
        ("${{ a[b.c].d }}", [("a", "*"), ("b", "c")]),
        ("${{ a | join(b) }} ${{ c }}", [("a",), ("b",), ("c",)]),
        ("${{ a if b is defined and not c else d }}", [("a",), ("b",), ("c",), ("d",)]),
        ("${{ a is not divisibleby(b) }}", [("a",), ("b",)]),
        ("${{ a | sort(attribute=b) }}", [("a",), ("b",)]),
        ("${{ 'a.b' ~ range(3) ~ true ~ none }}", []),
        ("${{ {'k': a, b: 1} }}", [("a",), ("b",)]),
        ("${{ a.b.upper() }}", [("a", "b", "upper")]),
        ("no expression", []),
    ],
)
def test_references(text: str, found: list[tuple[str, ...]]) -> None:
    assert paths(text) == found


def test_references_say_where_each_part_stands() -> None:
    text = "x ${{ a }} y ${{ steps['b'] . c }}"

    assert references(text) == [
        Reference(("a",), (6,)),
        Reference(("steps", "b", "c"), (text.index("steps"), text.index("b'"), text.index("c }"))),
    ]


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("${{ a }}", True), (" ${{ a }}\n", True), ("${{ a }}.", False),
        ("${{ a }}${{ b }}", False),
        ("a", False), ("${{ '}}' }}", True),
    ],
)  # fmt: skip
def test_whole(text: str, whole: bool) -> None:
    assert is_whole(text) is whole


def test_a_text_ends_after_so_many_tokens_of_a_model() -> None:
    asked: list[tuple[str, int, str | None]] = []

    def beginning(text: str, tokens: int, model: str | None) -> str:
        asked.append((text, tokens, model))
        if model == "gone":
            raise ModelMissing("gone")
        return text[:tokens]

    facts = {"text": "abcdef", "n": 3}
    assert render("<${{ text | truncate_tokens(n) }}>", facts, beginning) == "<abc>"
    assert render(["${{ [1, 2] | truncate_tokens(2, 'small') }}"], facts, beginning) == ["[1"]
    assert asked == [("abcdef", 3, None), ("[1, 2]", 2, "small")]
    with pytest.raises(ExpressionError, match="the model 'gone' is not on this machine") as missing:
        render("${{ text | truncate_tokens(1, 'gone') }}", facts, beginning)
    assert missing.value.hint == "agentkit models pull gone"
    for number in ("-1", "true", "'3'", "1.5"):
        with pytest.raises(ExpressionError, match="a number of tokens is 0 or more"):
            render(f"${{{{ text | truncate_tokens({number}) }}}}", facts, beginning)
    with pytest.raises(ExpressionError, match="there is no model to ask"):
        render("${{ text | truncate_tokens(1) }}", facts)


SOUP = st.text(st.sampled_from(list("abis.[](){}|'\"\\ ,:=+-*%&!~0123456789\n$#é")), max_size=40)


@given(SOUP)
def test_whatever_is_written_raises_nothing_else(source: str) -> None:
    text = "x ${{ " + source + " }} y"
    error: ExpressionError | None
    try:
        found = references(text)
    except ExpressionError as caught:
        error = caught
    else:
        error = None
        for reference in found:
            assert text.startswith(reference.path[0], reference.offsets[0])
    if error:
        assert 0 <= error.offset <= len(text)
        assert error.length > 0
    with suppress(ExpressionError):
        render(text, {"a": [1], "b": {"s": "t"}, "i": "text", "s": None})
