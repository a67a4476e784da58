"""Arithmetic as people write it, exact where it can be, and never for long."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentkit.errors import ToolRetry

Call = Callable[..., Any]


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("3 * (4 + 5)", "27"),
        ("-2**2", "-4"),
        ("2^3^2", "512"),
        ("2**-1", "0.5"),
        ("-7//2", "-4"),
        ("-7 % 3", "2"),
        ("0.1 + 0.2", "0.3"),
        ("1.10 * 3", "3.3"),
        ("12345678901234567890.123456789 * 2", "24691357802469135780.246913578"),
        ("2**100", "1267650600228229401496703205376"),
        ("6.02e23", "602000000000000000000000"),
        ("1e-30", "0." + 29 * "0" + "1"),
        ("1/3", "0.333333333333333"),
        ("10**400/3", "3.33333333333333e+399"),
        ("(1+0.05/365)**3650", "1.64866481376523"),
        ("3 × 4 ÷ 2 − 1", "5"),
        ("3 x 4", "12"),
        ("7 plus 3 =", "10"),
        ("10 mod 3", "1"),
        ("$1,234.50 + 1_000", "2234.5"),
        ("5!", "120"),
        (" ((((1)))) ", "1"),
    ],
)
def test_arithmetic(call: Call, expression: str, value: str) -> None:
    assert call("calculate", expression=expression) == value


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("15% of 80", "12"),
        ("15 percent of 80", "12"),
        ("20% of (50 + 30)", "16"),
        ("80 * 15%", "12"),
        ("200 + 10%", "220"),
        ("200 - 10%", "180"),
        ("15% + 10%", "0.25"),
        ("100 * (1 + 5%)^3", "115.7625"),
        ("10% - 3", "-2.9"),
        ("10%", "0.1"),
        ("10 % 3", "1"),
        ("10%3", "1"),
        ("10 % -3", "-2"),
        ("10 % (2 + 1)", "1"),
    ],
)
def test_a_percent_is_told_from_a_remainder(call: Call, expression: str, value: str) -> None:
    assert call("calculate", expression=expression) == value


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("sqrt(16)", "4"),
        ("sqrt(2.25)", "1.5"),
        ("sqrt(2)", "1.4142135623731"),
        ("√(9)", "3"),
        ("8 ** (1/3)", "2"),
        ("sin(pi)", "0"),
        ("sin(30°)", "0.5"),
        ("COS(2*π)", "1"),
        ("log(100, 10) + log2(8) + ln(e)", "6"),
        ("log10(2**5000)", "1505.14997831991"),
        ("round(2.5) + round(-2.5)", "0"),
        ("round(2.675, 2)", "2.68"),
        ("round(1234, -2)", "1200"),
        ("floor(-1.5) + ceil(1.2) + int(-1.9)", "-1"),
        ("sum([1, 2.5, 3])", "6.5"),
        ("mean(1, 2, 3) + median([1, 4, 2, 3])", "4.5"),
        ("max(1,200)", "200"),
        ("max((1,200), 3)", "1200"),
        ("min(sqrt(2), 2)", "1.4142135623731"),
        ("gcd(123456789, 987654321)", "9"),
        ("comb(5, 2) + perm(3, 2) + factorial(4)", "40"),
    ],
)
def test_functions(call: Call, expression: str, value: str) -> None:
    assert call("calculate", expression=expression) == value


@pytest.mark.parametrize(
    ("expression", "hint"),
    [
        ("", "it breaks off at the end of ''"),
        ("3 +", "it breaks off at the end of '3 +'"),
        ("2 * (3 + 4", "a ) is missing at the end of '2 * (3 + 4'"),
        ("3)", "')' cannot stand after '3'"),
        ("2 +* 3", "'*' cannot stand after '2 +'"),
        ("* 3", "'*' cannot stand at the beginning"),
        ("2(3)", "a sign such as * is missing between '2' and '('"),
        ("2π", "a sign such as * is missing between '2' and 'π'"),
        ("3,14 * 2", "a comma cannot stand after '3': decimals have a point"),
        ("sqroot(4)", "'sqroot' at the beginning is no number and no function; did you mean sqrt"),
        ("5 km + 3", "'km' after '5' is no number and no function; write numbers"),
        ("sqrt 4", "write the argument of sqrt in brackets: sqrt(...)"),
        ("round(1, 2, 3)", "round takes 1 or 2 arguments, not 3"),
        ("sin()", "sin takes 1 argument, not 0"),
        ("max()", "max takes 1 or more arguments, not 0"),
        ("gcd(1.5, 2)", "1.5 should be a whole number"),
        ("sqrt(-4)", "sqrt of -4 is no real number"),
        ("(-8) ** (1/2)", "** of -8, 0.5 is no real number"),
        ("log(0)", "log of 0 is no real number"),
        ("1 / (2 - 2)", "'1 / (2 - 2)' divides by zero"),
        ("0 ** -1", "divides by zero"),
        ("__import__('os')", "'__import__' cannot stand at the beginning"),
        ("'a' * 10**9", "cannot stand at the beginning"),
        ("(1).real", "'.' cannot stand after '(1)'"),
        ("x = 5", "'x' at the beginning is no number and no function"),
        ("1 if 1 else 2", "'if' after '1' is no number"),
        ("[1, 2]", "'[' cannot stand at the beginning"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_place(call: Call, expression: str, hint: str) -> None:
    with pytest.raises(ToolRetry) as caught:
        call("calculate", expression=expression)
    assert hint in str(caught.value)


@pytest.mark.parametrize(
    "expression",
    ["9**9**9", "9**9**9**9", "1e999999999", "0.5**999999", "factorial(999999)", "exp(99999)",
     "perm(9999, 9000)", "10**3000 * 10**3000", "9" * 990 + "**99", "round(1, 999999)"],
)  # fmt: skip
def test_what_would_grow_large_is_refused(call: Call, expression: str) -> None:
    with pytest.raises(ToolRetry, match="more than 3000 digits"):
        call("calculate", expression=expression)


@pytest.mark.parametrize("expression", ["(" * 999, "-" * 999 + "1", "2**" * 300 + "2"])
def test_what_is_nested_deeply_is_refused(call: Call, expression: str) -> None:
    with pytest.raises(ToolRetry, match="nested too deeply"):
        call("calculate", expression=expression)


def test_a_long_expression_is_work_for_a_program(call: Call) -> None:
    with pytest.raises(ToolRetry, match="1001 characters: use run_python"):
        call("calculate", expression="1" + "+1" * 500)


NUMBERS = st.one_of(
    st.integers(0, 10**6).map(str), st.decimals(0, 1000, places=3).map(lambda d: f"{d:f}")
)
EXPRESSIONS = st.recursive(
    NUMBERS,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from([" + ", "-", "*", " / ", "//", " % "]), inner).map(
            lambda parts: f"({parts[0]}{parts[1]}{parts[2]})"
        ),
        inner.map(lambda one: f"(-{one})"),
        st.tuples(inner, st.integers(0, 4)).map(lambda parts: f"({parts[0]}**{parts[1]})"),
    ),
    max_leaves=12,
)


class Exact:
    """Numbers of an expression, for Python to work it out with."""

    def __getitem__(self, text: str) -> Fraction:
        return Fraction(text)


@given(EXPRESSIONS)
def test_it_agrees_with_fractions(call_anywhere: Call, expression: str) -> None:
    exact = re.sub(r"(?<!\*\*)(?<![\d.])\d+(?:\.\d+)?", r'N["\g<0>"]', expression)
    try:
        expected = Fraction(eval(exact, {"N": Exact()}))
    except ZeroDivisionError:
        with pytest.raises(ToolRetry, match="divides by zero"):
            call_anywhere("calculate", expression=expression)
        return
    if len(expression) > 1000 or max(abs(expected.numerator), expected.denominator) > 2**9000:
        return

    told = call_anywhere("calculate", expression=expression)

    if (expected * 10**30).denominator == 1:
        assert Fraction(told) == expected
    else:
        assert math.isclose(Fraction(told), expected, rel_tol=1e-14)


@given(st.text("0123456789.,%+-*/()[] ^!°eπ√", max_size=40) | st.text(max_size=40))
def test_nothing_that_is_written_breaks_it(call_anywhere: Call, expression: str) -> None:
    try:
        told = call_anywhere("calculate", expression=expression)
    except ToolRetry:
        return
    assert math.isfinite(float(told)) or len(told) > 300
