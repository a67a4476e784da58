"""The steps of a workflow as a picture: for a terminal, and as Mermaid for documents.

Mermaid's flowcharts: https://mermaid.js.org/syntax/flowchart.html
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from agentkit.workflow.plan import Needs, is_graph, order
from agentkit.workflow.spec import Step, Workflow

CLOSED = {"approve": ("{{", "}}"), "prompt": ("([", "])"), "agent": ("([", "])")}
"""How the boxes of some actions are drawn; all others are rectangles."""


def mermaid(workflow: Workflow) -> str:
    """A flowchart, from top to bottom."""
    lines = ["flowchart TD"]
    for title, steps in _lists(workflow):
        if title == "steps":
            lines += _boxes(steps, "    ")
        else:
            lines.append(f"    subgraph {title}")
            lines += [*_boxes(steps, "        "), "    end"]
    return "\n".join(lines)


def drawing(workflow: Workflow) -> str:
    """One line for each step: what it waits for stands above it, further left."""
    lines: list[str] = []
    for title, steps in _lists(workflow):
        if title != "steps":
            lines.append(f"{title}:")
        lines += _lines(steps, "")
    return "\n".join(lines)


def does(step: Step) -> str:
    """What a step does, in few words."""
    said = {"uses": f"uses {step.uses}", "steps": "group"}.get(step.action, step.action)
    said += f", for each {step.foreach.as_}" if step.foreach else ""
    said += " (if)" if step.if_ is not None else ""
    return said


def _lists(workflow: Workflow) -> Iterator[tuple[str, Sequence[Step]]]:
    yield "steps", workflow.steps
    if workflow.on_failure:
        yield "on_failure", workflow.on_failure
    if workflow.finally_:
        yield "finally", workflow.finally_


def _boxes(steps: Sequence[Step], indent: str) -> Iterator[str]:
    for step in steps:
        if step.steps:
            yield f'{indent}subgraph {step.id}["{step.id}: {does(step)}"]'
            yield from _boxes(step.steps, indent + "    ")
            yield f"{indent}end"
        else:
            opened, closed = CLOSED.get(step.action, ("[", "]"))
            yield f'{indent}{step.id}{opened}"{step.id}<br/>{does(step)}"{closed}'
    needs = order([(step.id, step.needs) for step in steps])
    for name, wanted in needs.items():
        for one in wanted:
            yield f"{indent}{one} --> {name}"


def _lines(steps: Sequence[Step], indent: str) -> Iterator[str]:
    needs = order([(step.id, step.needs) for step in steps])
    graph = is_graph([(step.id, step.needs) for step in steps])
    depth: dict[str, int] = {}
    for step in _topological(steps, needs):
        depth[step.id] = max((depth[one] + 1 for one in needs[step.id]), default=0)
        deep = "   " * depth[step.id] if graph else ""
        mark = "●" if not depth[step.id] or not graph else "└▶"
        waits = f"   after {', '.join(needs[step.id])}" if len(needs[step.id]) > 1 and graph else ""
        yield f"{indent}{deep}{mark} {step.id}  {does(step)}{waits}"
        if step.steps:
            yield from _lines(step.steps, f"{indent}{deep}   ")


def _topological(steps: Sequence[Step], needs: Needs) -> Iterator[Step]:
    """In the order of the file, each after what it waits for: a depth needs that."""
    left, done = list(steps), set[str]()
    while left:
        ready = next(step for step in left if done.issuperset(needs[step.id]))
        left.remove(ready)
        done.add(ready.id)
        yield ready
