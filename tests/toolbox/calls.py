"""What the tests of calls share: tools in a line, a person with answers, a report that keeps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from agentkit.cancel import CancelToken
from agentkit.outcomes import Outcome
from agentkit.permissions import Request
from agentkit.ports import Desk
from agentkit.testing import ScriptedDesk, ScriptedServices
from agentkit.toolbox.approvals import Approvals, Approver
from agentkit.toolbox.box import Toolbox
from agentkit.toolbox.caller import Caller
from agentkit.toolbox.grants import Grants
from agentkit.toolbox.python import tool_of
from agentkit.toolbox.sources import BadTool, Scan
from agentkit.toolbox.tool import Tool


def made(function: Callable[..., Any]) -> Tool:
    """A function with `@tool` as a tool."""
    return tool_of(function, Path("tests.py"))


@dataclass
class Given:
    """A source of these tools."""

    tools: Sequence[Tool] = ()
    bad: Sequence[BadTool] = ()
    label: str = "given"
    prefix: str = ""
    far: bool = False
    scans: int = 0

    def scan(self) -> Scan:
        self.scans += 1
        return Scan(tuple(self.tools), tuple(self.bad))


class Person:
    """An approver with answers, in their order; after them, nobody is there."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.asked: list[Request] = []

    def __call__(self, request: Request, cancel: CancelToken) -> str | None:
        self.asked.append(request)
        return self.answers.pop(0) if self.answers else None


@dataclass
class Told:
    """A `Report` that remembers."""

    calls: list[tuple[str, Any]] = field(default_factory=list)
    returns: list[tuple[str, int, Any]] = field(default_factory=list)
    artifacts: list[Path] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def called(self, call: str, tool: str, arguments: Any) -> None:
        self.calls.append((tool, arguments))

    def returned(self, call: str, tool: str, status: str, size: int, outcome: Any) -> None:
        self.returns.append((status, size, outcome))

    def progress(self, done: float, total: float | None, unit: str) -> None:
        pass

    def warned(self, text: str) -> None:
        self.warnings.append(text)

    def artifact(self, path: Path, folder: Path) -> None:
        self.artifacts.append(path)


@dataclass
class Door:
    """A caller with everything around it."""

    caller: Caller
    person: Person
    report: Told = field(default_factory=Told)
    cancel: CancelToken = field(default_factory=CancelToken)

    def say(self, name: str, text: str) -> Outcome:
        """A call as a model writes it."""
        return self.caller.call(name, text, self.report, self.cancel)

    def __call__(self, name: str, **arguments: Any) -> Outcome:
        return self.caller.call(name, arguments, self.report, self.cancel)


def door(
    folder: Path,
    *functions: Callable[..., Any] | Tool,
    grants: Grants | None = None,
    answers: Sequence[str] = (),
    desk: Desk | None = None,
    approver: Approver | None = None,
    services: ScriptedServices | None = None,
) -> Door:
    """A caller of these tools; its folder is `folder`/run, which is the run's own."""
    run = folder / "run"
    run.mkdir(exist_ok=True)
    tools = [one if isinstance(one, Tool) else made(one) for one in functions]
    person = Person(*answers)
    granted = grants or Grants()
    granted = replace(granted, own_write=(*granted.own_write, run.resolve()))
    caller = Caller(
        Toolbox([Given(tools)]),
        granted,
        Approvals(desk or ScriptedDesk(), approver or person, "run-1"),
        services or ScriptedServices(),
        run,
    )
    return Door(caller, person)
