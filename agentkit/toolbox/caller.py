"""One call of a tool, whoever makes it: a model, a workflow, a person, another program.

    name        a near miss is told to the caller
    arguments   checked by the tool's own schema
    accesses    what it would touch; if that cannot be told, the call does not happen
    decision    allowed, denied, or a question to a person
    the call    with a context that reaches no further than what was decided
    outcome     one of four, without secrets; nothing that a tool does wrong escapes as an exception

The journal knows of a call before it is made.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from agentkit.cancel import CancelToken
from agentkit.errors import (
    AgentkitError,
    ApprovalNeeded,
    Cancelled,
    InvalidInput,
    ToolError,
    ToolRetry,
    WorkerLost,
    did_you_mean,
)
from agentkit.hosts import Location
from agentkit.outcomes import Failed, NeedsApproval, Outcome, Retry, Returned
from agentkit.permissions import Access
from agentkit.ports import Sandbox
from agentkit.toolbox.approvals import ALPHABET, Approvals
from agentkit.toolbox.box import Toolbox
from agentkit.toolbox.context import CallContext, Report, ToolServices
from agentkit.toolbox.files import GrantedFiles
from agentkit.toolbox.grants import Grants
from agentkit.toolbox.output import FOLDER
from agentkit.toolbox.plain import described, exact, on_record, plain, readable
from agentkit.toolbox.tool import Tool
from agentkit.values import dataclass


def new_call_id() -> str:
    """Short enough for a small model to copy."""
    return "".join(secrets.choice(ALPHABET) for _ in range(6))


Away = Callable[[Tool, Mapping[str, Any], Grants, CallContext], Any]
"""Does a call that was decided on another machine: what the tool gives, or raises."""

Lend = Callable[[Sandbox], Sandbox]
"""How the sandbox is lent to a call."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Makes calls in one run, whose files lie in `folder`.  May be used from any thread.

    `offered` are the only tools that there are for this caller; None: all of the toolbox.
    """

    tools: Toolbox
    grants: Grants
    approvals: Approvals
    services: ToolServices
    folder: Path
    offered: tuple[str, ...] | None = None
    home: Path | None = None
    """The run's own folder, where it works in one of a person's."""
    away: Away | None = None
    """None: calls are done in this process."""
    lend: Lend | None = None
    """None: programs are run in the folder, one after the other."""

    @property
    def outputs(self) -> Path:
        """Where results lie that were too long to be shown whole."""
        return (self.home or self.folder) / FOLDER

    def call(
        self,
        name: str,
        arguments: Mapping[str, Any] | str,
        report: Report,
        cancel: CancelToken,
        *,
        call: str | None = None,
        tool: Tool | None = None,
    ) -> Outcome:
        """Make a call; arguments as JSON text are what a model wrote.

        `tool` is one that is in no toolbox, so that nobody else can call it.
        Raises `Cancelled`, `WorkerLost`, and for a mistake of ours anything; for nothing that the
        caller or the tool did.
        """
        call, name = call or new_call_id(), readable(name)
        report.called(call, name, on_record(arguments))
        outcome: Outcome = Failed("it was interrupted: what it did is not known")
        status = "cancelled"
        try:
            found = tool or self._found(name)
            outcome = self._hidden(self._outcome(found, name, arguments, report, cancel))
            status = outcome.status
        finally:
            told = _told(outcome)
            size = len(json.dumps(told, ensure_ascii=False).encode())
            report.returned(call, name, status, size, told)
        return outcome

    def sandbox(self, name: str, arguments: Mapping[str, Any], cancel: CancelToken) -> Sandbox:
        """Where a program may run that belongs to no tool; it is asked about like a call.

        Raises `ToolError` for one that is not allowed, `ApprovalNeeded` while nobody has answered.
        """
        decision = self.grants.decide(name, (Access("executes"),), self.approvals.rules())
        if decision.verdict == "deny":
            raise ToolError(f"not allowed: {decision.reason}")
        asked = decision.verdict == "ask"
        if asked and not self.approvals.allows(name, arguments, decision.open, cancel):
            raise ToolError(f"a person said no: {decision.reason}")
        return self.services.sandbox

    def hide(self, value: Any) -> Any:
        """Anything without the secrets of the run; an error is changed where it is."""
        return self.approvals.hide(value)

    def _hidden(self, outcome: Outcome) -> Outcome:
        """As it goes on record: what a caller finds there later is what it hears now."""
        match outcome:
            case Returned(value):
                return replace(outcome, value=self.hide(value))
            case Retry(hint):
                return replace(outcome, hint=self.hide(hint))
            case Failed(reason, cause):
                return replace(outcome, reason=self.hide(reason), cause=self.hide(cause))
            case NeedsApproval(_, reason):
                return replace(outcome, reason=self.hide(reason))

    def _found(self, name: str) -> Tool | None:
        return self.tools.get(name) if self.offered is None or name in self.offered else None

    def _outcome(
        self,
        tool: Tool | None,
        name: str,
        arguments: Mapping[str, Any] | str,
        report: Report,
        cancel: CancelToken,
    ) -> Outcome:
        if tool is None:
            there = self.tools.names() if self.offered is None else self.offered
            return Retry(_unknown(name, there))
        try:
            given = _parsed(arguments)
            bound = tool.bind(given)
            accesses = tool.accesses(bound, self.folder)
        except (InvalidInput, ToolRetry) as error:
            return Retry(readable(str(error)))
        except Exception as error:  # an argument that breaks the check must not pass it
            return Failed(f"this call of {name!r} cannot be checked: {readable(described(error))}")
        try:
            return self._decided(tool, given, bound, accesses, report, cancel)
        except ApprovalNeeded as need:
            return NeedsApproval(need.request, readable(str(need)))
        except ToolRetry as error:
            return Retry(readable(str(error)))
        except (Cancelled, WorkerLost):
            raise  # it was interrupted
        except AgentkitError as error:
            return Failed(readable(str(error)), error)

    def _decided(
        self,
        tool: Tool,
        given: Mapping[str, Any],
        bound: Mapping[str, Any],
        accesses: Sequence[Access],
        report: Report,
        cancel: CancelToken,
    ) -> Outcome:
        grants = self._with_options(tool)
        decision = grants.decide(tool.name, accesses, self.approvals.rules())
        if decision.verdict == "deny":
            return Failed(f"not allowed: {decision.reason}")
        if decision.verdict == "ask":
            written = {name: value for name, value in given.items() if value is not None}
            whole = {**bound, **written}  # what is left out, too; what is written, as it is written
            if not self.approvals.allows(tool.name, whole, decision.open, cancel):
                return Failed(f"a person said no: {decision.reason}")
        cancel.check()
        grants = grants.plus(accesses)
        context = CallContext(
            tool=tool.name,
            folder=self.folder,
            outputs=self.outputs,
            files=GrantedFiles(self.folder, grants, lambda path: context.artifact(path)),
            reachable=grants.reachable,
            cancel=cancel,
            services=self.services,
            approvals=self.approvals,
            report=report,
            lend=self.lend,
        )
        if self.away is None:
            value = tool.run(bound, context)
        else:
            value = self.away(tool, given, grants, context)
        return _returned(tool.name, value, bool(context.made))

    def _with_options(self, tool: Tool) -> Grants:
        """An address that settings name for a tool is granted to it."""
        named = tuple(_hosts(self.services.tool_options(tool.name)))
        return replace(self.grants, hosts=(*self.grants.hosts, *named)) if named else self.grants


def _parsed(arguments: Mapping[str, Any] | str) -> dict[str, Any]:
    """The arguments as a copy of our own; null is none at all."""
    try:
        parsed = _read(arguments) if isinstance(arguments, str) else exact(arguments)
    except UnicodeEncodeError:
        raise ToolRetry("the arguments have half of a character in them: write it whole") from None
    except ValueError as error:
        what = "JSON" if isinstance(arguments, str) else "plain data"
        raise ToolRetry(f"the arguments are not {what}: {error}") from None
    if not isinstance(parsed, dict | None):
        raise ToolRetry("the arguments are no JSON object")
    return parsed or {}


def _read(text: str) -> Any:
    """JSON proper, of whole characters: what a person may have to allow is what is done."""
    parsed = json.loads(text.strip() or "{}", parse_constant=_refuse)
    json.dumps(parsed, ensure_ascii=False).encode()
    return parsed


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no number")


def _returned(name: str, value: Any, made: bool) -> Outcome:
    try:
        return Returned(plain(value), made)
    except ValueError as error:
        return Failed(f"tool {name!r} gave back what is not plain data: {readable(str(error))}")


def _unknown(name: str, known: Sequence[str]) -> str:
    near = did_you_mean(name[:100], known)
    there = near or f" There are: {', '.join(known[:40])}." if known else " There are none."
    return f"there is no tool {name[:100]!r}.{there}"


def _told(outcome: Outcome) -> Any:
    """The part of an outcome that goes on record."""
    match outcome:
        case Returned(value):
            return value
        case Retry(hint):
            return hint
        case Failed(reason):
            return reason
        case NeedsApproval(_, reason):
            return reason


def _hosts(options: Any) -> Iterator[str]:
    if isinstance(options, Mapping):
        options = list(options.values())
    if isinstance(options, list):
        for value in options:
            yield from _hosts(value)
    elif isinstance(options, str) and options.startswith(("http://", "https://")):
        with suppress(ToolRetry):  # the tool will say what is wrong with it
            yield Location.of(options).place
