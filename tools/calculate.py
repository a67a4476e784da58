"""Work out arithmetic, exactly where that can be.

Numbers are fractions until a function makes them irrational: 0.1 + 0.2 is 0.3, and 2**100 has all
its digits.  The language is the one that people and models write: 15% of 80, 200 + 10%, 1,234.50,
2^10, 3 × 4.  A parser of its own reads it, not Python's: it keeps 0.1 exact, and nothing can be
said in it but numbers and the functions below.  What would grow large is refused before it is
worked out.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Context, Decimal
from fractions import Fraction
from typing import Any

from agentkit import tool
from agentkit.errors import ToolRetry, closest

LONGEST = 1000
"""Characters of an expression."""
DEEPEST = 50
"""Brackets in brackets, signs before signs, powers of powers."""
LARGEST = 10_000
"""Bits of a number: 3010 digits."""
PLACES = 30
"""Decimal places of a number that is told exactly; any other is told to 15 digits."""

Number = Fraction | float


@tool
def calculate(expression: str) -> str:
    """Work out arithmetic such as 3 * (4 + 5) or 15% of 80: numbers, not files.

    Args:
        expression: Numbers, + - * / // % ** ( ), and functions such as sqrt, round, sum, max, log.
    """
    if len(expression) > LONGEST:
        raise ToolRetry(f"expression has {len(expression)} characters: use run_python for so much")
    try:
        return _written(_Reader(expression).result())
    except ZeroDivisionError:
        raise ToolRetry(f"{expression!r} divides by zero") from None
    except OverflowError:
        raise ToolRetry("a number in it would have more than 3000 digits") from None


def _written(value: Number) -> str:
    """All digits where a decimal number has an end, otherwise the first 15."""
    if isinstance(value, float):
        return f"{value or 0.0:.15g}"
    shifted = value * 10**PLACES
    if shifted.denominator > 1:
        top, bottom = Decimal(value.numerator), Decimal(value.denominator)
        return f"{Context(prec=15).divide(top, bottom).normalize():g}"
    digits = f"{abs(shifted.numerator):0{PLACES + 1}}"
    sign = "-" if value < 0 else ""
    return f"{sign}{digits[:-PLACES]}.{digits[-PLACES:]}".rstrip("0").rstrip(".")


# -- words ---------------------------------------------------------------------------------------

PATTERN = r"\s*(?:(?P<number>{} (?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)|[^\W\d]\w*|\*\*|//|\S)"
THOUSANDS = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?(?![\d,])|"
PLAIN = re.compile(PATTERN.format(""), re.VERBOSE)
WITH_THOUSANDS = re.compile(PATTERN.format(THOUSANDS), re.VERBOSE)

SAME = str.maketrans("×·÷−–$€£", "**/--   ")
SPELLED = {
    "^": "**", "percent": "%", "mod": "%", "times": "*", "of": "*", "x": "*", "plus": "+",
    "minus": "-", "π": "pi", "√": "sqrt",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Word:
    """A number, a name or a sign, as it stands in the expression from `start` to `end`."""

    text: str
    start: int
    end: int
    is_number: bool = False

    @property
    def is_operand(self) -> bool:
        """Whether a value begins with it."""
        return self.is_number or self.text[:1].isalpha() or self.text == "("


def _words(expression: str) -> Iterator[_Word]:
    """The words, and an empty one at the end.

    A comma between digits parts thousands, but not between the arguments of a function.
    """
    text = expression.translate(SAME).rstrip().rstrip("=").rstrip()
    at, before, brackets = 0, "", list[bool]()
    while at < len(text):
        found = (PLAIN if brackets and brackets[-1] else WITH_THOUSANDS).match(text, at)
        assert found is not None, text[at:]
        at, word = found.end(), found[0].strip()
        start = at - len(word)
        word = SPELLED.get(word.lower(), word)
        if word in ("(", "["):
            brackets.append(word == "[" or before[:1].isalpha())
        elif word in (")", "]") and brackets:
            brackets.pop()
        yield _Word(word, start, at, found["number"] is not None)
        before = word
    yield _Word("", len(text), len(text))


# -- numbers -------------------------------------------------------------------------------------


class _Percent(Fraction):
    """A hundredth of what was written; `200 + 15%` has to know that it was."""


def _number(text: str) -> Fraction:
    digits, _, exponent = text.replace(",", "").replace("_", "").lower().partition("e")
    if abs(int(exponent or 0)) > LARGEST // 4:
        raise OverflowError
    return Fraction(digits) * Fraction(10) ** int(exponent or 0)


def _bounded(value: Any) -> Number:
    """A result that may be used further."""
    if isinstance(value, float):
        if not math.isfinite(value):
            raise OverflowError
        return value
    exact = value if isinstance(value, Fraction) else Fraction(value)
    if _bits(exact) > LARGEST:
        raise OverflowError
    return exact


def _bits(value: Fraction) -> int:
    return max(value.numerator.bit_length(), value.denominator.bit_length())


def _power(base: Any, exponent: Any) -> Number:
    whole = exponent == int(exponent)
    if isinstance(base, Fraction) and whole:
        if abs(base) in (0, 1) or _bits(base) * abs(exponent) <= LARGEST:
            return Fraction(base ** int(exponent))
        if base.denominator == 1:
            raise OverflowError
    if base < 0 and not whole:
        raise ValueError
    power: float = float(base) ** float(exponent)
    if power == 0 != base:
        raise OverflowError
    return power


def _root(value: Number) -> Number:
    if isinstance(value, Fraction) and value >= 0:
        exact = Fraction(math.isqrt(value.numerator), math.isqrt(value.denominator))
        if exact**2 == value:
            return exact
    return math.sqrt(value)


def _round(value: Number, digits: Number = Fraction(0)) -> Number:
    """To the nearest, and a half away from zero, as on bills."""
    exact = value if isinstance(value, Fraction) else Fraction(repr(value))
    scale = Fraction(10) ** _whole(digits, most=300)
    nearest = math.floor(abs(exact) * scale + Fraction(1, 2)) / scale
    return -nearest if exact < 0 else nearest


def _mean(*values: Number) -> Number:
    return sum(values) / len(values)


def _median(*values: Number) -> Number:
    ordered, middle = sorted(values), len(values) // 2
    return ordered[middle] if len(values) % 2 else _mean(*ordered[middle - 1 : middle + 1])


def _factorial(n: Number) -> int:
    return math.factorial(_whole(n, most=1100))


def _comb(n: Number, k: Number) -> int:
    return math.comb(_whole(n, most=LARGEST), _whole(k, most=LARGEST))


def _perm(n: Number, k: Number) -> int:
    return math.perm(_whole(n, most=LARGEST), _whole(k, most=LARGEST))


def _whole(value: Number, most: float = math.inf) -> int:
    if value != int(value):
        raise ToolRetry(f"{_written(value)} should be a whole number")
    if not -most <= value <= most:
        raise OverflowError
    return int(value)


def _real(value: Number) -> int | float:
    """For the functions of `math`, some of which take whole numbers of any size."""
    return int(value) if value == int(value) else float(value)


def _log(value: Number, base: Number = math.e) -> float:
    known = {math.e: math.log, 2: math.log2, 10: math.log10}.get(_real(base))  # exact for powers
    return known(_real(value)) if known else math.log(_real(value), _real(base))


def _circular(function: Callable[[float], float]) -> Callable[[Number], float]:
    """sin(pi) is 0, though pi as a float is not quite pi."""

    def rounded(angle: Number) -> float:
        value = function(float(angle))
        return 0.0 if abs(value) < 1e-15 and abs(float(angle)) > 1 else value

    return rounded


ANY = LONGEST


@dataclass(frozen=True, slots=True)
class _Function:
    """What a name does, and how many arguments it takes."""

    call: Callable[..., Any]
    least: int = 1
    most: int = 1

    @property
    def takes(self) -> str:
        """`1 or 2 arguments`."""
        if self.most == ANY:
            return f"{self.least} or more arguments"
        numbers = " or ".join(str(n) for n in range(self.least, self.most + 1))
        return f"{numbers} argument" + ("s" if self.most > 1 else "")


CONSTANTS = {"pi": math.pi, "e": math.e, "tau": math.tau}
FUNCTIONS: Mapping[str, _Function] = {
    "abs": _Function(abs),
    "acos": _Function(math.acos),
    "asin": _Function(math.asin),
    "atan": _Function(math.atan),
    "average": _Function(_mean, 1, ANY),
    "avg": _Function(_mean, 1, ANY),
    "cbrt": _Function(math.cbrt),
    "ceil": _Function(math.ceil),
    "comb": _Function(_comb, 2, 2),
    "cos": _Function(_circular(math.cos)),
    "degrees": _Function(math.degrees),
    "exp": _Function(math.exp),
    "factorial": _Function(_factorial),
    "floor": _Function(math.floor),
    "gcd": _Function(lambda *values: math.gcd(*map(_whole, values)), 1, ANY),
    "hypot": _Function(math.hypot, 1, ANY),
    "int": _Function(math.trunc),
    "lcm": _Function(lambda *values: math.lcm(*map(_whole, values)), 1, ANY),
    "ln": _Function(_log),
    "log": _Function(_log, 1, 2),
    "log10": _Function(lambda value: _log(value, 10.0)),
    "log2": _Function(lambda value: _log(value, 2.0)),
    "max": _Function(lambda *values: max(values), 1, ANY),
    "mean": _Function(_mean, 1, ANY),
    "median": _Function(_median, 1, ANY),
    "min": _Function(lambda *values: min(values), 1, ANY),
    "perm": _Function(_perm, 2, 2),
    "pow": _Function(_power, 2, 2),
    "radians": _Function(math.radians),
    "round": _Function(_round, 1, 2),
    "sin": _Function(_circular(math.sin)),
    "sqrt": _Function(_root),
    "sum": _Function(lambda *values: sum(values), 1, ANY),
    "tan": _Function(_circular(math.tan)),
}

PRODUCTS: Mapping[str, Callable[[Any, Any], Any]] = {
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
}


# -- reading -------------------------------------------------------------------------------------


class _Reader:
    """Reads an expression from left to right and works it out on the way."""

    def __init__(self, expression: str) -> None:
        self._expression = expression
        self._words = [*_words(expression)]
        self._at = 0
        self._depth = 0

    def result(self) -> Number:
        """The value of the whole expression."""
        value = self._sum()
        if self._next.text:
            raise self._unexpected()
        return value

    # Each of these reads as much as belongs to it and gives its value.

    def _sum(self) -> Number:
        value = self._product()
        while self._next.text in ("+", "-"):
            sign = self._take()
            by = self._product()
            if isinstance(by, _Percent) and not isinstance(value, _Percent):
                by = value * by
            value = _bounded(value + by if sign == "+" else value - by)
        return value

    def _product(self) -> Number:
        value = self._signed()
        while self._next.text in PRODUCTS:
            sign = self._take()
            value = _bounded(PRODUCTS[sign](value, self._signed()))
        return value

    def _signed(self) -> Number:
        self._depth += 1
        if self._depth > DEEPEST:
            raise ToolRetry("it is nested too deeply: work it out in parts")
        if self._next.text in ("+", "-"):
            value = -self._signed() if self._take() == "-" else self._signed()
        else:
            value = self._powered()
        self._depth -= 1
        return value

    def _powered(self) -> Number:
        base = self._with_marks()
        if self._next.text != "**":
            return base
        self._take()
        exponent = self._signed()
        return self._called("**", _power, base, exponent)

    def _with_marks(self) -> Number:
        value = self._operand()
        while True:
            if self._next.text == "!":
                value = self._called("factorial", _factorial, value)
            elif self._next.text == "°":
                value = math.radians(value)
            elif self._next.text == "%" and self._is_percent():
                value = _Percent(Fraction(value) / 100)
            else:
                return value
            self._take()

    def _is_percent(self) -> bool:
        """Whether a % is no remainder: nothing follows that it could divide by."""
        before, sign, after, later = (
            self._words[min(at, len(self._words) - 1)] for at in range(self._at - 1, self._at + 3)
        )
        if after.text in ("+", "-"):  # 10 % -3, but 10% - 3
            return not (before.end < sign.start and after.end == later.start)
        return not after.is_operand

    def _operand(self) -> Number:
        word = self._next
        if word.is_number:
            self._take()
            return _bounded(_number(word.text))
        if word.text == "(":
            self._take()
            value = self._sum()
            self._close(")")
            return value
        name = word.text.lower()
        if name in CONSTANTS:
            self._take()
            return CONSTANTS[name]
        if name in FUNCTIONS:
            self._take()
            return self._result_of(name)
        raise self._unexpected()

    def _result_of(self, name: str) -> Number:
        if self._next.text != "(":
            raise ToolRetry(f"write the argument of {name} in brackets: {name}(...)")
        self._take()
        arguments = self._arguments(")")
        function = FUNCTIONS[name]
        if not function.least <= len(arguments) <= function.most:
            raise ToolRetry(f"{name} takes {function.takes}, not {len(arguments)}")
        return self._called(name, function.call, *arguments)

    def _arguments(self, closing: str) -> list[Number]:
        """Up to the bracket that closes them; a list in square brackets is as good as its items."""
        found: list[Number] = []
        while self._next.text != closing:
            if self._next.text == "[" and closing == ")":
                self._take()
                found += self._arguments("]")
            else:
                found.append(self._sum())
            if self._next.text == ",":
                self._take()
            elif self._next.text != closing:
                raise self._unexpected()
        self._close(closing)
        return found

    def _called(self, name: str, call: Callable[..., Any], *arguments: Number) -> Number:
        try:
            return _bounded(call(*arguments))
        except ValueError:
            given = ", ".join(map(_written, arguments))
            raise ToolRetry(f"{name} of {given} is no real number") from None

    # -- the words themselves --

    @property
    def _next(self) -> _Word:
        return self._words[self._at]

    def _take(self) -> str:
        self._at += 1
        return self._words[self._at - 1].text

    def _close(self, bracket: str) -> None:
        if self._next.text != bracket:
            raise self._unexpected()
        self._take()

    def _unexpected(self) -> ToolRetry:
        """Why the next word cannot stand here."""
        word = self._next
        said = self._expression[word.start : word.end]
        before = self._expression[: word.start].rstrip()
        where = f"after {before!r}" if before else "at the beginning"
        if not said:
            missing = "a ) is missing" if before.count("(") > before.count(")") else "it breaks off"
            return ToolRetry(f"{missing} at the end of {self._expression!r}")
        if said[0].isalpha() and word.text.lower() not in (*FUNCTIONS, *CONSTANTS):
            near = closest(said, FUNCTIONS)
            told = f"did you mean {near}?" if near else "write numbers; run_python reads files"
            return ToolRetry(f"{said!r} {where} is no number and no function; {told}")
        if word.is_operand and before:
            return ToolRetry(f"a sign such as * is missing between {before!r} and {said!r}")
        if said == ",":
            return ToolRetry(f"a comma cannot stand {where}: decimals have a point, as in 3.14")
        return ToolRetry(f"{said!r} cannot stand {where}: write numbers and + - * / ** ( )")
