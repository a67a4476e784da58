"""Workflows and agents: found by name, or read again from the text that somebody kept of one.

What is given out is checked against the tools, models and queues there are now: whether a file can
be run here is answered in this room, and what becomes of it when it runs is not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentkit.config import Settings, shipped
from agentkit.errors import InvalidFile, UnknownName
from agentkit.runtime.agents import COMMAND, Wish, definition
from agentkit.runtime.models import Known, Models
from agentkit.toolbox import Toolbox

if TYPE_CHECKING:
    from agentkit.workflow.load import LoadedWorkflow


class Library:
    """Those that can be run by name, and those that are in no file any more, or never were."""

    def __init__(self, settings: Settings, toolbox: Callable[[], Toolbox], models: Models) -> None:
        self._settings = settings
        self._toolbox = toolbox
        self._models = models

    @property
    def _known(self) -> Known:
        return Known(self._models.names)

    @property
    def folders(self) -> tuple[Path, ...]:
        """Where one is looked for by name: here, in the user's own folders, among the shipped."""
        here = [Path(kind) for kind in ("workflows", "agents")]
        return (*here, *self._settings.schedule_folders, shipped("workflows"))

    def names(self) -> list[str]:
        """Those that can be run by name."""
        from agentkit.workflow.others import known

        return sorted(known(self.folders))

    def find(self, name: str) -> LoadedWorkflow:
        """A checked workflow, by path or name.  Raises `UnknownName` or `InvalidFile`."""
        from agentkit.workflow.load import load
        from agentkit.workflow.others import Folders, find

        toolbox = self._toolbox()
        toolbox.refresh()
        path, others = find(name, self.folders), Folders(self.folders)
        queues, sees = self._settings.queues, self._models.sees
        return load(path, toolbox, self._known, others, queues, sees)

    def read(self, text: str, source: str, files: Mapping[str, str]) -> LoadedWorkflow:
        """The same for a text; `files` are those that it names, as they were when it was kept."""
        from agentkit.workflow.check import Surroundings
        from agentkit.workflow.load import checked
        from agentkit.workflow.others import Folders
        from agentkit.yamlfile import load

        path, others = Path(source), Folders(self.folders, files)
        queues, sees = frozenset(self._settings.queues), self._models.sees
        around = Surroundings(
            self._toolbox(), self._known, others, queues, path.parent, files, sees
        )
        return checked(load(text, source), path, around)

    def wished(self, wish: Wish) -> LoadedWorkflow:
        """An agent as a person wishes it, as a workflow.

        Raises `UnknownName` for a tool or a model that is not there, `InvalidFile` for a budget or
        a check that makes no sense.
        """
        toolbox = self._toolbox()
        toolbox.refresh()
        for name in wish.tools:
            toolbox.find(name)
        if wish.model is not None and wish.model not in self._known:
            hint = "agentkit models list"
            raise UnknownName("model", wish.model, self._known, hint=hint)
        return self.read(definition(wish), COMMAND, {})

    # -- those that a run can begin with ---------------------------------------------------------

    def ready(self, name: str) -> LoadedWorkflow:
        """One by path or name that can be run.  Raises what `find` and `check_models` raise."""
        workflow = self.find(name)
        self.check_models(workflow)
        return workflow

    def ready_again(self, text: str, source: str, files: Mapping[str, str]) -> LoadedWorkflow:
        """The same for what a run kept of its own."""
        workflow = self.read(text, source, files)
        self.check_models(workflow)
        return workflow

    def check_models(self, workflow: LoadedWorkflow) -> None:
        """Raise what `Models.check` raises, but for those that only other machines need."""
        self._models.check(workflow.models(elsewhere=self._settings.cluster.queues))


# -- of the language, for faces ------------------------------------------------------------------


def drawn(workflow: LoadedWorkflow, *, mermaid: bool) -> str:
    """A picture of a workflow."""
    from agentkit.workflow import picture

    return (picture.mermaid if mermaid else picture.drawing)(workflow.spec)


def answer_schema(file: Path) -> dict[str, Any]:
    """The JSON Schema that a file of JSON or YAML is.  Raises `UserError`, `InvalidFile`."""
    from agentkit.workflow.check import answers
    from agentkit.yamlfile import load_file

    document = load_file(file)
    problems = list(answers.schema(document, (), document.data))
    if not isinstance(document.data, dict):
        message = 'a schema says how answers look: {"type": "object", ...}'
        problems.append(document.problem((), "bad-schema", message))
    if problems:
        raise InvalidFile(problems)
    return dict(document.data)


def workflow_schema() -> dict[str, Any]:
    """The JSON Schema of a workflow file."""
    from agentkit.workflow.spec.json_schema import json_schema

    return json_schema()


def workflow_reference() -> str:
    """Every word of a workflow file, as Markdown."""
    from agentkit.workflow.spec.reference import reference

    return reference()


def starter(name: str, file: str) -> str:
    """A workflow to begin with, with commands for the file that it goes into."""
    from agentkit.workflow.starter import text

    return text(name, file)
