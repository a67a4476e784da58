"""From a file to a workflow that may run, or to every problem it has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from agentkit.errors import InvalidFile, Problem, UnknownName
from agentkit.toolbox import Tool
from agentkit.validation import problems_from
from agentkit.workflow.check import Surroundings, check
from agentkit.workflow.spec import FOREIGN_KEYS, Workflow
from agentkit.yamlfile import Document, load_file

SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class LoadedWorkflow:
    """A checked workflow and the file it came from."""

    spec: Workflow
    document: Document
    path: Path


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
    document = load_file(path)
    problems = list(check(document, Surroundings(tools, frozenset(models))))
    try:
        spec = Workflow.model_validate(document.data)
    except ValidationError as error:
        problems += problems_from(error, document, Workflow, hints=FOREIGN_KEYS)
        raise InvalidFile(_in_order(problems)) from None
    if problems:
        raise InvalidFile(_in_order(problems))
    return LoadedWorkflow(spec, document, path)


def _in_order(problems: Iterable[Problem]) -> list[Problem]:
    """Sorted by place; one problem for one place, the checker's before the schema's."""
    first: dict[tuple[int, int], Problem] = {}
    for problem in problems:
        first.setdefault((problem.line, problem.column), problem)
    return [first[place] for place in sorted(first)]
