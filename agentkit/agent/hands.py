"""An agent's calls: what they do, what they show, and what came of those that were interrupted."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from agentkit.agent.folder import Folder
from agentkit.agent.guard import UNKNOWN, Step
from agentkit.agent.known import PAGER, PYTHON, QUERY
from agentkit.agent.looks import FirstLooks
from agentkit.agent.possible import Possible
from agentkit.agent.tasks import Kind
from agentkit.cancel import CancelToken, Deadline
from agentkit.errors import ApprovalNeeded, Cancelled
from agentkit.messages import ToolSchema
from agentkit.outcomes import Failed, NeedsApproval, Outcome, Retry, Returned
from agentkit.toolbox.caller import Caller, new_call_id
from agentkit.toolbox.context import Report
from agentkit.toolbox.output import show

EMPTY = " is empty"
"""What a tool says of a file that a program has made and found nothing for."""

ALSO = "stands also in:"
"""What a tool says that has changed one of several places."""

SEVERAL = re.compile(r"\b(?:all|both|each|every)\b", re.IGNORECASE)
"""What a task says that is not done by one change."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A call that is over: its status, what the model sees of it, and whether it changed something;
    None: it may have.
    """

    status: str
    text: str
    changed: bool | None = None


@dataclass
class ToolHands:
    """The tools of a toolbox; a result has at most `budget` tokens.

    `earlier` has what is on record of calls of this run, by id: status and outcome.
    """

    caller: Caller
    tools: Sequence[str]
    report: Report
    cancel: CancelToken
    count: Callable[[str], int]
    budget: int
    earlier: Mapping[str, tuple[str, Any]]

    def __post_init__(self) -> None:
        computes = PYTHON in self.tools or QUERY in self.tools
        self.folder = Folder(self.caller.folder, computes)
        self._looks = FirstLooks(self.folder, self.tools)
        self._possible = Possible(self.caller, self.folder)

    def schemas(self) -> tuple[ToolSchema, ...]:
        """The tools as the prompt tells of them."""
        return tuple(self._told.values())

    @cached_property
    def _told(self) -> dict[str, ToolSchema]:
        """The same by name; a tool that is edited meanwhile must not change what was read."""
        return {name: self.caller.tools[name].schema for name in self.tools}

    def schema(
        self,
        tool: str,
        done: set[str],
        said: Sequence[str],
        kind: Callable[[], Kind],
        *,
        tested: bool = False,
    ) -> ToolSchema | None:
        """See `Possible.schema`."""
        return self._possible.schema(self._told[tool], done, said, kind, tested=tested)

    def first_looks(self, task: str, kind: Callable[[], Kind]) -> list[tuple[str, dict[str, Any]]]:
        """See `FirstLooks.at`."""
        return self._looks.at(task, kind)

    def test(self, task: str) -> tuple[str, dict[str, Any]] | None:
        """See `FirstLooks.test`."""
        return self._looks.test(task)

    def changes(self, tool: str) -> bool:
        """Whether a tool may change files."""
        return bool({"writes", "executes"} & set(self.caller.tools[tool].effects))

    def partly(self, step: Step, task: str) -> bool:
        """Whether a call that changed something did only a part of what a task asks for: it wrote
        a file with nothing in it, or changed one of several places.
        """
        found = self.caller.tools[step.tool]
        one = ALSO in step.text and not found.each and "executes" not in found.effects
        return EMPTY in step.text or bool(one and SEVERAL.search(task))

    def tells(self, tool: str) -> bool:
        """Whether it shows what it has changed: what was read need not be read again."""
        return bool(self.caller.tools[tool].there) if tool in self.tools else False

    def new_call(self) -> str:
        """An id."""
        return new_call_id()

    def act(self, call: str, tool: str, arguments: Mapping[str, Any], seconds: float) -> Seen:
        """Make a call, which is stopped like one that is cancelled when so many seconds are over.

        Raises `ApprovalNeeded`, `Cancelled`.
        """
        limit = Deadline(self.cancel, seconds, "the time was up")
        try:
            outcome = self.caller.call(tool, arguments, self.report, limit, call=call)
        except Cancelled:
            if not limit.over:
                raise
            return Seen(UNKNOWN, f"{tool} was stopped because the time was up, effect unverified.")
        made = isinstance(outcome, Returned) and outcome.made
        changed = made or "writes" in self.caller.tools[tool].effects
        return replace(self._seen(call, tool, outcome), changed=changed)

    def recall(self, call: str, tool: str, arguments: Mapping[str, Any], seconds: float) -> Seen:
        """A call that was begun before the process died.

        One that never reached the tool is made now; of one that ended the outcome is on record; of
        one in between nobody knows what it did.
        """
        status, outcome = self.earlier.get(call, ("", None))
        match status:
            case "":
                return self.act(call, tool, arguments, seconds)
            case "needs_approval":  # made again, maybe before the process died once more
                return self.recall(f"{call}a", tool, arguments, seconds)
            case "returned":
                return self._seen(call, tool, Returned(outcome))
            case "retry":
                return self._seen(call, tool, Retry(str(outcome)))
            case "failed":
                return self._seen(call, tool, Failed(str(outcome)))
        return Seen(
            UNKNOWN,
            f"{tool} was interrupted, effect unverified: check what it did before you call it "
            "again.",
        )

    def _seen(self, call: str, tool: str, outcome: Outcome) -> Seen:
        if isinstance(outcome, NeedsApproval):
            raise ApprovalNeeded(outcome.request, outcome.reason)
        shown = show(
            outcome,
            tool,
            call,
            budget=self.budget,
            count=self.count,
            folder=self.caller.outputs.parent,
            can_page=PAGER in self.tools,
        )
        return Seen(outcome.status, shown.text)
