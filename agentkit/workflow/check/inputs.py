"""What a workflow declares that it is given, and defaults that it would refuse itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from agentkit.errors import Problem
from agentkit.validation import describe
from agentkit.workflow.check.text import fixed_text
from agentkit.workflow.expressions import is_expression
from agentkit.workflow.inputs import A_KIND, convert
from agentkit.workflow.spec import Input
from agentkit.yamlfile import Document, NodePath


def inputs(document: Document, declared_inputs: Mapping[str, Any]) -> Iterator[Problem]:
    """Everything that can be wrong with the declarations."""
    for name, declared in declared_inputs.items():
        path: NodePath = ("inputs", name)
        if not isinstance(declared, dict):
            continue
        for key in ("default", "enum"):
            yield from fixed_text(document, (*path, key), declared.get(key))
        try:
            model = Input.model_validate({**declared, "default": None})
        except ValueError:
            continue  # the structure is wrong: reported elsewhere
        yield from _limits(document, path, model, declared)
        bare = model.model_copy(update={"enum": None})
        for index, option in enumerate(model.enum or ()):
            fault = list(_value(document, (*path, "enum", index), bare, option, "the option"))
            if fault:
                yield from fault
                break  # if one has the wrong type, so have the others
        default = declared.get("default")
        if not is_expression(default):
            yield from _value(document, (*path, "default"), model, default, "the default")


def _limits(
    document: Document, path: NodePath, model: Input, declared: dict[str, Any]
) -> Iterator[Problem]:
    for key, kinds in (
        ("minimum", ("integer", "number")),
        ("maximum", ("integer", "number")),
        ("pattern", ("string", "file", "folder")),
    ):
        if declared.get(key) is not None and model.type not in kinds:
            message = f'"{key}" is for {" and ".join(kinds)}, and this input is a {model.type}'
            yield document.problem((*path, key), "misplaced-key", message, at_key=True)
    if None not in (model.minimum, model.maximum) and model.minimum > model.maximum:  # type: ignore[operator]  # neither is None
        message = f"no value is at least {model.minimum:g} and at most {model.maximum:g}"
        yield document.problem((*path, "maximum"), "bad-limit", message)


def _value(
    document: Document, path: NodePath, model: Input, value: Any, what: str
) -> Iterator[Problem]:
    """A default, or an option of an enum, that the input itself would refuse."""
    if value is None or model.type in ("file", "folder"):
        return  # whether a path exists is a matter of the run
    try:
        if type(convert(model, value)) is not type(value):
            raise ValueError(f"must be {A_KIND[model.type]}, not {describe(value)}")
    except ValueError as error:
        hint = ""
        if isinstance(value, bool | int | float) and model.type == "string":
            hint = "put it in quotes"
        message = f"{what} does not fit: {error}"
        yield document.problem(path, "bad-default", message, hint)
