"""Whether an objective is reached: what a person wrote down, not what the model thinks of itself.

A check looks at an answer (text, or data where it was asked for as such) and at the folder of the
run, and gives back what is wrong in a sentence, which is what the next attempt learns from.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Any, Protocol

from agentkit.cancel import CancelToken
from agentkit.errors import UserError
from agentkit.fitting import first_misfit
from agentkit.jobs import Job
from agentkit.ports import Sandbox
from agentkit.toolbox.output import as_text
from agentkit.values import dataclass

SAID = 600
"""Characters of a script's output that are told."""

ASKED = 0.5
"""How likely a yes has to be."""


class Check(Protocol):
    """Something that has to hold of the answer."""

    @property
    def name(self) -> str:
        """What people call it."""

    def fault(self, answer: Any) -> str:
        """What is wrong; empty if nothing is."""


Fault = tuple[str, str]
"""The name of a check that failed, and why."""


def first_fault(checks: Sequence[Check], answer: Any) -> Fault | None:
    """What the first check that fails says."""
    for check in checks:
        fault = check.fault(answer)
        if fault:
            return check.name, fault
    return None


@dataclass(frozen=True, slots=True)
class FitsSchema:
    """The answer is data that a schema accepts, or JSON of such."""

    schema: Mapping[str, Any]
    name: str = "schema"

    def fault(self, answer: Any) -> str:
        """See `Check.fault`."""
        try:
            value = json.loads(answer) if isinstance(answer, str) else answer
        except ValueError as error:
            return f"the answer is not JSON ({error})"
        first = first_misfit(value, self.schema)
        return "" if first is None else f"the answer does not fit the schema: {first.message}"


@dataclass(frozen=True, slots=True)
class Holds:
    """An expression is true; it reads the answer, `files` (those not hidden) and `facts`."""

    expression: str
    evaluate: Callable[[str, Mapping[str, Any]], Any]
    folder: Path
    facts: Mapping[str, Any] = field(default_factory=dict)
    word: str = "answer"
    """What the answer is called."""
    reason: str = ""
    """What is said if it is not true; empty: the expression."""
    name: str = "expression"

    def fault(self, answer: Any) -> str:
        """See `Check.fault`.  Raises `UserError` for an expression that cannot be evaluated."""
        names = (path.relative_to(self.folder) for path in self.folder.rglob("*") if path.is_file())
        files = sorted(
            str(name) for name in names if not any(part.startswith(".") for part in name.parts)
        )
        try:
            held = self.evaluate(self.expression, {**self.facts, self.word: answer, "files": files})
        except UserError as error:
            raise UserError(f"the check {self.expression!r}: {error}") from None
        return "" if held else self.reason or f"this is not true: {self.expression}"


@dataclass(frozen=True, slots=True)
class Succeeds:
    """A script ends with exit code 0.  It runs in the sandbox, in the folder of the run."""

    script: str
    sandbox: Callable[[], Sandbox]
    folder: Path
    cancel: CancelToken
    name: str = "script"

    def fault(self, answer: Any) -> str:
        """See `Check.fault`; the script finds the answer on its standard input."""
        job = Job(("bash", "-euc", self.script), self.folder, stdin=as_text(answer).encode())
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

    def fault(self, answer: Any) -> str:
        """See `Check.fault`."""
        sure = self.likely(self.question, as_text(answer))
        return "" if sure >= ASKED else f"the answer to this is no: {self.question}"
