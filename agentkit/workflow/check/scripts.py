"""Text from elsewhere that would become part of a program."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from agentkit.errors import Problem
from agentkit.workflow.check.quoting import PLAIN, UNKNOWN, places
from agentkit.workflow.expressions import (
    ExpressionError,
    ends_with_filter,
    is_expression,
    references,
    spans,
)
from agentkit.workflow.names import Names, View, mapping
from agentkit.yamlfile import Document, NodePath

QUOTES = "shell_quote"
"""The filter after which text is one word for bash."""

HARMLESS = ("integer", "number", "boolean")
"""Types of inputs that cannot hold a program."""

PROGRAMS = {"run_shell": ("command", "bash"), "run_python": ("code", "python")}
"""By tool, its argument that is a program, and of which language."""

_WORD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./:+-]*")
_CONSTANT = re.compile(r"(['\"])[A-Za-z0-9_ ./:=,+@-]*\1")


def scripts(
    document: Document, names: Names, path: NodePath, said: Any, view: View
) -> Iterator[Problem]:
    """The text of a script, and the names that it reads."""
    if isinstance(said, str):
        yield from _untrusted(document, path, said, "bash", view)
        return
    for language in ("bash", "python"):
        text = mapping(said).get(language)
        if isinstance(text, str):
            yield from names.check((*path, language), text, view)
            yield from _untrusted(document, (*path, language), text, language, view)
    yield from names.check((*path, "files"), mapping(said).get("files"), view)


def programs(
    document: Document, path: NodePath, step: Mapping[str, Any], view: View
) -> Iterator[Problem]:
    """The program that a tool is given."""
    tool = step.get("uses")
    argument, language = PROGRAMS.get(tool if isinstance(tool, str) else "", ("", ""))
    text = mapping(step.get("with")).get(argument)
    if isinstance(text, str):
        where = (*path, "with", argument)
        yield from _untrusted(document, where, text, language, view, 'in a step with "run", ')


def _untrusted(
    document: Document, path: NodePath, text: str, language: str, view: View, where: str = ""
) -> Iterator[Problem]:
    if not is_expression(text):
        return
    try:
        found, every = references(text), spans(text)
        quoted = ends_with_filter(text, QUOTES) if language == "bash" else []
    except ExpressionError:
        return  # that is reported already
    by_span = {
        span: [one for one in found if span[0] <= one.offsets[0] < span[1]] for span in every
    }
    risky = {
        span: [one for one in read if not _harmless(one.path, view.inputs)]
        for span, read in by_span.items()
    }
    words = {one: one in quoted or bool(risky[one]) or _is_word(text[slice(*one)]) for one in every}
    stand = places(text, words) if language == "bash" else {}
    for span, read in risky.items():
        for reference in read:
            name = ".".join(reference.path).replace(".*", "")
            message = f'"{name}" would become part of a program'
            shown = '"$NAME"' if language == "bash" else 'os.environ["NAME"]'
            hint = f"hand it over: {where}env: {{NAME: ${{{{ {name} }}}}}}, and read {shown}"
            if span not in quoted:
                if language == "bash":
                    hint += f", or {_quoted(text[slice(*span)])}"
            elif stand[span] == PLAIN:
                continue
            elif stand[span] == UNKNOWN:
                message += f": {QUOTES} may mean nothing {UNKNOWN}"
            else:
                message += f": {QUOTES} means nothing {stand[span]}"
                if stand[span].startswith("within"):
                    hint = f"take the quotes away, or {hint}"
            place = document.inside(path, reference.offsets[0], len(reference.path[0]))
            yield document.problem(path, "untrusted-script", message, hint, place=place)


def _quoted(expression: str) -> str:
    """What to do about an expression that is not quoted, or not as a whole."""
    if expression[:-2].rstrip().endswith(QUOTES):
        return f"put what stands before it in brackets: ( ... ) | {QUOTES}"
    return f"end the expression with | {QUOTES}"


def _harmless(path: tuple[str, ...], inputs: Mapping[str, Any]) -> bool:
    """Whether what an expression reads can be nothing but a word."""
    if path[0] == "run":
        return True
    if path[0] != "inputs" or len(path) < 2:
        return False
    declared = mapping(inputs.get(path[1]))
    kind, options = declared.get("type", "string"), declared.get("enum")
    if kind in ("enum", "string") and isinstance(options, list):
        return all(_WORD.fullmatch(str(option)) for option in options)
    return kind in HARMLESS


def _is_word(expression: str) -> bool:
    """Whether the text of an expression has no quotes, where what it reads has none."""
    return not re.search(r"['\"%|\[{\\]", _CONSTANT.sub("", expression[3:-2]))
