"""The far end of steps that are done on another machine: what may be done there, and how.

Settings of this machine say which models there are and what tools may touch, as for a run that
nobody watches; what the machine that asks does not allow is not allowed here either.  Nothing is
written to the journal: what happens is told to who asked, and goes on record there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agentkit.cluster import Digests, Job, contents
from agentkit.errors import AgentkitError, MachineError, ToolError, UserError
from agentkit.outcomes import Failed, NeedsApproval, Outcome, Retry, Returned
from agentkit.permissions import Request, Rule
from agentkit.runtime import orders
from agentkit.runtime.root import Runtime
from agentkit.toolbox import Tool
from agentkit.toolbox.grants import Narrowing
from agentkit.toolbox.output import FOLDER
from agentkit.workflow.steps.script import TOOL as SCRIPT

FOLDERS = ("run", "inputs")
"""Of a call: the copy of the run's folder, and what else it was handed."""

LEAST_PATIENCE = 60.0
"""Seconds that a worker stays, however short its models do."""


def open_workplace() -> LocalWorkplace:
    """This machine, as its own settings describe it."""
    return LocalWorkplace(Runtime())


@dataclass
class LocalWorkplace:
    """`cluster.Workplace` of a runtime."""

    runtime: Runtime
    digests: Digests = field(default_factory=Digests)

    @property
    def folder(self) -> Path:
        """See `Workplace.folder`."""
        return self.runtime.settings.home / "cluster"

    @property
    def patience(self) -> float:
        """See `Workplace.patience`."""
        stay = self.runtime.settings.engine.keep_alive
        return stay if stay < 0 else max(stay, LEAST_PATIENCE)

    def perform(self, job: Job) -> Any:
        """See `Workplace.perform`."""
        match job.order:
            case orders.AboutModel(name):
                model = self.runtime.chat(name)
                return orders.ModelFacts(model.name, model.context_tokens)
            case orders.Count(name, messages, tools):
                return self.runtime.chat(name).count_tokens(messages, tools)
            case orders.Warm(name, messages, tools):
                return self.runtime.chat(name).warm(messages, tools)
            case orders.Ask(name, request):
                for delta in self.runtime.chat(name).stream(request, job.cancel):
                    job.tell(delta)
                return None
            case orders.Call() as call:
                return self._call(call, job)
        raise MachineError("this worker does not know such work: is it of another version?")

    def _call(self, call: orders.Call, job: Job) -> orders.Called:
        tool = self._tool(call)
        folder, beside = (job.folder / name for name in FOLDERS)
        folder.mkdir()
        for file in call.folder:
            place = _inside(folder, file.path)
            job.blobs.put(file.sha256, place, executable=file.executable)
        places = [self._laid(given, beside / str(at), job) for at, given in enumerate(call.inputs)]
        before = contents(folder, self.digests)
        report = _Report(job, folder)
        caller = self.runtime.caller(
            job.id,
            profile="unattended",
            desk=_NoDesk(),
            handed=[beside],
            narrowings=[Narrowing("the machine that asked", read=[], write=[], hosts=call.hosts)],
            work=folder,
        )
        arguments = _with(call.arguments, call.inputs, places)
        value, error = None, None
        try:
            outcome = caller.call(tool.name, arguments, report, job.cancel, tool=tool)
            value = _value(tool.name, outcome)
        except AgentkitError as fault:
            error = fault
        after = contents(folder, self.digests)
        changed = [facts for name, facts in after.items() if before.get(name) != facts]
        return orders.Called(
            value,
            error,
            tuple(
                orders.Changed(f.path, f"{FOLDERS[0]}/{f.path}", f.sha256, f.size, f.executable)
                for f in changed
                if not Path(f.path).is_relative_to(FOLDER)
            ),
            tuple(name for name in before if name not in after),
            tuple(dict.fromkeys(report.artifacts)),
            str(folder),
            tuple(map(str, places)),
        )

    def _tool(self, call: orders.Call) -> Tool:
        """The tool of this machine by the same name, if it is the same."""
        if call.own:
            return SCRIPT
        self.runtime.toolbox.refresh()
        tool = self.runtime.toolbox.get(call.tool)
        if tool is None:
            raise ToolError(
                f"there is no tool {call.tool!r} on this machine",
                hint="put its file there, into tools/ of agentkit's home",
            )
        if tool.parameters.json_schema != call.parameters:
            raise ToolError(
                f"the tool {call.tool!r} takes other arguments on this machine: it is another one",
                hint="put the same file there, into tools/ of agentkit's home",
            )
        return tool

    def _laid(self, given: orders.Input, folder: Path, job: Job) -> Path:
        """An input where the tool will find it."""
        top = _inside(folder, given.name)
        for file in given.files:
            alone = file.path == ""
            job.blobs.lend(file.sha256, top if alone else _inside(top, file.path))
        top.parent.mkdir(parents=True, exist_ok=True)
        if not top.exists():
            top.mkdir()  # a folder with nothing in it
        return top


