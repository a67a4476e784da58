"""What a file may say about an agent: in a step, or as a file of its own (`agents/NAME.yaml`).

A file of its own is a workflow with one step.  It says the same at the top as the step would say,
and every problem in it is shown where it stands.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from agentkit.errors import closest
from agentkit.workflow.node import Node, problem
from agentkit.workflow.quality import Check, Strategy, short_strategy
from agentkit.yamlfile import Document, NodePath

STEP = "agent"
"""The id of the step that a file of its own is."""

SHARED = ("version", "name", "description", "inputs", "triggers", "permissions")
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
    "query_tables",
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


class Agent(Node):
    """A task loop: it works towards an objective with tools, and says what it found and how."""

    objective: str
    """What is to be reached, in a sentence."""
    tools: list[str] = Field([*TOOLS])
    """Tools that it may call: `agentkit tools list`."""
    model: str | None = None
    budget: AgentBudget = AgentBudget.model_construct()
    checks: list[Check] = Field([])
    """What has to hold of the answer; it tries again, with what it learned, until then."""
    strategy: Annotated[Strategy | None, BeforeValidator(short_strategy)] = None
    """How the final answer is found, from what the tools have shown."""
    reflection: bool = True
    """Whether it thinks about a failed check before it tries again."""
    memory: bool = True
    """Whether it recalls what helps, and remembers what failed checks taught."""

    @field_validator("strategy")
    @classmethod
    def _has_what_it_reflects_on(
        cls, value: Strategy | None, info: ValidationInfo
    ) -> Strategy | None:
        if value is not None and value.name == "reflect" and not info.data.get("checks", True):
            raise problem(
                "misplaced-strategy",
                "nothing tells a good answer of this agent from a bad one",
                'give it "checks", or take another strategy',
            )
        return value


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
