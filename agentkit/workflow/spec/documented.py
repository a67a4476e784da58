"""What stands below a key of the spec, as its description for people: read where it is asked for.

pydantic would parse every class of the spec again at each start of a run, for words that a run
does not need.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from agentkit.workflow.node import Node


def describe(schema: dict[str, Any]) -> None:
    """Add the descriptions to the JSON Schema of a model, and of those that it consists of."""
    kinds = {schema["title"]: schema, **schema.get("$defs", {})}
    for kind in _below(Node):
        if kind.__name__ in kinds:
            properties = kinds[kind.__name__]["properties"]
            for name, text in _texts(kind):
                key = kind.model_fields[name].alias or name
                properties[key] = dict(sorted({**properties[key], "description": text}.items()))


def _below(kind: type[Node]) -> Iterator[type[Node]]:
    for one in kind.__subclasses__():
        yield one
        yield from _below(one)


def _texts(kind: type[Node]) -> Iterator[tuple[str, str]]:
    """The fields of a class, its bases' included, with the text below each."""
    for one in reversed(kind.__mro__):
        if not issubclass(one, Node) or one is Node:
            continue
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(one))).body
        assert isinstance(tree, ast.ClassDef)
        for field, below in pairwise(tree.body):
            match field, below:
                case (
                    ast.AnnAssign(target=ast.Name(id=name)),
                    ast.Expr(value=ast.Constant(value=str(text))),
                ):
                    yield name, inspect.cleandoc(text)
