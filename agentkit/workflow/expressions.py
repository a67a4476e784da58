"""`${{ ... }}`: Jinja expressions, sandboxed, typed and metered.

A scalar that is one expression keeps its type (a list stays a list); text around it makes a string.
Key lookup wins over attributes, so an output may be called `items`.  Undefined names are errors.
Nothing that an expression produced is ever parsed as an expression again.

An expression sees plain data only: no attributes but a few methods of text, no way to change what
it reads, and a budget of work, so that a mistake ends with a sentence and not with a full memory.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache, wraps
from itertools import pairwise
from typing import Any

from jinja2 import StrictUndefined, TemplateSyntaxError, nodes
from jinja2 import filters as jinja_filters
from jinja2.parser import Parser
from jinja2.runtime import Context, Undefined
from jinja2.sandbox import SandboxedEnvironment
from jinja2.utils import pass_environment

from agentkit.errors import UserError

OPEN, CLOSE = "${{", "}}"
MAX_RESULT = 5_000_000
"""Characters that a text may have."""
MAX_ITEMS = 100_000
"""Entries that a list may have."""
MAX_SOURCE = 10_000
"""Characters of one expression."""
WORK = 2_000_000
"""What one evaluation may spend: 1 for each item that a filter reads, 1 for each 50 characters."""
MAX_DIGITS = 3_000
"""Digits of a number."""

FILTERS = (
    "abs", "batch", "capitalize", "count", "d", "default", "dictsort", "filesizeformat", "first",
    "float", "format", "groupby", "indent", "int", "items", "last", "length", "list", "lower",
    "map", "max", "min", "reject", "rejectattr", "replace", "reverse", "round", "select",
    "selectattr", "slice", "sort", "sum", "title", "trim", "truncate", "unique", "upper",
    "urlencode", "wordcount", "wordwrap",
)  # fmt: skip
"""Jinja's filters that compute on plain data; below are ours."""

TEXT_METHODS = frozenset(
    "capitalize casefold count endswith find index isalnum isalpha isdecimal isdigit islower "
    "isnumeric isspace istitle isupper join lower lstrip partition removeprefix removesuffix "
    "replace rfind rindex rpartition rsplit rstrip split splitlines startswith strip swapcase "
    "title upper".split()
)
"""What can be called on text; the others make strings of any length out of a number."""

KEYWORDS = frozenset("and or not in is if else true false none True False None".split())


class ExpressionError(UserError):
    """An expression that cannot be parsed or evaluated.

    `offset` and `length` say where in the scalar, `path` where in the data that was rendered.
    """

    def __init__(
        self, message: str, *, hint: str | None = None, offset: int = 0, length: int = 1
    ) -> None:
        super().__init__(message, hint=hint)
        self.offset = offset
        self.length = length
        self.path: tuple[str | int, ...] = ()


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


def _unknown(tokens: Sequence[_Token], base: int = 0) -> Iterator[Word]:
    return (word for word in _words(tokens, base) if word.name not in word.known)


def _references(tokens: Sequence[_Token], base: int) -> Iterator[Reference]:
    for index, token in enumerate(tokens):
        if token.kind != "name" or token.text in KEYWORDS | set(_ENVIRONMENT.globals):
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
    filters, tests = tuple(sorted(_ENVIRONMENT.filters)), tuple(sorted(_ENVIRONMENT.tests))
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


def render(value: Any, context: Mapping[str, Any]) -> Any:
    """A value with every expression in it evaluated, at any depth.

    Raises `ExpressionError`, with `path` set to where in the value it struck.
    """
    if isinstance(value, str):
        return _evaluate(value, context)
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
            rendered[key] = render(item, context)
        except ExpressionError as error:
            error.path = (key, *error.path)
            raise
    return rendered if isinstance(value, Mapping) else list(rendered.values())


