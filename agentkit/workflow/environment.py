"""What an expression can reach, and how much work it may do.

Jinja's sandbox, narrowed: plain data only, keys before methods, no attributes but a few methods of
text, no way to change what is read, filters that are listed here.  Every operation that can make
much out of little pays from a budget or is bounded, so that a mistake ends with a sentence and not
with a full memory.
"""

from __future__ import annotations

import hashlib
import html
import json
import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import wraps
from time import thread_time
from typing import Any

from jinja2 import StrictUndefined, nodes
from jinja2 import filters as jinja_filters
from jinja2.compiler import CodeGenerator, Frame
from jinja2.runtime import Context, Undefined
from jinja2.sandbox import SandboxedEnvironment
from jinja2.utils import pass_environment

from agentkit.errors import UserError

MAX_RESULT = 5_000_000
"""Characters that a text may have."""
MAX_DATA = 20_000_000
"""Characters that all texts of one result may have together."""
MAX_ITEMS = 100_000
"""Entries that a list may have."""
WORK = 2_000_000
"""What one evaluation may spend: 1 for each item that a filter reads, 1 for each 50 characters."""
SECONDS = 5.0
"""Of a processor, for one evaluation; looked at now and then."""
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


# -- plain data ------------------------------------------------------------------------------------


def as_text(value: Any) -> str:
    """A value as it appears within text: data as JSON, nothing as nothing."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return json.dumps(plain(value), ensure_ascii=False)


def plain(value: Any) -> Any:
    """Generators of Jinja's filters (`map`, `select`) as lists; everything else as it is."""
    _spend(1)
    if isinstance(value, Undefined):
        raise ExpressionError(value._undefined_message)
    if isinstance(value, str):
        _keep(len(value))
        return str(value)
    if isinstance(value, int | float | None):
        return value
    if isinstance(value, Mapping):
        return {plain(str(key)): plain(item) for key, item in value.items()}
    if isinstance(value, Sequence):
        return [plain(item) for item in value]
    if isinstance(value, Iterator):
        return [plain(item) for item in value]
    if callable(value):
        raise ExpressionError("a function must be called: add ()")
    raise ExpressionError(f"the result is a {type(value).__name__}, which is no plain value")


# -- the work it may do ----------------------------------------------------------------------------


Beginning = Callable[[str, int, str | None], str]
"""`beginning(text, tokens, model)`: so much of a text; model None is the one of the role."""


