"""`${{ ... }}`: Jinja expressions, sandboxed and typed.

A scalar that is one expression keeps its type (a list stays a list); text around it makes a string.
Key lookup wins over attributes, so an output may be called `items`.  Undefined names are errors.
Nothing that a template produced is ever parsed as a template again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError, nodes
from jinja2.exceptions import UndefinedError
from jinja2.nativetypes import NativeEnvironment
from jinja2.runtime import Undefined
from jinja2.sandbox import SandboxedEnvironment

from agentkit.errors import UserError

OPEN, CLOSE = "${{", "}}"
MAX_RESULT = 5_000_000
"""Characters that a rendered text may have."""


class ExpressionError(UserError):
    """An expression that cannot be parsed or evaluated."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A dotted path that an expression reads: `steps.find.outputs.files` as a tuple."""

    path: tuple[str, ...]
    expression: int
    """Which `${{` of the scalar it stands in, from 0."""


class _Environment(SandboxedEnvironment, NativeEnvironment):
    """Sandboxed, with keys before attributes and no attributes of plain data at all."""

    def getattr(self, obj: Any, attribute: str) -> Any:
        if isinstance(obj, Mapping):
            return obj[attribute] if attribute in obj else self._missing(obj, attribute)
        return super().getattr(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        if isinstance(obj, Mapping):
            return obj[argument] if argument in obj else self._missing(obj, argument)
        return super().getitem(obj, argument)

    def _missing(self, obj: Mapping[str, Any], name: Any) -> Undefined:
        known = ", ".join(f'"{key}"' for key in list(obj)[:12]) or "nothing"
        return StrictUndefined(hint=f'there is no "{name}" here, only {known}')


def _environment() -> _Environment:
    environment = _Environment(
        variable_start_string=OPEN,
        variable_end_string=CLOSE,
        # Statements and comments are no part of the language: give them marks nobody types.
        block_start_string="\ue000%",
        block_end_string="%\ue000",
        comment_start_string="\ue000#",
        comment_end_string="#\ue000",
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    environment.filters.update(
        tojson=lambda value: json.dumps(value, ensure_ascii=False),
        fromjson=json.loads,
        lines=lambda text: str(text).splitlines(),
        slug=lambda text: re.sub(r"[^a-z0-9]+", "-", str(text).lower()).strip("-"),
    )
    for name in ("pprint", "xmlattr", "urlize", "attr"):
        environment.filters.pop(name)
    environment.globals = {"range": environment.globals["range"]}
    return environment


_ENVIRONMENT = _environment()


def is_expression(value: Any) -> bool:
    """Whether a value is a string with `${{` in it."""
    return isinstance(value, str) and OPEN in value


def references(text: str) -> list[Reference]:
    """Every path that the expressions of a scalar read.  Raises `ExpressionError` if unparsable."""
    found = []
    for index, (start, _, source) in enumerate(_split(text)):
        del start
        try:
            tree = _ENVIRONMENT.parse(OPEN + source + CLOSE)
        except TemplateSyntaxError as error:
            raise ExpressionError(f"{_plain(error)} in {OPEN}{source}{CLOSE}") from None
        bound = _bound_names(tree)
        found += [
            Reference(path, index) for path in _paths(tree) if path and path[0] not in bound
        ]
    return found


def unknown_filters(text: str) -> list[tuple[str, list[str]]]:
    """Filters and tests that do not exist, each with the names that do."""
    found: list[tuple[str, list[str]]] = []
    for _, _, source in _split(text):
        tree = _ENVIRONMENT.parse(OPEN + source + CLOSE)
        for node in tree.find_all(nodes.Filter):
            if node.name not in _ENVIRONMENT.filters:
                found.append((node.name, sorted(_ENVIRONMENT.filters)))
        for test in tree.find_all(nodes.Test):
            if test.name not in _ENVIRONMENT.tests:
                found.append((test.name, sorted(_ENVIRONMENT.tests)))
    return found


def render(value: Any, context: Mapping[str, Any]) -> Any:
    """A value with every expression in it evaluated, at any depth.

    Raises `ExpressionError`, with `path` set to where in the value it struck.
    """
    return map_strings(value, lambda text: _evaluate(text, context))


def map_strings(value: Any, change: Callable[[str], Any]) -> Any:
    """A copy of plain data with every string (not keys) replaced."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {key: map_strings(item, change) for key, item in value.items()}
    if isinstance(value, Sequence):
        return [map_strings(item, change) for item in value]
    return value


def _evaluate(text: str, context: Mapping[str, Any]) -> Any:
    if OPEN not in text:
        return text
    pieces = _split(text)
    try:
        values = [_compiled(source)(**context) for _, _, source in pieces]
    except (UndefinedError, TemplateError) as error:
        raise ExpressionError(f"{_plain(error)} in {text.strip()!r}") from None
    except (TypeError, ValueError, KeyError, ArithmeticError, AttributeError) as error:
        raise ExpressionError(f"{error} in {text.strip()!r}") from None
    except MemoryError:
        raise ExpressionError(f"the result is too large in {text.strip()!r}") from None
    for value in values:
        if isinstance(value, Undefined):
            raise ExpressionError(f"{value._undefined_message} in {text.strip()!r}")
    if len(pieces) == 1 and text.strip() == text[pieces[0][0] : pieces[0][1]]:
        return _data(values[0])
    parts, at = [], 0
    for (start, end, _), value in zip(pieces, values, strict=True):
        parts += [text[at:start], as_text(value)]
        at = end
    result = "".join([*parts, text[at:]])
    if len(result) > MAX_RESULT:
        raise ExpressionError(f"the result has {len(result)} characters, {MAX_RESULT} are allowed")
    return result


@lru_cache(maxsize=512)
def _compiled(source: str) -> Callable[..., Any]:
    return _ENVIRONMENT.compile_expression(source, undefined_to_none=False)


def _split(text: str) -> list[tuple[int, int, str]]:
    """`(start, end, source)` of every expression; braces inside strings do not end one."""
    found, at = [], 0
    while (start := text.find(OPEN, at)) >= 0:
        end = _closing(text, start + len(OPEN))
        found.append((start, end + len(CLOSE), text[start + len(OPEN) : end]))
        at = end + len(CLOSE)
    return found


def _closing(text: str, at: int) -> int:
    depth, quote = 0, ""
    for index in range(at, len(text)):
        character = text[index]
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        elif character == "{":
            depth += 1
        elif character == "}":
            if depth == 0 and text[index : index + 2] == CLOSE:
                return index
            depth -= 1
    raise ExpressionError(f"{OPEN} is never closed with {CLOSE}")


def as_text(value: Any) -> str:
    """A value as it appears within text: data as JSON, nothing as nothing."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return json.dumps(_data(value), ensure_ascii=False)


def _data(value: Any) -> Any:
    """Generators of Jinja's filters (`map`, `select`) as lists; everything else as it is."""
    if isinstance(value, str | int | float | bool | None):
        return value
    if isinstance(value, Mapping):
        return {key: _data(item) for key, item in value.items()}
    if isinstance(value, Sequence | Iterator | range):
        return [_data(item) for item in value]
    raise ExpressionError(f"gives a {type(value).__name__}, which is no plain value")


def _paths(tree: nodes.Node) -> Iterator[tuple[str, ...]]:
    """The longest dotted path at each place that reads a name."""
    inner: set[int] = set()
    for node in _walk(tree):
        if id(node) in inner:
            continue
        path = _path(node, inner)
        if path:
            yield path


def _walk(node: nodes.Node) -> Iterator[nodes.Node]:
    yield node
    for child in node.iter_child_nodes():
        yield from _walk(child)


def _path(node: nodes.Node, inner: set[int]) -> tuple[str, ...]:
    if isinstance(node, nodes.Name):
        return (node.name,) if node.ctx == "load" else ()
    if isinstance(node, nodes.Getattr):
        key: str | None = node.attr
    elif isinstance(node, nodes.Getitem):
        constant = node.arg.value if isinstance(node.arg, nodes.Const) else None
        key = constant if isinstance(constant, str) else None
    else:
        return ()
    inner.add(id(node.node))
    before = _path(node.node, inner)
    if key is None or not before or before[-1] == "*":
        return before if not before or before[-1] == "*" else (*before, "*")
    return (*before, key)


def _bound_names(tree: nodes.Node) -> set[str]:
    return {n.name for n in tree.find_all(nodes.Name) if n.ctx != "load"} | set(
        _ENVIRONMENT.globals
    )


def _plain(error: Exception) -> str:
    return str(error).replace("'steps'", '"steps"')
