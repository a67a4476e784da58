"""The JSON Schema for editors: valid, true for what is right, and its copy in docs is current."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from agentkit.config import shipped
from agentkit.toolbox import Toolbox
from agentkit.workflow.load import load
from agentkit.workflow.others import Folders
from agentkit.workflow.spec.json_schema import json_schema
from agentkit.workflow.spec.reference import ORDER, reference
from agentkit.yamlfile import load_file

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PAGE = ROOT / "docs" / "workflow-reference.md"
COPY = ROOT / "docs" / "workflow.schema.json"
GOOD = [*sorted((HERE / "valid").glob("*.yaml")), *sorted(shipped("workflows").glob("*.yaml"))]

STRUCTURAL = [
    "01", "02", "03", "04", "05", "06", "07", "08", "12", "35", "36", "37", "38", "40", "45", "46",
    "52", "53", "54", "91", "92",
]  # fmt: skip
"""Broken files of which the fault is one of structure, by number; the others need the checker."""


def faults(path: Path) -> list[Any]:
    return list(Draft202012Validator(json_schema()).iter_errors(load_file(path).data))


def test_it_is_a_json_schema() -> None:
    Draft202012Validator.check_schema(json_schema())


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_what_is_right_is_right_for_both(path: Path) -> None:
    tools = Toolbox([shipped("tools")])

    assert faults(path) == []
    others = Folders([shipped("workflows")])
    loaded = load(path, tools, ["qwen2.5-coder-1.5b"], others, ["gpu"])
    assert loaded.spec.name == path.stem


@pytest.mark.parametrize("number", STRUCTURAL)
def test_what_is_structurally_wrong_is_wrong_in_an_editor_too(number: str) -> None:
    (path,) = (HERE / "broken").glob(f"{number}-*.yaml")

    assert faults(path) != []


def test_every_word_has_its_explanation() -> None:
    """An editor shows it when the pointer rests on the word."""
    schema = json_schema()
    silent = [
        f"{kind}.{word}"
        for kind in ("Step", "Foreach", "Retry", "Cache", "Script", "Approve")
        for word, about in schema["$defs"][kind]["properties"].items()
        if "description" not in about and "$ref" not in about
    ]
    assert silent == []


def test_the_copy_in_docs_is_current(update_golden: bool) -> None:
    text = json.dumps(json_schema(), indent=2) + "\n"
    if update_golden:
        COPY.write_text(text, encoding="utf-8")

    assert COPY.read_text(encoding="utf-8") == text, "run pytest with --update-golden"


def test_the_reference_page_is_current(update_golden: bool) -> None:
    if update_golden:
        PAGE.write_text(reference(), encoding="utf-8")

    assert PAGE.read_text(encoding="utf-8") == reference(), "run pytest with --update-golden"


def test_the_reference_page_has_every_word() -> None:
    kinds = json_schema()["$defs"]
    left_out = set(kinds) - {*ORDER, "AgentFile"}

    assert left_out == set()