def _inside(folder: Path, name: str) -> Path:
    if Path(name).is_absolute() or ".." in Path(name).parts or not Path(name).parts:
        raise MachineError(f"{name!r} leads out of its folder")
    return folder / name


def _with(
    arguments: Mapping[str, Any], inputs: Sequence[orders.Input], places: Sequence[Path]
) -> dict[str, Any]:
    """The arguments, with paths of this machine in them."""
    made = {name: list(v) if isinstance(v, list) else v for name, v in arguments.items()}
    for given, place in zip(inputs, places, strict=True):
        if given.item is None:
            made[given.argument] = str(place)
        else:
            made[given.argument][given.item] = str(place)
    return made


def _value(tool: str, outcome: Outcome) -> Any:
    match outcome:
        case Returned(value):
            return value
        case Retry(hint):
            raise ToolError(hint)
        case Failed(reason, cause):
            raise cause or ToolError(reason)
        case NeedsApproval(_, reason):
            raise ToolError(f"{tool}: {reason}")


class _Report:
    """Tells who asked what is for them; a call as such is on record there already."""

    def __init__(self, job: Job, folder: Path) -> None:
        self._job = job
        self._folder = folder
        self.artifacts: list[str] = []

    def called(self, call: str, tool: str, arguments: Any) -> None:
        """See `Report.called`."""

    def returned(self, call: str, tool: str, status: str, size: int, outcome: Any) -> None:
        """See `Report.returned`."""

    def progress(self, done: float, total: float | None, unit: str) -> None:
        """See `Report.progress`."""
        self._job.tell(orders.Progressed(done, total, unit))

    def warned(self, text: str) -> None:
        """See `Report.warned`."""
        self._job.tell(orders.Warned(text))

    def artifact(self, path: Path, folder: Path) -> None:
        """See `Report.artifact`."""
        real, home = path.resolve(), self._folder.resolve()
        if not real.is_relative_to(home):
            raise ToolError(f"{path} is not in the folder of the run")
        self.artifacts.append(str(real.relative_to(home)))


class _NoDesk:
    """`ports.Desk` where nobody sits: what would have to be asked is refused, and why is said."""

    def file(self, request: Request) -> Request:
        """See `Desk.file`."""
        if request.question:
            raise ToolError("a step that is done on another machine can ask nobody")
        would = ", ".join(map(str, request.accesses))
        raise ToolError(
            f"{request.tool} would {would}: that is not allowed there, and nobody can be asked",
            hint="allow it in settings.yaml there, under permissions.unattended",
        )

    def answer(self, request: str, answer: str) -> None:
        """See `Desk.answer`."""
        raise UserError("nothing was asked here")

    def use(self, request: str) -> None:
        """See `Desk.use`."""
        raise UserError("nothing was asked here")

    def rules(self) -> list[Rule]:
        """See `Desk.rules`."""
        return []

    def remember(self, rules: Sequence[Rule]) -> None:
        """See `Desk.remember`."""
        raise UserError("nothing is remembered here")
