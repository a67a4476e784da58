"""What is said about answers: their schema, examples of them, what has to hold of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from agentkit.errors import Problem
from agentkit.workflow import output_schema
from agentkit.workflow.check.text import entries, fixed_text, has_expression
from agentkit.workflow.expressions import is_expression
from agentkit.workflow.names import Names, View, mapping
from agentkit.workflow.quality import FILES
from agentkit.yamlfile import Document, NodePath


def schema(document: Document, path: NodePath, said: Any) -> Iterator[Problem]:
    """What is wrong with a JSON Schema."""
    for fault in output_schema.faults(said):
        where = (*path, *fault.path)
        yield document.problem(
            where, fault.rule, fault.message, fault.suggestion, at_key=fault.at_key
        )


def checks(
    document: Document,
    names: Names,
    path: NodePath,
    said: Any,
    view: View,
    word: str,
) -> Iterator[Problem]:
    """What has to hold of a result, which expressions call by a `word`."""
    yield from fixed_text(document, path, said)
    seeing = replace(view, also=(word, FILES, *view.also))
    for index, check in enumerate(entries(said)):
        here = (*path, index)
        expression = mapping(check).get("expression")
        if isinstance(expression, str) and not is_expression(expression):
            yield from names.bare((*here, "expression"), expression, seeing)
        yield from schema(document, (*here, "schema"), mapping(check).get("schema"))


def examples(document: Document, path: NodePath, step: Mapping[str, Any]) -> Iterator[Problem]:
    """An example that its own `output_schema` forbids teaches the model what it cannot say."""
    schema, given = step.get("output_schema"), mapping(step.get("prompt")).get("examples")
    if not isinstance(given, list):
        return
    for index, example in enumerate(given):
        here, answer = (*path, index, "answer"), mapping(example).get("answer")
        if answer is None or has_expression(answer):
            continue
        if schema is None and not isinstance(answer, str):
            message = "the answer of an example is text where the step has no output_schema"
            yield document.problem(here, "bad-example", message)
        if not isinstance(schema, dict) or has_expression(schema):
            continue
        if isinstance(answer, str):
            try:
                answer, inside = json.loads(answer), False
            except ValueError:
                inside = True
        else:
            inside = True
        for fault in output_schema.misfits(answer, schema):
            where = (*here, *fault.path) if inside else here
            message = f"the answer does not fit output_schema: {fault.message}"
            yield document.problem(where, "bad-example", message, fault.suggestion)
