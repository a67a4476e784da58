"""An agent's calls, and what is possible now: guards live in the grammar.

What does not exist cannot be asked for: where a tool takes a file of the folder of the run, the
files that are there are an enumeration.  What was refused is taken out of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agentkit.agent.guard import fingerprint
from agentkit.cancel import CancelToken
from agentkit.errors import ApprovalNeeded
from agentkit.messages import ToolSchema
from agentkit.outcomes import NeedsApproval
from agentkit.toolbox.caller import Caller, new_call_id
from agentkit.toolbox.context import Report
from agentkit.toolbox.output import FOLDER, show

MOST_FILES = 60
"""Files that are offered as an enumeration; of more, the model has to know the name."""

ELSEWHERE = {"type": "string", "pattern": r"^[~/][^\n]{1,200}$"}
"""A path that does not lie in the folder of the run."""


@dataclass
class ToolHands:
    """`loop.Hands` over the tools of a toolbox; results have at most `budget` tokens."""

    caller: Caller
    tools: Sequence[str]
    report: Report
    cancel: CancelToken
    count: Callable[[str], int]
    budget: int

    def schemas(self) -> tuple[ToolSchema, ...]:
        """The tools as the prompt tells of them."""
        return tuple(self.caller.tools[name].schema for name in self.tools)

    def schema(self, tool: str, refused: set[str]) -> ToolSchema | None:
        """See `loop.Hands.schema`."""
        found = self.caller.tools[tool]
        parameters: dict[str, Any] = json.loads(json.dumps(found.schema.parameters))
        properties = parameters.get("properties", {})
        if not properties and fingerprint(tool, {}) in refused:
            return None
        for argument, effect in found.touches.items():
            if effect == "reads" and properties.get(argument, {}).get("type") == "string":
                folders = tool == "list_files" or tool == "search_files"
                options = [
                    path
                    for path in self._paths(folders=folders)
                    if fingerprint(tool, {argument: path}) not in refused
                ]
                if len(options) <= MOST_FILES:
                    about = properties[argument].get("description", "")
                    narrow = [{"enum": options}] if options else []
                    properties[argument] = {"anyOf": [*narrow, ELSEWHERE], "description": about}
        return ToolSchema(tool, found.description, found.schema.parameters, parameters)

    def act(self, tool: str, arguments: Mapping[str, Any]) -> tuple[str, str, str]:
        """See `loop.Hands.act`.  Raises `ApprovalNeeded`, `Cancelled`."""
        call = new_call_id()
        outcome = self.caller.call(tool, arguments, self.report, self.cancel, call=call)
        if isinstance(outcome, NeedsApproval):
            raise ApprovalNeeded(outcome.request, outcome.reason)
        shown = show(
            outcome,
            tool,
            call,
            budget=self.budget,
            count=self.count,
            folder=self.caller.folder,
        )
        if shown.spilled:
            self.report.artifact(shown.spilled, self.caller.folder)
        return call, outcome.status, shown.text

    def refuse(self, tool: str, reason: str) -> tuple[str, str, str]:
        """See `loop.Hands.refuse`."""
        return new_call_id(), "refused", f"{tool} was not called: {reason}"

    def _paths(self, *, folders: bool) -> list[str]:
        found = ["."] if folders else []
        for path in sorted(self.caller.folder.rglob("*")):
            relative = path.relative_to(self.caller.folder)
            if relative.parts[0] == FOLDER or any(part.startswith(".") for part in relative.parts):
                continue
            if path.is_dir() == folders:
                found.append(str(relative))
            if len(found) > MOST_FILES:
                break
        return found
