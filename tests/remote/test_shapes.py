"""Whatever a server makes of an answer, it comes out as it was asked for."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentkit.remote.shapes import Called, Plain, Quoted, Spaced

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


@given(VALUES, st.sampled_from([None, 0, 3, "\t"]), st.sampled_from([(",", ":"), (" , ", "\n: ")]))
def test_json_in_any_spacing_becomes_that_of_json_dumps(
    value: Any, indent: int | str | None, separators: tuple[str, str]
) -> None:
    sent = json.dumps(value, indent=indent, separators=separators, ensure_ascii=False)
    spaced = Spaced()
    pieces = [spaced.push(character) for character in f"\n {sent} "]
    assert "".join(pieces) == json.dumps(value, ensure_ascii=False)
    assert spaced.end() == ("", ())


def test_plain_text_is_left_alone() -> None:
    plain = Plain()
    assert (plain.push(" a\n"), plain.end()) == (" a\n", ("", ()))


@pytest.mark.parametrize(
    ("sent", "shown"),
    [('"yes"', "yes"), (' "say \\"no\\"\\n" ', 'say "no"\n'), ('"cut o', "cut o"), ("7", "7")],
)
def test_a_quoted_text_is_shown_without_its_quotes(sent: str, shown: str) -> None:
    quoted = Quoted()
    assert [quoted.push(character) for character in sent] == [""] * len(sent)
    assert quoted.end() == (shown, ())


def test_a_call_comes_out_whole_or_not_at_all() -> None:
    sent = '{\n "name": "look", "arguments": {"at":"Ä"} }'
    called = Called()
    assert called.push(sent[:9]) + called.push(sent[9:]) == ""
    text, (call,) = called.end()
    assert (text, call.name, call.arguments) == ("", "look", '{"at": "Ä"}')
    assert call.id
    for cut in ('{"name": "look", "arg', '{"name": 7}', "[1]", ""):
        called = Called()
        called.push(cut)
        assert called.end() == ("", ())