def as_text(value: Any) -> str:
    """A value as it appears within text: data as JSON, nothing as nothing."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return json.dumps(_data(value), ensure_ascii=False)


def _evaluate(text: str, context: Mapping[str, Any]) -> Any:
    if OPEN not in text:
        return text
    pieces = _split(text)
    values = [_value(source, start, context) for start, _, source in pieces]
    if is_whole(text):
        return values[0]
    parts, at = [], 0
    for (start, end, _), value in zip(pieces, values, strict=True):
        parts += [text[at:start], as_text(value)]
        at = end
    result = "".join([*parts, text[at:]])
    if len(result) > MAX_RESULT:
        raise ExpressionError(f"the result has {len(result)} characters, {MAX_RESULT} are allowed")
    return result


def _value(source: str, start: int, context: Mapping[str, Any]) -> Any:
    """One expression as plain data."""
    shown = f" in {OPEN}{source if len(source) <= 200 else source[:197] + '...'}{CLOSE}"
    token = _METER.set(_Meter(tuple(context)))
    try:
        return _data(_compiled(source)(**context))
    except ExpressionError as error:
        raise ExpressionError(error.message + shown, hint=error.hint, offset=start) from None
    except MemoryError:
        raise ExpressionError("the result is too large" + shown, offset=start) from None
    except RecursionError:
        raise ExpressionError("nested too deep" + shown, offset=start) from None
    except Exception as error:  # whatever goes wrong in it, it is the expression that has to change
        raise ExpressionError(_kindly(error) + shown, offset=start) from None
    finally:
        _METER.reset(token)


@lru_cache(maxsize=512)
def _compiled(source: str) -> Callable[..., Any]:
    _parse(source)
    try:
        return _ENVIRONMENT.compile_expression(source, undefined_to_none=False)
    except (RecursionError, MemoryError, SyntaxError):  # Python's own limits
        raise ExpressionError("nested too deep") from None


def _data(value: Any) -> Any:
    """Generators of Jinja's filters (`map`, `select`) as lists; everything else as it is."""
    _spend(1)
    if isinstance(value, Undefined):
        raise ExpressionError(value._undefined_message)
    if isinstance(value, str):
        return str(value)
    if isinstance(value, int | float | None):
        return value
    if isinstance(value, Mapping):
        return {str(key): _data(item) for key, item in value.items()}
    if isinstance(value, Sequence):
        return [_data(item) for item in value]
    if isinstance(value, Iterator):
        return [_data(item) for item in value]
    if callable(value):
        raise ExpressionError("a function must be called: add ()")
    raise ExpressionError(f"the result is a {type(value).__name__}, which is no plain value")


# -- the work it may do ----------------------------------------------------------------------------


class _Meter:
    """Counts what one evaluation spends, and knows the names that it can read."""

    def __init__(self, roots: tuple[str, ...] = ()) -> None:
        self.roots = roots
        self.left = WORK

    def spend(self, amount: int) -> None:
        self.left -= amount
        if self.left < 0:
            raise ExpressionError("too much work for an expression: a tool can do it")


_METER: ContextVar[_Meter] = ContextVar("_METER")


def _spend(amount: int) -> None:
    meter = _METER.get(None)
    if meter:
        meter.spend(amount)


def _counted(items: Iterator[Any]) -> Iterator[Any]:
    for item in items:
        _spend(1)
        yield item


