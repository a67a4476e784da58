"""Patterns and choices in llama.cpp's grammar; the contract suite asks a real server for them."""

from __future__ import annotations

import doctest

import pytest

from agentkit.errors import UserError
from agentkit.remote import gbnf
from agentkit.remote.gbnf import from_choices, from_regex


def test_the_examples_in_the_docstrings_run() -> None:
    assert doctest.testmod(gbnf) == (0, 2)


@pytest.mark.parametrize(
    ("pattern", "grammar"),
    [
        ("", '""'),
        ("ab", "[a] [b]"),
        ("^ab$", "[a] [b]"),
        (r"\Aab\Z", "[a] [b]"),
        ("a|b", "[ab]"),
        ("ab|cd", "([a] [b] | [c] [d])"),
        ("a|", '([a] | "")'),
        ("(?:a)(?P<name>b)", "[a] [b]"),
        ("a*b+?c?d{3}e{1,4}f{2,}", "([a])* ([b])+ ([c])? ([d]){3,3} ([e]){1,4} ([f]){2,}"),
        (r"\d\w\s", r"[0-9] [0-9A-Z\U0000005Fa-z] [\U00000009-\U0000000D\U00000020]"),
        (r"\D", r"[\U00000000-\U0000002F\U0000003A-\U0010FFFF]"),
        (r"[^\d]", r"[\U00000000-\U0000002F\U0000003A-\U0010FFFF]"),
        (".", r"[\U00000000-\U00000009\U0000000B-\U0010FFFF]"),
        ("(?s).", r"[\U00000000-\U0010FFFF]"),
        (r"\"\]", r"[\U00000022] [\U0000005D]"),
        ("ü🦊", r"[\U000000FC] [\U0001F98A]"),
        ("[^a]", r"[\U00000000-\U00000060b-\U0010FFFF]"),
    ],
)
def test_a_pattern_becomes_a_grammar(pattern: str, grammar: str) -> None:
    assert from_regex(pattern) == f"root ::= {grammar}"


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("(", "not valid"),
        ("a{2,1}", "not valid"),
        ("(?=a)b", "a lookaround"),
        ("(?<!a)b", "a lookaround"),
        (r"(a)\1", "a back reference"),
        ("a^b", "an anchor"),
        (r"\bword", "an anchor"),
        ("(?i)a", "the flag .*IGNORECASE"),
        ("(?i:a)", "a flag for a part"),
    ],
)
def test_what_a_grammar_cannot_say_is_named(pattern: str, why: str) -> None:
    with pytest.raises(UserError, match=why) as caught:
        from_regex(pattern)
    assert repr(pattern) in str(caught.value)


def test_choices_are_written_character_by_character() -> None:
    assert from_choices(['"x"', "a b", ""]) == (
        r'root ::= [\U00000022] [x] [\U00000022] | [a] [\U00000020] [b] | ""'
    )
