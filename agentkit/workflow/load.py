"""From a file to a workflow that may run, or to every problem it has."""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Iterable, Mapping
from dataclasses import field
from pathlib import Path

from pydantic import ValidationError

from agentkit.errors import InvalidFile, Problem, closest
from agentkit.ports import ModelRole
from agentkit.toolbox import Tool
from agentkit.validation import problems_from
from agentkit.values import dataclass
from agentkit.workflow import prompt_files
from agentkit.workflow.agents import as_workflow
from agentkit.workflow.check import Surroundings, check
from agentkit.workflow.check.around import Others
from agentkit.workflow.check.yaml11 import leftovers
from agentkit.workflow.expressions import is_expression
from agentkit.workflow.others import Folders
from agentkit.workflow.spec import Workflow
from agentkit.workflow.spec.foreign import KEYS, VALUES
from agentkit.yamlfile import Document, load_file


@dataclass(frozen=True, slots=True)
class LoadedWorkflow:
    """A checked workflow and the file it came from; `files` are those that it
    names, by name, and the workflows that it uses."""

    spec: Workflow
    document: Document
    path: Path
    tools: Mapping[str, Tool]
    others: Others = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)

    def models(self, elsewhere: Container[str] = ()) -> set[tuple[ModelRole, str | None]]:
        """Role and name of every model that a run needs; None: the one of the role.

        A name that an expression computes is not known yet, and is left out; what other workflows
        need is theirs, and what steps in a queue `elsewhere` need is of another machine.
        """
        shared = self.spec.defaults.prompt.model
        needed: set[tuple[ModelRole, str | None]] = set()
        for step in self.spec.every_step():
            asked: list[str | None] = []
            called: list[str] = []
            away = step.queue is not None and step.queue in elsewhere
            if step.uses is not None and step.workflow is None and not away:
                called.append(step.uses)
            if (step.uses or step.run) and any(check.question for check in step.checks):
                asked.append(shared)
            for one in (step.prompt, step.agent):
                if one is not None:
                    asked.append(one.model or shared)
                    called += one.tools  # a model's tools are called here in any case
            asked = [] if away else asked
            needed |= {("chat", name) for name in asked if not is_expression(name)}
            needed |= {(role, None) for tool in called for role in self.tools[tool].roles}
        return needed


def load(
    path: Path,
    tools: Mapping[str, Tool],
    models: Collection[str],
    others: Others | None = None,
    queues: Iterable[str] = (),
    sees: Callable[[str | None], bool] = lambda model: True,
) -> LoadedWorkflow:
    """Read and check a workflow.  Raises `InvalidFile` with every problem, in order of place."""
    around = Surroundings(
        tools,
        models,
        {} if others is None else others,
        frozenset(queues),
        path.parent,
        sees=sees,
    )
    return checked(load_file(path), path, around)


def checked(document: Document, path: Path, around: Surroundings) -> LoadedWorkflow:
    """The same for a text that was read before: a run keeps the one that it began with."""
    document = as_workflow(document)
    if _is_something_else(document.data):
        message = 'this is no workflow: a workflow has "steps"'
        raise InvalidFile([document.problem((), "not-a-workflow", message)])
    problems = list(check(document, around))
    spec = None
    try:
        spec = Workflow.model_validate(document.data)
    except ValidationError as error:
        structural = problems_from(error, document, Workflow, hints={**VALUES, **KEYS})
        places = {(problem.line, problem.column) for problem in problems}
        problems += [one for one in structural if (one.line, one.column) not in places]
    problems = list(leftovers(document, problems))
    if problems or spec is None:
        raise InvalidFile(_in_order(problems))
    files = prompt_files.named(spec, around.folder, around.files)
    if isinstance(around.others, Folders):
        files |= around.others.used(spec)
    return LoadedWorkflow(spec, document, path, around.tools, around.others, files)


def _is_something_else(data: object) -> bool:
    """Whether a mapping was never meant to be a workflow: one sentence, not one for each key."""
    if not isinstance(data, dict):
        return False
    strange = [key for key in data if key not in Workflow.model_fields]
    meant = {KEYS.get(key.lower()) or closest(key, ["steps"]) for key in data}
    return len(strange) > 1 and "steps" not in meant


def _in_order(problems: Iterable[Problem]) -> list[Problem]:
    """Sorted by place, each once: a default that three steps inherit is wrong once."""
    return sorted(dict.fromkeys(problems), key=lambda problem: (problem.line, problem.column))