def _weigh(value: Any) -> Any:
    """Pay for reading a value; what comes piece by piece is paid for by the piece."""
    if isinstance(value, Undefined):
        return value
    if isinstance(value, str):
        _fits(len(value))
        _spend(1 + len(value) // 50)
    elif isinstance(value, Sized):
        _spend(1 + len(value))
    elif isinstance(value, Iterator):
        return _counted(value)
    return value


def _fits(characters: int) -> None:
    if characters > MAX_RESULT:
        raise ExpressionError(f"the text would have {characters} characters: too many")


def _metered(function: Callable[..., Any]) -> Callable[..., Any]:
    """A filter that pays for what it reads and for what it makes."""
    at = 1 if hasattr(function, "jinja_pass_arg") else 0

    @wraps(function)
    def pays(*args: Any, **kwargs: Any) -> Any:
        weighed = [*args[:at], _weigh(args[at]), *args[at + 1 :]]
        return _weigh(function(*weighed, **kwargs))

    return pays


def _at_most(function: Callable[..., Any], limit: int) -> Callable[..., Any]:
    """A filter whose numbers are bounded: a width, a count, a precision."""

    @wraps(function)
    def bounded(*args: Any, **kwargs: Any) -> Any:
        for number in (*args[1:], *kwargs.values()):
            if isinstance(number, int) and abs(number) > limit:
                raise ExpressionError(f"{number} is too large here: at most {limit}")
        return function(*args, **kwargs)

    return bounded


def _check_replace(text: str, old: str, new: str) -> None:
    _fits(len(text) + text.count(old) * max(0, len(new) - len(old)))


def _check_format(text: str) -> None:
    """`%999999999d` makes a gigabyte of blanks."""
    for spec in re.findall(r"%(?:\([^)]*\))?([^a-zA-Z%]*)", text):
        if "*" in spec or re.search(r"\d{4}", spec):
            raise ExpressionError("a width in a format may have three digits at most")


# -- our filters -----------------------------------------------------------------------------------


def _format(value: Any, *args: Any, **kwargs: Any) -> str:
    _check_format(str(value))
    return str(value) % (kwargs or args)


def _replace(value: Any, old: Any, new: Any, count: int = -1) -> str:
    text, old, new = as_text(value), as_text(old), as_text(new)
    _check_replace(text, old, new)
    return text.replace(old, new, count)


@pass_environment
def _join(environment: _Environment, value: Any, d: str = "", attribute: Any = None) -> str:
    if attribute is not None:
        value = map(jinja_filters.make_attrgetter(environment, attribute), value)
    texts = [as_text(item) for item in value]
    _fits(sum(map(len, texts)) + len(d) * len(texts))
    return as_text(d).join(texts)


def _tojson(value: Any, indent: int | None = None) -> str:
    if indent is not None and not 0 <= indent <= 8:
        raise ExpressionError("indent may be 0 to 8")
    return json.dumps(_data(value), ensure_ascii=False, indent=indent)


def _fromjson(value: Any) -> Any:
    try:
        return json.loads(as_text(value))
    except ValueError as error:
        raise ExpressionError(f"this is not JSON: {error}") from None


def _lines(value: Any) -> list[str]:
    return as_text(value).splitlines()


def _slug(value: Any) -> str:
    return re.sub(r"[^a-z0-9]+", "-", as_text(value).lower()).strip("-")


def _escape(value: Any) -> str:
    return html.escape(as_text(value))


# -- the environment -------------------------------------------------------------------------------


class _Missing(StrictUndefined):
    """A name or a key that does not exist; says what does."""

    __slots__ = ()

    @property
    def _undefined_message(self) -> str:
        if self._undefined_hint:
            return self._undefined_hint
        meter = _METER.get(None)
        return f'there is no "{self._undefined_name}"{_only(meter.roots if meter else ())}'


def _only(names: Iterable[Any]) -> str:
    names = list(names)
    listed = ", ".join(f'"{name}"' for name in names[:12]) + (", ..." if names[12:] else "")
    return f", only {listed}" if listed else " here: it is empty"


class _Environment(SandboxedEnvironment):
    """Plain data, keys before methods, no attribute of anything, nothing that can be changed."""

    intercepted_binops = frozenset(["+", "*", "**", "%"])

    def getattr(self, obj: Any, attribute: str) -> Any:
        """`obj.attribute`."""
        if isinstance(obj, str) and attribute in TEXT_METHODS:
            return getattr(obj, attribute)
        if isinstance(obj, tuple) and attribute in getattr(obj, "_fields", ()):
            return getattr(obj, attribute)  # what `groupby` makes
        return self._entry(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """`obj[argument]`."""
        if isinstance(obj, tuple) and isinstance(argument, str):
            return self.getattr(obj, argument)
        return self._entry(obj, argument)

    def _entry(self, obj: Any, key: Any) -> Any:
        if isinstance(obj, Undefined):
            obj._fail_with_undefined_error()
        if isinstance(obj, Mapping):
            if key in obj:
                return obj[key]
            return _Missing(hint=f"there is no {_quoted(key)}{_only(obj)}")
        if isinstance(obj, Sequence) and isinstance(key, int):
            if -len(obj) <= key < len(obj):
                return obj[key]
            return _Missing(hint=f"there is no entry {key}: there are {len(obj)}, counted from 0")
        if obj is None:
            hint = f"there is no {_quoted(key)}: the value is null (was its step skipped?)"
        elif isinstance(obj, str):
            hint = f"there is no {_quoted(key)}: the value is text"
        elif isinstance(obj, Sequence):
            hint = f"there is no {_quoted(key)}: the value is a list of {len(obj)}"
            if isinstance(key, str):
                hint += f", and map(attribute='{key}') gives that of each entry"
        else:
            hint = f"there is no {_quoted(key)}: the value is {_kind(obj)}"
        return _Missing(hint=hint)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """`left operator right`, unless the result would be out of all proportion."""
        if operator == "%" and isinstance(left, str):
            _check_format(left)
        elif operator == "**" and isinstance(left, int) and isinstance(right, int):
            if right > 0 and left.bit_length() * right > MAX_DIGITS * 3:
                raise ExpressionError(f"a number may have {MAX_DIGITS} digits")
        elif operator == "*":
            _check_product(left, right)
        elif operator == "+" and isinstance(left, str) and isinstance(right, str):
            _fits(len(left) + len(right))
        elif operator == "+" and isinstance(left, str) != isinstance(right, str):
            raise ExpressionError("+ cannot join text and something else: ~ can")
        elif operator == "+" and isinstance(left, Sized) and isinstance(right, Sized):
            _spend(len(left) + len(right))
        return super().call_binop(context, operator, left, right)

    # The names begin with underscores so that a call may have arguments of any name.
    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        """A call of `range` or of a method of text."""
        if isinstance(__obj, Undefined):
            raise ExpressionError(__obj._undefined_message)
        if not __self.is_safe_callable(__obj):
            raise ExpressionError(f"{_kind(__obj)} cannot be called")
        text, name = getattr(__obj, "__self__", None), getattr(__obj, "__name__", "")
        if isinstance(text, str) and name == "replace" and len(args) >= 2:
            _check_replace(text, str(args[0]), str(args[1]))
        if isinstance(text, str) and name == "join" and args:
            args = ([as_text(item) for item in _weigh(args[0])],)
            _fits(sum(map(len, args[0])) + len(text) * len(args[0]))
        return _weigh(super().call(__context, __obj, *args, **kwargs))

    def is_safe_callable(self, obj: Any) -> bool:
        """Only what is handed out here can be called."""
        own = getattr(obj, "__self__", None)
        named = getattr(obj, "__name__", "") in TEXT_METHODS
        return obj in self.globals.values() or (isinstance(own, str) and named)


def _check_product(left: Any, right: Any) -> None:
    for one, count in ((left, right), (right, left)):
        if isinstance(one, int) and isinstance(count, int):
            if one.bit_length() + count.bit_length() > MAX_DIGITS * 3:
                raise ExpressionError(f"a number may have {MAX_DIGITS} digits")
        elif isinstance(one, str) and isinstance(count, int):
            _fits(len(one) * count)
        elif isinstance(one, Sized) and isinstance(count, int) and len(one) * count > MAX_ITEMS:
            raise ExpressionError(f"a list may have {MAX_ITEMS} entries")


def _range(*numbers: int) -> range:
    items = range(*numbers)
    if items.start != items.stop and abs(items.stop - items.start) // abs(items.step) > MAX_ITEMS:
        raise ExpressionError(f"range would have more than {MAX_ITEMS} entries")
    return items


def _quoted(key: Any) -> str:
    return f'"{key}"' if isinstance(key, str) else f"entry {key!r}"


_KINDS = {
    "str": "text", "int": "a number", "float": "a number", "bool": "true or false",
    "list": "a list", "tuple": "a list", "dict": "a mapping", "NoneType": "null",
    "method": "a function", "builtin_function_or_method": "a function", "function": "a function",
}  # fmt: skip


def _kind(value: Any) -> str:
    return _KINDS.get(type(value).__name__, type(value).__name__)


def _kindly(error: Exception) -> str:
    """Python's message with our words for its types."""
    return re.sub(r"'(\w+)'", lambda found: _KINDS.get(found[1], found[0]), str(error))


def _environment() -> _Environment:
    environment = _Environment(undefined=_Missing, optimized=False)  # folding is work unmetered
    theirs = {name: environment.filters[name] for name in FILTERS}
    for name, limit in (("batch", 10_000), ("slice", 10_000), ("indent", 1_000), ("round", 20)):
        theirs[name] = _at_most(theirs[name], limit)
    ours = {
        "e": _escape, "escape": _escape, "format": _format, "fromjson": _fromjson, "join": _join,
        "lines": _lines, "replace": _replace, "slug": _slug, "string": as_text, "tojson": _tojson,
    }  # fmt: skip
    every = {**theirs, **ours}
    environment.filters = {name: _metered(every[name]) for name in sorted(every)}
    environment.globals = {"range": _range}
    return environment


_ENVIRONMENT = _environment()


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
        parser = Parser(_ENVIRONMENT, source, state="variable")
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
        for _, kind, text in _ENVIRONMENT.lexer.tokeniter(source, None, state="variable"):
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
