"""Prompts in files of their own are checked like the rest of a workflow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from agentkit.errors import Problem, UserError
from agentkit.workflow.check.around import Surroundings
from agentkit.workflow.expressions import is_expression
from agentkit.workflow.names import Names, View
from agentkit.workflow.prompt_files import read
from agentkit.yamlfile import Document, NodePath


@dataclass(frozen=True)
class Prompts:
    """Checks those that a workflow names."""

    document: Document
    around: Surroundings

    def check(self, path: NodePath, name: Any, view: View) -> Iterator[Problem]:
        """The file, and every name that its expressions read."""
        if not isinstance(name, str):
            return
        if is_expression(name):
            message = "the name of a file of prompts is fixed: what is in it may be computed"
            yield self.document.problem(path, "misplaced-expression", message)
            return
        try:
            text = read(name, self.around.folder, self.around.files)
        except UserError as error:
            yield self.document.problem(path, "unknown-file", str(error))
            return
        yield from Names(text).check((), text.data, view)
