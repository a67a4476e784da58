"""What can be known to be wrong before a workflow runs.

Works on the parsed file, not on the pydantic model, so that a file with a structural fault still
gets all its other problems reported.  Structure itself (unknown keys, wrong types) is `spec`'s.

around   what exists outside the file
text     values of one kind: fixed text, a condition, a list
inputs   what is declared, and defaults that do not fit
triggers what starts it by itself
steps    lists of steps, their order, what each can read
shapes   what later steps can read of one
uses     tools, other workflows, models
prompts  files of prompts
kinds    values that cannot be taken where they go
scripts  text from elsewhere that would become a program
quoting  where a value stands in a bash script
answers  schemas, examples, checks
yaml11   what YAML 1.1 read otherwise
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from agentkit.errors import Problem
from agentkit.validation import describe
from agentkit.workflow.check import uses
from agentkit.workflow.check.around import Surroundings
from agentkit.workflow.check.inputs import inputs
from agentkit.workflow.check.prompts import Prompts
from agentkit.workflow.check.shapes import shapes
from agentkit.workflow.check.steps import Steps, duplicate_ids
from agentkit.workflow.check.text import bare_braces, entries, fixed_text
from agentkit.workflow.check.triggers import triggers
from agentkit.workflow.names import Names, Unready, View, mapping
from agentkit.yamlfile import Document, NodePath

__all__ = ["Surroundings", "check"]

LISTS = ("steps", "on_failure", "finally")
"""Keys that hold steps."""


def check(document: Document, around: Surroundings) -> Iterator[Problem]:
    """Every problem that goes beyond the structure, in no particular order."""
    data = document.data
    if data is None:
        message = "the file is empty: a workflow has a name and steps"
        yield document.problem((), "not-a-workflow", message)
        return
    if not isinstance(data, dict):
        message = f"a workflow is a mapping with name and steps, not {describe(data)}"
        yield document.problem((), "not-a-workflow", message)
        return
    yield from bare_braces(document, data, ())
    yield from inputs(document, mapping(data.get("inputs")))
    for key in ("name", "secrets", "timeout"):
        yield from fixed_text(document, (key,), data.get(key))
    for key, value in mapping(data.get("permissions")).items():
        yield from fixed_text(document, ("permissions", key), value)
    yield from triggers(document, around, Names(document), data)
    yield from _steps(document, around, data)
    model = mapping(mapping(data.get("defaults")).get("prompt")).get("model")
    yield from uses.model(document, around, ("defaults", "prompt", "model"), model)


def _steps(document: Document, around: Surroundings, data: dict[str, Any]) -> Iterator[Problem]:
    names, view = Names(document), View(mapping(data.get("inputs")))
    steps = Steps(document, around, names, data, Prompts(document, around))
    lists: dict[NodePath, list[Any]] = {(key,): entries(data.get(key)) for key in LISTS}
    yield from duplicate_ids(document, lists)
    yield from steps.block(("steps",), lists["steps",], view)
    every = View(view.inputs, shapes(lists["steps",], around))
    for key in LISTS[1:]:
        after = View(view.inputs, every.steps, also=("error",))
        yield from steps.block((key,), lists[key,], after)
    yield from names.check(("outputs",), data.get("outputs"), every)
    group = mapping(data.get("concurrency")).get("group")
    not_yet = dict.fromkeys(every.steps, Unready("has not run when a run is let in"))
    before = View(view.inputs, unready=not_yet)
    yield from names.check(("concurrency", "group"), group, before)
    secrets = tuple(one for one in entries(data.get("secrets")) if isinstance(one, str))
    may_read = View(view.inputs, secrets=secrets)
    yield from names.check(("env",), data.get("env"), may_read)