class _Meter:
    """Counts what one evaluation spends, and knows what it can read and who counts tokens."""

    def __init__(self, roots: tuple[str, ...] = (), beginning: Beginning | None = None) -> None:
        self.roots = roots
        self.beginning = beginning
        self.left = WORK
        self.room = MAX_DATA
        self.until = thread_time() + SECONDS
        self.look = WORK - WORK // 100

    def spend(self, amount: int) -> None:
        self.left -= amount
        if self.left < self.look:  # a clock costs more than a comparison
            self.look = max(0, self.left - WORK // 100)
            if self.left < 0 or thread_time() > self.until:
                raise ExpressionError("too much work for an expression: a tool can do it")

    def keep(self, characters: int) -> None:
        self.room -= characters
        if self.room < 0:
            raise ExpressionError(f"the result would have more than {MAX_DATA} characters")


_METER: ContextVar[_Meter] = ContextVar("_METER")


@contextmanager
def metered(names: Iterable[str], beginning: Beginning | None = None) -> Iterator[None]:
    """A budget of work for one evaluation that can read these names."""
    token = _METER.set(_Meter(tuple(names), beginning))
    try:
        yield
    finally:
        _METER.reset(token)


def _spend(amount: int) -> None:
    meter = _METER.get(None)
    if meter:
        meter.spend(amount)


def _keep(characters: int) -> None:
    meter = _METER.get(None)
    if meter:
        meter.keep(characters)


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


def _check_format(text: str, values: Any) -> None:
    """`%999999999d` makes a gigabyte of blanks, and so do many long texts put into one."""
    wide = count = 0
    for spec in re.findall(r"%(?:\([^()]{0,100}\))?([^a-zA-Z%]*)", text):
        if "*" in spec or re.search(r"\d{4}", spec):
            raise ExpressionError("a width in a format may have three digits at most")
        if "(" in spec:
            raise ExpressionError("a name in a format has at most 100 characters, and no brackets")
        wide += sum(map(int, re.findall(r"\d+", spec)))
        count += 1
    if isinstance(values, tuple):
        filled = sum(map(_size, values))
    else:
        every = values.values() if isinstance(values, Mapping) else [values]
        filled = max(map(_size, [values, *every])) * count
    _fits(len(text) + wide + filled)


def _size(value: Any) -> int:
    """Characters of a value as text, about; paid for by the entry."""
    if isinstance(value, str):
        return len(value)
    _spend(1)
    if isinstance(value, bool | None):
        return 5
    if isinstance(value, int):
        return value.bit_length() // 3 + 2
    if isinstance(value, Mapping):
        return sum(_size(key) + _size(item) + 8 for key, item in value.items())
    if isinstance(value, list | tuple):
        return sum(_size(item) + 4 for item in value)
    return 24


def _check_text(values: Iterable[Any]) -> None:
    """Whether values fit into one text, before it is made."""
    left = 0
    for value in values:
        left += _size(value)
        _fits(left)


# -- our filters -----------------------------------------------------------------------------------


def _format(value: Any, *args: Any, **kwargs: Any) -> str:
    given = kwargs or args
    _check_format(str(value), given)
    return str(value) % given


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
    """Data as JSON; `indent` spaces for each level."""
    if indent is not None and not 0 <= indent <= 8:
        raise ExpressionError("indent may be 0 to 8")
    return json.dumps(plain(value), ensure_ascii=False, indent=indent)


def _fromjson(value: Any) -> Any:
    """The data that a text of JSON stands for."""
    try:
        return json.loads(as_text(value))
    except ValueError as error:
        raise ExpressionError(f"this is not JSON: {error}") from None


def _lines(value: Any) -> list[str]:
    """The lines of a text as a list."""
    return as_text(value).splitlines()


def _slug(value: Any) -> str:
    """A text as lower-case letters, digits and `-`: for the name of a file."""
    return re.sub(r"[^a-z0-9]+", "-", as_text(value).lower()).strip("-")


def _hash(value: Any) -> str:
    """SHA-256, in hexadecimal; data as JSON with sorted keys."""
    text = value if isinstance(value, str) else json.dumps(plain(value), sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _shell_quote(value: Any) -> str:
    """One word for a shell; each entry of a list is one."""
    if isinstance(value, list | tuple):
        return shlex.join(as_text(item) for item in value)
    return shlex.quote(as_text(value))


def _truncate_tokens(value: Any, count: int, model: str | None = None) -> str:
    """The beginning of a text, with at most `count` tokens of the chat model that the file names
    for all prompts, or else of the role `chat`; or of another model by its name.
    """
    meter = _METER.get(None)
    if meter is None or meter.beginning is None:
        raise ExpressionError("truncate_tokens cannot be used here: there is no model to ask")
    if isinstance(count, bool) or not isinstance(count, int) or count < 0:
        raise ExpressionError(f"a number of tokens is 0 or more, not {as_text(count)}")
    began = thread_time()
    try:
        return meter.beginning(as_text(value), count, model)
    finally:  # a model that has to be found first is no work of the expression
        meter.until += thread_time() - began


def _date(value: Any, form: str = "%Y-%m-%d") -> str:
    """A date or time as ISO 8601, or in seconds since 1970 (UTC), in a form of `strftime`."""
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            moment = datetime.fromtimestamp(value, UTC)
        else:
            moment = datetime.fromisoformat(as_text(value).strip())
        return moment.strftime(form)
    except (ValueError, OverflowError, OSError) as error:
        raise ExpressionError(f"this is no date: {as_text(value)[:40]!r} ({error})") from None


def _escape(value: Any) -> str:
    """A text for HTML: `&`, `<`, `>` and quotes as entities."""
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


class _Generator(CodeGenerator):
    """`~` is bounded like the other operators."""

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:
        """`environment.joined((a, b, ...))`."""
        self.write("environment.joined((")
        for value in node.nodes:
            self.visit(value, frame)
            self.write(", ")
        self.write("))")


class _Environment(SandboxedEnvironment):
    """Plain data, keys before methods, no attribute of anything, nothing that can be changed."""

    intercepted_binops = frozenset(["+", "*", "**", "%"])
    code_generator_class = _Generator

    def joined(self, values: tuple[Any, ...]) -> str:
        """`a ~ b ~ c`."""
        _check_text(values)
        text = "".join(map(str, values))
        _weigh(text)
        return text

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
            _check_format(left, right)
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
        return _weigh(super().call_binop(context, operator, left, right))

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
        elif isinstance(one, Sized) and isinstance(count, int):
            if len(one) * count > MAX_ITEMS:
                raise ExpressionError(f"a list may have {MAX_ITEMS} entries")
            _spend(_entries(one) * max(count, 0))


def _entries(value: Any) -> int:
    """Of a value and all that is in it."""
    _spend(1)
    if not isinstance(value, list | tuple | Mapping):
        return 1
    return 1 + sum(map(_entries, value.values() if isinstance(value, Mapping) else value))


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


def in_our_words(error: Exception) -> str:
    """Python's message with our words for its types."""
    return re.sub(r"'(\w+)'", lambda found: _KINDS.get(found[1], found[0]), str(error))


OURS: Mapping[str, Callable[..., Any]] = {
    "date": _date, "escape": _escape, "fromjson": _fromjson, "hash": _hash, "lines": _lines,
    "shell_quote": _shell_quote, "slug": _slug, "string": as_text, "tojson": _tojson,
    "truncate_tokens": _truncate_tokens,
}  # fmt: skip
"""Filters that Jinja does not have, or not so; their docstrings are on the reference page."""


def _environment() -> _Environment:
    environment = _Environment(undefined=_Missing, optimized=False)  # folding is work unmetered
    theirs = {name: environment.filters[name] for name in FILTERS}
    for name, limit in (("batch", 10_000), ("slice", 10_000), ("indent", 1_000), ("round", 20)):
        theirs[name] = _at_most(theirs[name], limit)
    bounded = {"e": _escape, "format": _format, "join": _join, "replace": _replace}
    every = {**theirs, **bounded, **OURS}
    environment.filters = {name: _metered(every[name]) for name in sorted(every)}
    environment.globals = {"range": _range}
    return environment


ENVIRONMENT = _environment()
