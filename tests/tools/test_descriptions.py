"""What a model is told of the shipped tools: all of it, in few words.

It stands at the beginning of every prompt of an agent, and a small model on a CPU reads some eighty
tokens a second.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from agentkit.config import shipped
from agentkit.engine.vocabulary import Vocabulary
from agentkit.toolbox import Tool, Toolbox

TOOLS = Toolbox([shipped("tools")])
WORDS = 80
"""Characters of the first line."""
TOKENS = 136
"""A tool, on average of all that a model may hold."""

STEPS = {"number_lines", "render_template", "verify_notes"}
"""What workflows call with data that no model writes."""


def test_every_file_is_a_tool_or_belongs_to_one() -> None:
    assert TOOLS.bad == []
    assert set(TOOLS) == {p.stem for p in shipped("tools").glob("*.py") if p.name[0] != "_"}


@pytest.mark.parametrize("tool", TOOLS.values(), ids=TOOLS)
def test_a_tool_says_what_it_does_and_takes(tool: Tool) -> None:
    first = tool.description.splitlines()[0]
    arguments = tool.schema.parameters.get("properties", {})

    assert 10 < len(first) <= WORDS
    assert first.endswith(".")
    assert [name for name, about in arguments.items() if not about.get("description")] == []


@pytest.mark.parametrize("tool", TOOLS.values(), ids=TOOLS)
def test_a_tool_that_reads_or_writes_says_which_argument_that_is_about(tool: Tool) -> None:
    """Or each call of it would have to be asked about."""
    about_nothing = set(tool.effects) - set(tool.touches.values())

    assert about_nothing <= {"executes"} | ({"network"} if tool.name in UNTOLD else set())


UNTOLD = {"notify", "web_search"}
"""Where these go, settings say."""


def test_all_of_them_fit_into_a_prompt(model_path: Callable[[str], Path]) -> None:
    """Counted by the vocabulary of the default model."""
    import llama_cpp as lib

    params = lib.llama_model_default_params()
    params.vocab_only = True
    model = lib.llama_model_load_from_file(bytes(model_path("qwen2.5-coder-1.5b")), params)
    try:
        vocabulary = Vocabulary(lib.llama_model_get_vocab(model))
        counted = {
            name: len(vocabulary.tokenize(_as_shown(tool), special=False))
            for name, tool in TOOLS.items()
            if name not in STEPS
        }
    finally:
        lib.llama_model_free(model)

    assert sum(counted.values()) <= TOKENS * len(counted), counted


def _as_shown(tool: Tool) -> str:
    """As the templates of Qwen and its like write it."""
    schema = tool.schema
    function = {
        "name": schema.name, "description": schema.description, "parameters": schema.parameters,
    }  # fmt: skip
    return json.dumps({"type": "function", "function": function}) + "\n"
