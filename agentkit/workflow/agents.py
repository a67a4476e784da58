"""What a file may say about an agent: in a step, or as a file of its own (`agents/NAME.yaml`).

A file of its own is a workflow with one step.  It says the same at the top as the step would say,
and every problem in it is shown where it stands.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pydantic import Field, model_validator

from agentkit.errors import closest
from agentkit.workflow.node import Node, problem
from agentkit.yamlfile import Document, NodePath

STEP = "agent"
"""The id of the step that a file of its own is."""

SHARED = ("version", "name", "description", "inputs", "permissions")
"""Keys that such a file has like any workflow."""

OUTPUTS = {
    "answer": "${{ steps.agent.outputs.answer }}",
    "reason": "${{ steps.agent.outputs.reason }}",
}

TOOLS = (
    "list_files",
    "search_files",
    "read_file",
    "write_file",
    "edit_file",
    "run_python",
    "calculate",
    "fetch_url",
    "read_more",
    "now",
)
"""What an agent holds where nothing else is said: files, computing, pages, the clock."""


class AgentBudget(Node):
    """How much an agent may spend; it ends with a report when a limit strikes."""

    tasks: int = Field(12, ge=1)
    """Tasks that it works on."""
    steps: int = Field(40, ge=1)
    """Tool calls in all."""
    steps_per_task: int = Field(12, ge=1)
    """Tool calls in one attempt at a task."""
    attempts: int = Field(2, ge=1)
    """Attempts at a task, or at satisfying the checks."""
    tokens: int = Field(200_000, ge=1)
    """Tokens read (not from the cache) or written."""
    seconds: int = Field(1800, ge=1)
    """Wall clock while it works."""


class AgentCheck(Node):
    """What has to hold of the answer: exactly one of these."""

    schema_: dict[str, Any] | None = Field(None, alias="schema")
    """A JSON Schema: the answer is data that fits it."""
    expression: str | None = None
    """Such as `"'Anna' in answer"` or `"'list.md' in files"`; without `${{ }}`."""
    script: str | None = None
    """A bash script, run in the sandbox in the agent's folder; it has to end with exit code 0."""
    question: str | None = None
    """A question to the model that has to be answered with yes."""

    @model_validator(mode="after")
    def _says_one_thing(self) -> AgentCheck:
        said = [
            name
            for name in ("schema", "expression", "script", "question")
            if getattr(self, "schema_" if name == "schema" else name) is not None
        ]
        if len(said) != 1:
            raise problem(
                "bad-check",
                f"a check has exactly one of schema, expression, script and question, not "
                f"{' and '.join(said) or 'nothing'}",
            )
        return self


class Agent(Node):
    """A task loop: it works towards an objective with tools, and says what it found and how."""

    objective: str
    """What is to be reached, in a sentence."""
    tools: list[str] = Field([*TOOLS])
    """Tools that it may call: `agentkit tools list`."""
    model: str | None = None
    budget: AgentBudget = AgentBudget()
    checks: list[AgentCheck] = Field([])
    """What has to hold of the answer; it tries again, with what it learned, until then."""
    reflection: bool = True
    """Whether it thinks about a failed check before it tries again."""
    memory: bool = True
    """Whether it recalls what helps, and remembers what failed checks taught."""


def is_agent_file(data: object) -> bool:
    """Whether a file is about one agent, or was meant to be."""
    if not isinstance(data, dict) or "steps" in data:
        return False
    return any(closest(str(key), ["objective"]) for key in data)


def as_workflow(document: Document) -> Document:
    """An agent's file as the workflow that it is, each part where it stands; any other as it is."""
    if not is_agent_file(document.data):
        return document
    data = document.data
    about = {key: value for key, value in data.items() if key not in SHARED}
    shared = {key: value for key, value in data.items() if key in SHARED}
    return replace(
        document,
        data={**shared, "steps": [{"id": STEP, STEP: about}], "outputs": dict(OUTPUTS)},
        keys={_inside(path): span for path, span in document.keys.items()},
        values={_inside(path): span for path, span in document.values.items()},
        blocks=frozenset(map(_inside, document.blocks)),
    )


def _inside(path: NodePath) -> NodePath:
    return path if not path or path[0] in SHARED else ("steps", 0, STEP, *path)
