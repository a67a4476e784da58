"""Text from elsewhere that would become part of a program."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from agentkit.errors import Problem
from agentkit.workflow.expressions import ExpressionError, is_expression, references
from agentkit.workflow.expressions import ends_with_filter as _ends
from agentkit.workflow.names import Names, View, mapping
from agentkit.yamlfile import Document, NodePath

QUOTES = "shell_quote"
"""The filter after which text is one word for bash."""

HARMLESS = ("integer", "number", "boolean")
"""Types of inputs that cannot hold a program."""


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


def _untrusted(
    document: Document, path: NodePath, text: str, language: str, view: View
) -> Iterator[Problem]:
    if not is_expression(text):
        return
    try:
        found = references(text)
        quoted = _ends(text, QUOTES) if language == "bash" else []
    except ExpressionError:
        return  # that is reported already
    for reference in found:
        inside = any(start <= reference.offsets[0] < end for start, end in quoted)
        if inside or _harmless(reference.path, view.inputs):
            continue
        name = ".".join(reference.path)
        shown = '"$NAME"' if language == "bash" else 'os.environ["NAME"]'
        hint = f"hand it over: env: {{NAME: ${{{{ {name} }}}}}}, and read {shown}".replace(".*", "")
        if language == "bash":
            hint += f", or end the expression with | {QUOTES}"
        message = f'"{name}" would become part of a program'.replace(".*", "")
        place = document.inside(path, reference.offsets[0], len(reference.path[0]))
        yield document.problem(path, "untrusted-script", message, hint, place=place)


def _harmless(path: tuple[str, ...], inputs: Mapping[str, Any]) -> bool:
    if path[0] == "run":
        return True
    named = path[0] == "inputs" and len(path) > 1
    return named and mapping(inputs.get(path[1])).get("type") in HARMLESS
