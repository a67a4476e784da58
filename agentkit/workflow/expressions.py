"""`${{ ... }}`: Jinja expressions, sandboxed, typed and metered.

A scalar that is one expression keeps its type (a list stays a list); text around it makes a string.
Key lookup wins over attributes, so an output may be called `items`.  Undefined names are errors.
Nothing that an expression produced is ever parsed as an expression again.
What an expression can reach and how much it may compute is the business of `environment`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any

from jinja2 import TemplateSyntaxError, nodes
from jinja2.parser import Parser

from agentkit.errors import AgentkitError
from agentkit.values import dataclass
from agentkit.workflow.environment import (
    ENVIRONMENT,
    MAX_RESULT,
    Beginning,
    ExpressionError,
    as_text,
    in_our_words,
    metered,
    plain,
)

__all__ = [
    "CLOSE",
    "OPEN",
    "Beginning",
    "ExpressionError",
    "Reference",
    "Word",
    "as_text",
    "check",
    "ends_with_filter",
    "is_expression",
    "is_whole",
    "references",
    "render",
    "spans",
    "unknown_words",
]

OPEN, CLOSE = "${{", "}}"
MAX_SOURCE = 10_000
"""Characters of one expression."""
KEYWORDS = frozenset("and or not in is if else true false none True False None".split())


@dataclass(frozen=True, slots=True)
class Reference:
    """A dotted path that an expression reads: `steps.find.outputs.files` as a tuple.

    A part that is computed (`[0]`, `[item.name]`) is `*`.  `offsets` say where in the scalar each
    part stands.
    """

    path: tuple[str, ...]
    offsets: tuple[int, ...]
    called: bool = False


@dataclass(frozen=True, slots=True)
class Word:
    """The name of a filter or of a test, and where in the scalar it stands."""

    name: str
    offset: int
    kind: str
    known: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Token:
    offset: int
    kind: str
    text: str


# -- what can be known without evaluating ----------------------------------------------------------


def is_expression(value: Any) -> bool:
    """Whether a value is a string with `${{` in it."""
    return isinstance(value, str) and OPEN in value


def is_whole(text: str) -> bool:
    """Whether a scalar is one expression and nothing else, so that its type is kept."""
    try:
        pieces = _split(text)
    except ExpressionError:
        return True  # that is another problem, reported as such
    return len(pieces) == 1 and text.strip() == text[pieces[0][0] : pieces[0][1]]


def check(text: str) -> None:
    """Raise `ExpressionError`, with its offset, if an expression of the scalar cannot be parsed."""
    for start, _, source in _split(text):
        try:
            if not any(_unknown(_tokens(source))):
                _compiled(source)
            _parse(source)
        except ExpressionError as error:
            error.offset += start + len(OPEN)
            raise


def references(text: str) -> list[Reference]:
    """Every path that the expressions of a scalar read.  Raises `ExpressionError` if unparsable."""
    check(text)
    found: list[Reference] = []
    for start, _, source in _split(text):
        found += _references(_tokens(source), start + len(OPEN))
    return found


def unknown_words(text: str) -> list[Word]:
    """Filters and tests that do not exist, each with the names that do."""
    found: list[Word] = []
    for start, _, source in _split(text):
        found += _unknown(_tokens(source), start + len(OPEN))
    return found


def spans(text: str) -> list[tuple[int, int]]:
    """Where the expressions of a scalar stand."""
    return [(start, end) for start, end, _ in _split(text)]


def ends_with_filter(text: str, name: str) -> list[tuple[int, int]]:
    """Where the expressions of a scalar stand that are what this filter gives.

    That of `a ~ b | filter` is not: a filter is about `b` alone.
    """
    found = []
    for start, end, source in _split(text):
        tree = _parse(source)
        if isinstance(tree, nodes.Filter) and tree.name == name:
            found.append((start, end))
    return found


def _unknown(tokens: Sequence[_Token], base: int = 0) -> Iterator[Word]:
    return (word for word in _words(tokens, base) if word.name not in word.known)


def _references(tokens: Sequence[_Token], base: int) -> Iterator[Reference]:
    for index, token in enumerate(tokens):
        if token.kind != "name" or token.text in KEYWORDS | set(ENVIRONMENT.globals):
            continue
        before = tokens[index - 1].text if index else ""
        after = tokens[index + 1].text if index + 1 < len(tokens) else ""
        if before in (".", "|", "is") or after == "=":
            continue  # a part of a path, a filter, a test, the name of an argument
        if before == "not" and index > 1 and tokens[index - 2].text == "is":
            continue
        path, offsets, called = _follow(tokens, index)
        yield Reference(path, tuple(base + offset for offset in offsets), called)


def _follow(tokens: Sequence[_Token], index: int) -> tuple[tuple[str, ...], list[int], bool]:
    """The path that begins at a token, as far as it is spelled out."""
    path, offsets = [tokens[index].text], [tokens[index].offset]
    index += 1
    while index + 1 < len(tokens):
        sign, part = tokens[index], tokens[index + 1]
        if sign.text == "." and part.kind in ("name", "integer"):
            path.append(part.text if part.kind == "name" else "*")
            offsets.append(part.offset)
            index += 2
        elif sign.text == "[":
            closed = index + 2 < len(tokens) and tokens[index + 2].text == "]"
            if part.kind not in ("string", "integer") or not closed:
                return (*path, "*"), [*offsets, part.offset], False
            text = part.kind == "string"
            path.append(part.text[1:-1] if text else "*")
            offsets.append(part.offset + text)
            index += 3
        else:
            break
    return tuple(path), offsets, index < len(tokens) and tokens[index].text == "("


def _words(tokens: Sequence[_Token], base: int) -> Iterator[Word]:
    filters, tests = tuple(sorted(ENVIRONMENT.filters)), tuple(sorted(ENVIRONMENT.tests))
    for before, token in pairwise(tokens):
        if before.text == "|" and token.kind == "name":
            yield Word(token.text, base + token.offset, "filter", filters)
        elif before.text == "is" and token.kind == "name" and token.text != "not":
            yield Word(token.text, base + token.offset, "test", tests)
    for one, two, three in zip(tokens, tokens[1:], tokens[2:], strict=False):
        if one.text == "is" and two.text == "not" and three.kind == "name":
            yield Word(three.text, base + three.offset, "test", tests)
        if one.text == "map" and two.text == "(" and three.kind == "string":
            yield Word(three.text[1:-1], base + three.offset + 1, "filter", filters)
        if one.text in ("select", "reject") and two.text == "(" and three.kind == "string":
            yield Word(three.text[1:-1], base + three.offset + 1, "test", tests)


# -- evaluating ------------------------------------------------------------------------------------


def render(value: Any, context: Mapping[str, Any], beginning: Beginning | None = None) -> Any:
    """A value with every expression in it evaluated, at any depth.

    `beginning` counts tokens for those that want to know.  Raises `ExpressionError`, with `path`
    set to where in the value it struck.
    """
    if isinstance(value, str):
        return _evaluate(value, context, beginning)
    entries: Iterable[tuple[Any, Any]]
    if isinstance(value, Mapping):
        entries = value.items()
    elif isinstance(value, Sequence):
        entries = enumerate(value)
    else:
        return value
    rendered = {}
    for key, item in entries:
        try:
            rendered[key] = render(item, context, beginning)
        except ExpressionError as error:
            error.path = (key, *error.path)
            raise
    return rendered if isinstance(value, Mapping) else list(rendered.values())


def _evaluate(text: str, context: Mapping[str, Any], beginning: Beginning | None) -> Any:
    if OPEN not in text:
        return text
    pieces = _split(text)
    if is_whole(text):
        start, _, source = pieces[0]
        return _value(source, start, context, beginning)
    parts, at, length = [], 0, len(text)
    for start, end, source in pieces:
        said = as_text(_value(source, start, context, beginning))
        parts += [text[at:start], said]
        at = end
        length += len(said) + start - end
        if length > MAX_RESULT:
            message = f"the result would have {length} characters, {MAX_RESULT} are allowed"
            raise ExpressionError(message, offset=start)
    return "".join([*parts, text[at:]])


def _value(source: str, start: int, context: Mapping[str, Any], beginning: Beginning | None) -> Any:
    """One expression as plain data."""
    shown = f" in {OPEN}{source if len(source) <= 200 else source[:197] + '...'}{CLOSE}"
    try:
        with metered(context, beginning):
            return plain(_compiled(source)(**context))
    except AgentkitError as error:  # also of a value that could not be fetched
        raise ExpressionError(error.message + shown, hint=error.hint, offset=start) from None
    except MemoryError:
        raise ExpressionError("the result is too large" + shown, offset=start) from None
    except RecursionError:
        raise ExpressionError("nested too deep" + shown, offset=start) from None
    except Exception as error:  # whatever goes wrong in it, it is the expression that has to change
        raise ExpressionError(in_our_words(error) + shown, offset=start) from None


@lru_cache(maxsize=512)
def _compiled(source: str) -> Callable[..., Any]:
    _parse(source)
    try:
        return ENVIRONMENT.compile_expression(source, undefined_to_none=False)
    except (RecursionError, MemoryError, SyntaxError):  # Python's own limits
        raise ExpressionError("nested too deep") from None


# -- parsing ---------------------------------------------------------------------------------------


def _split(text: str) -> list[tuple[int, int, str]]:
    """`(start, end, source)` of every expression; braces inside strings do not end one."""
    found, at = [], 0
    while (start := text.find(OPEN, at)) >= 0:
        end = _closing(text, start)
        found.append((start, end + len(CLOSE), text[start + len(OPEN) : end]))
        at = end + len(CLOSE)
    return found


def _closing(text: str, start: int) -> int:
    depth, quote, quoted_at, index = 0, "", 0, start + len(OPEN)
    while index < len(text):
        character = text[index]
        if quote:
            if character == "\\":
                index += 1
            elif character == quote:
                quote = ""
        elif character in "\"'":
            quote, quoted_at = character, index
        elif character == "{":
            depth += 1
        elif character == "}" and depth == 0 and text[index : index + 2] == CLOSE:
            return index
        elif character == "}" and depth:
            depth -= 1
        index += 1
    if quote and CLOSE in text[quoted_at:]:
        raise ExpressionError(f"the quote {quote} is never closed", offset=quoted_at)
    raise ExpressionError(f"{OPEN} is never closed with {CLOSE}", offset=start, length=len(OPEN))


@lru_cache(maxsize=512)
def _parse(source: str) -> nodes.Expr:
    """The syntax tree.  Raises `ExpressionError` with the offset of what was not understood."""
    if len(source) > MAX_SOURCE:
        raise ExpressionError(f"an expression may have {MAX_SOURCE} characters: a tool can do it")
    if not source.strip():
        raise ExpressionError(f"there is nothing between {OPEN} and {CLOSE}")
    tokens = _tokens(source)
    try:
        parser = Parser(ENVIRONMENT, source, state="variable")
        try:
            tree = parser.parse_expression()
            if parser.stream.eos:
                return tree
            message = ""
        except TemplateSyntaxError as error:
            message = error.message or ""
        left = 0
        while not parser.stream.eos:
            next(parser.stream)
            left += 1
    except RecursionError:
        raise ExpressionError("nested too deep") from None
    except ValueError as error:  # a number with thousands of digits
        raise ExpressionError(str(error)) from None
    at = len(tokens) - left
    if at >= len(tokens):
        last = tokens[-1]
        brackets: list[_Token] = []
        for token in tokens:
            if token.text in ("(", "[", "{"):
                brackets.append(token)
            elif token.text in (")", "]", "}") and brackets:
                brackets.pop()
        if brackets:
            at = brackets[-1].offset
            raise ExpressionError(f"{brackets[-1].text} is never closed", offset=at)
        raise ExpressionError(
            "the expression stops in the middle", offset=last.offset, length=len(last.text)
        )
    raise _not_understood(tokens, at, message)


def _not_understood(tokens: Sequence[_Token], at: int, message: str) -> ExpressionError:
    token = tokens[at]
    before = tokens[at - 1] if at else None
    said, hint = f"{token.text} is not expected here", None
    if token.text == "=":
        hint = "two values are compared with =="
    elif before and before.kind == token.kind == "name":
        hint = "is an operator missing between the two?"
    elif before and token.text in ("and", "or") and before.text in ("and", "or"):
        hint = "one of the two is too many"
    elif "tag name" in message or token.text == ":":
        hint = "a choice is written: A if CONDITION else B"
    return ExpressionError(said, hint=hint, offset=token.offset, length=len(token.text))


_FOREIGN = {
    "&": "write: and",
    "!": "write: not, or != between two values",
    "?": "a choice is written: A if CONDITION else B",
    "$": "names are written without $",
    "#": "there are no comments in expressions",
    "@": "names are written without @",
    "`": "text stands between ' or \"",
    "“": "text stands between straight quotes: ' or \"",
    "”": "text stands between straight quotes: ' or \"",
    "‘": "text stands between straight quotes: ' or \"",
    "’": "text stands between straight quotes: ' or \"",
}


@lru_cache(maxsize=512)
def _tokens(source: str) -> tuple[_Token, ...]:
    """The words of an expression, each with its offset."""
    found: list[_Token] = []
    offset = 0
    try:
        for _, kind, text in ENVIRONMENT.lexer.tokeniter(source, None, state="variable"):
            if kind != "whitespace":
                found.append(_Token(offset, kind, text))
            offset += len(text)
    except TemplateSyntaxError as error:
        strange = re.search(r"at (\d+)$", error.message or "")
        at = int(strange[1]) if strange else offset
        sign = source[at : at + 1]
        if sign in "\"'":
            raise ExpressionError(f"the quote {sign} is never closed", offset=at) from None
        message = f"{sign} is not expected here"
        raise ExpressionError(message, hint=_FOREIGN.get(sign), offset=at) from None
    for one, two in pairwise(found):
        if one.text == two.text == "|":
            raise ExpressionError(
                "|| is not expected here", hint="write: or", offset=one.offset, length=2
            )
    return tuple(found)
