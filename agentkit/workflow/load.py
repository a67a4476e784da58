"""From a file to a workflow that may run, or to every problem it has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from agentkit.errors import InvalidFile, Problem, UnknownName, closest
from agentkit.ports import ModelRole
from agentkit.toolbox import Tool
from agentkit.validation import problems_from
from agentkit.workflow.agents import as_workflow
from agentkit.workflow.check import Surroundings, check
from agentkit.workflow.expressions import is_expression
from agentkit.workflow.spec import FOREIGN_KEYS, FOREIGN_VALUES, Workflow
from agentkit.yamlfile import Document, load_file

SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class LoadedWorkflow:
    """A checked workflow and the file it came from."""

    spec: Workflow
    document: Document
    path: Path
    tools: Mapping[str, Tool]

    def models(self) -> set[tuple[ModelRole, str | None]]:
        """Role and name of every model that a run needs; None: the one of the role.

        A name that an expression computes is not known yet, and is left out.
        """
        needed: set[tuple[ModelRole, str | None]] = set()
        for step in self.spec.steps:
            if step.uses is not None:
                needed |= {(role, None) for role in self.tools[step.uses].roles}
                name = self.spec.defaults.prompt.model
                if any(check.question for check in step.checks) and not is_expression(name):
                    needed.add(("chat", name))
            elif step.prompt is not None:
                name = step.prompt.model or self.spec.defaults.prompt.model
                if not is_expression(name):
                    needed.add(("chat", name))
                for tool in step.prompt.tools:
                    needed |= {(role, None) for role in self.tools[tool].roles}
            elif step.agent is not None:
                name = step.agent.model or self.spec.defaults.prompt.model
                if not is_expression(name):
                    needed.add(("chat", name))
                for tool in step.agent.tools:
                    needed |= {(role, None) for role in self.tools[tool].roles}
        return needed


def find(name: str, folders: Iterable[Path]) -> Path:
    """A workflow by path, or by name in the folders.  Raises `UnknownName`."""
    path = Path(name).expanduser()
    if path.suffix in SUFFIXES or path.is_file():
        return path
    found = known(folders)
    if name not in found:
        here = ", ".join(sorted(found)) or "none"
        raise UnknownName("workflow", name, found, hint=f"the ones here: {here}")
    return found[name]


def known(folders: Iterable[Path]) -> dict[str, Path]:
    """The workflows in some folders by name; where two have one name, the first folder wins."""
    found: dict[str, Path] = {}
    for folder in folders:
        for path in sorted(folder.glob("*")):
            if path.suffix in SUFFIXES:
                found.setdefault(path.stem, path)
    return found


def load(path: Path, tools: Mapping[str, Tool], models: Iterable[str]) -> LoadedWorkflow:
    """Read and check a workflow.  Raises `InvalidFile` with every problem, in order of place."""
    return checked(load_file(path), path, tools, models)


def checked(
    document: Document, path: Path, tools: Mapping[str, Tool], models: Iterable[str]
) -> LoadedWorkflow:
    """The same for a text that was read before: a run keeps the one that it began with."""
    document = as_workflow(document)
    if _is_something_else(document.data):
        message = 'this is no workflow: a workflow has "steps"'
        raise InvalidFile([document.problem((), "not-a-workflow", message)])
    problems = list(check(document, Surroundings(tools, frozenset(models))))
    spec = None
    try:
        spec = Workflow.model_validate(document.data)
    except ValidationError as error:
        structural = problems_from(
            error, document, Workflow, hints={**FOREIGN_VALUES, **FOREIGN_KEYS}
        )
        places = {(problem.line, problem.column) for problem in problems}
        problems += [one for one in structural if (one.line, one.column) not in places]
    if problems or spec is None:
        raise InvalidFile(_in_order(problems))
    return LoadedWorkflow(spec, document, path, tools)


def _is_something_else(data: object) -> bool:
    """Whether a mapping was never meant to be a workflow: one sentence, not one for each key."""
    if not isinstance(data, dict):
        return False
    strange = [key for key in data if key not in Workflow.model_fields]
    meant = {FOREIGN_KEYS.get(key.lower()) or closest(key, ["steps"]) for key in data}
    return len(strange) > 1 and "steps" not in meant


def _in_order(problems: Iterable[Problem]) -> list[Problem]:
    """Sorted by place, each once: a default that three steps inherit is wrong once."""
    return sorted(dict.fromkeys(problems), key=lambda problem: (problem.line, problem.column))
