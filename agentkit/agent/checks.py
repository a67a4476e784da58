"""Whether an objective is reached: what a person wrote down, not what the model thinks of itself.

A check looks at the answer and at the folder of the run, and gives back what is wrong in a
sentence, which is what the next attempt learns from.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from jsonschema import Draft202012Validator
from referencing import Registry
from referencing.exceptions import Unresolvable

from agentkit.cancel import CancelToken
from agentkit.errors import UserError
from agentkit.jobs import Job
from agentkit.ports import Sandbox

SAID = 600
"""Characters of a script's output that are told."""

ASKED = 0.5
"""How likely a yes has to be."""


class Check(Protocol):
    """Something that has to hold of the answer."""

    @property
    def name(self) -> str:
        """What people call it."""

    def fault(self, answer: str) -> str:
        """What is wrong; empty if nothing is."""


@dataclass(frozen=True, slots=True)
class FitsSchema:
    """The answer is JSON that a schema accepts."""

    schema: Mapping[str, Any]
    name: str = "schema"

    def fault(self, answer: str) -> str:
        """See `Check.fault`."""
        try:
            value = json.loads(answer)
        except ValueError as error:
            return f"the answer is not JSON ({error})"
        found = Draft202012Validator(self.schema, registry=Registry()).iter_errors(value)
        try:
            first = next(found, None)
        except Unresolvable as error:
            raise UserError(
                f"the schema of a check refers to {error.ref}: that is not there"
            ) from None
        return "" if first is None else f"the answer does not fit the schema: {first.message}"


@dataclass(frozen=True, slots=True)
class Holds:
    """An expression is true; it can read `answer` and `files`, the names in the folder."""

    expression: str
    evaluate: Callable[[str, Mapping[str, Any]], Any]
    folder: Path
    name: str = "expression"

    def fault(self, answer: str) -> str:
        """See `Check.fault`.  Raises `UserError` for an expression that cannot be evaluated."""
        files = sorted(
            str(path.relative_to(self.folder))
            for path in self.folder.rglob("*")
            if path.is_file() and ".git" not in path.parts
        )
        try:
            held = self.evaluate(self.expression, {"answer": answer, "files": files})
        except UserError as error:
            raise UserError(f"the check {self.expression!r}: {error}") from None
        return "" if held else f"this is not true: {self.expression}"


@dataclass(frozen=True, slots=True)
class Succeeds:
    """A script ends with exit code 0.  It runs in the sandbox, in the folder of the run."""

    script: str
    sandbox: Callable[[], Sandbox]
    folder: Path
    cancel: CancelToken
    name: str = "script"

    def fault(self, answer: str) -> str:
        """See `Check.fault`; the script finds the answer on its standard input."""
        job = Job(("bash", "-euc", self.script), self.folder, stdin=answer.encode())
        done = self.sandbox().run(job, self.cancel)
        if done.exit_code == 0 and not done.stopped:
            return ""
        said = (done.stdout + done.stderr).decode("utf-8", "replace").strip()[-SAID:]
        how = f"ran into its limit of {done.stopped}" if done.stopped else "failed"
        return f"the check script {how} (exit code {done.exit_code}): {said or 'it said nothing'}"


@dataclass(frozen=True, slots=True)
class Answers:
    """The model says yes to a question about the answer."""

    question: str
    likely: Callable[[str, str], float]
    name: str = "question"

    def fault(self, answer: str) -> str:
        """See `Check.fault`."""
        sure = self.likely(self.question, answer)
        return "" if sure >= ASKED else f"the answer to this is no: {self.question}"
