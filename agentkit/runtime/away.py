"""The near end of steps that are done on another machine.

What travels is the act alone: the question to a model, the call of a tool.  That it was allowed,
that it began, what came of it and how often it is tried again stays here, and so do all records.
Texts and names that come back are data: a file goes nowhere but into the run's folder, and what
does not have the digest that it was announced with is not taken.  The folder there was a copy, so
what was done in it is brought back as from any copy: all of it or, where somebody has changed the
same here meanwhile, nothing.
"""

from __future__ import annotations

import stat
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from agentkit.cancel import CancelToken
from agentkit.cluster import Digests, FileFacts, contents
from agentkit.errors import (
    AgentkitError,
    Cancelled,
    MachineError,
    ToolError,
    ToolRetry,
    WorkerLost,
    human_bytes,
)
from agentkit.jobs import Apart
from agentkit.messages import ChatRequest, Delta, Message, ToolSchema
from agentkit.ports import Work, Worker
from agentkit.records import STORED
from agentkit.runtime import orders
from agentkit.sandbox.apart import Copy, Sent, looked_at
from agentkit.sandbox.work import Contents
from agentkit.toolbox import Tool
from agentkit.toolbox.context import CallContext
from agentkit.toolbox.files import written
from agentkit.toolbox.grants import Grants
from agentkit.toolbox.output import FOLDER as PAGES
from agentkit.toolbox.paths import full_path, real_path
from agentkit.toolbox.plain import plain, readable
from agentkit.workflow.beside import NOT_KEPT, conflict
from agentkit.workflow.steps.scope import AwayApart
from agentkit.workflow.steps.script import TOOL as SCRIPT

DIGESTS = Digests()
"""Of files of this machine: a recording is read once, however many steps it is sent for."""


@dataclass(frozen=True)
class There:
    """`workflow.steps.scope.Place` on another machine, while a step has its place there.

    `largest` are the bytes of files that may travel for one call, each way.
    """

    worker: Worker
    cancel: CancelToken
    largest: int

    def chat(self, name: str | None = None) -> AwayChat:
        """See `Place.chat`."""
        facts: orders.ModelFacts = _answer(self.worker, orders.AboutModel(name), self.cancel)
        return AwayChat(self.worker, facts)

    @property
    def away(self) -> AwayApart:
        """See `Place.away`."""
        return self._call

    def _call(
        self,
        apart: Apart,
        tool: Tool,
        given: Mapping[str, Any],
        grants: Grants,
        context: CallContext,
    ) -> Any:
        parcel = _packed(tool, given, context)
        if parcel.size > self.largest:
            raise _too_large("would travel to", self.worker.machine, parcel.size, self.largest)
        self.worker.send(parcel.sources, context.cancel)
        order = orders.Call(
            tool.name,
            tool.parameters.json_schema,
            tool is SCRIPT,
            parcel.arguments,
            tuple(parcel.inputs),
            tuple(orders.Shipped(f.path, f.sha256, f.executable) for f in parcel.folder.values()),
            grants.reachable,
        )
        warnings: list[str] = []
        with self.worker.work(order, context.cancel) as work:
            for said in work.told():
                match said:
                    case orders.Progressed(done, total, unit):
                        context.report.progress(done, total, readable(unit))
                    case orders.Warned(text):
                        warnings.append(text)
            called: orders.Called = _value(self.worker, work)
            conflicts = self._fetch(called, work, parcel, apart, context)
        ours = _Names.of(called, context.folder, parcel.origins)
        for text in warnings:
            context.warn(readable(ours.text(text)))
        if called.error is not None:
            context.cancel.check()  # it knows better why
            called.error.message = readable(ours.text(called.error.message))
            if conflicts:
                context.warn(NOT_KEPT.format(conflict(apart.name, conflicts)))
            raise _on(self.worker.machine, called.error)
        if conflicts:
            raise conflict(apart.name, conflicts)
        return ours.value(plain(called.value))

    def _fetch(
        self,
        called: orders.Called,
        work: Work,
        parcel: _Parcel,
        apart: Apart,
        context: CallContext,
    ) -> Mapping[str, str]:
        """The folder of the run becomes what it is there; or not, for these paths are in conflict
        with who has changed them here.
        """
        size = sum(file.size for file in called.changed)
        if size > self.largest:
            raise _too_large("would come back from", self.worker.machine, size, self.largest)
        if called.changed or called.removed:
            with parcel.sent.received(apart.place) as copy:
                changed = [_fetched(file, work, copy) for file in called.changed]
                left = parcel.sent.left(changed, called.removed)
                conflicts = copy.bring_back(left, apart, context.cancel)
            if conflicts:
                return conflicts
        for name in called.artifacts:
            context.report.artifact(context.folder / name, context.folder)
        return {}


def _fetched(file: orders.Changed, work: Work, copy: Copy) -> str:
    """A file, put into a folder of its own; its name there."""
    name = str(PurePosixPath(file.path))
    was = copy.base.stamps.get(name)
    with written(copy.path, name, executable=file.executable) as target:
        work.fetch(file.place, file.sha256, file.size, target)
    if was is not None and stat.S_ISREG(was.mode) and file.executable == bool(was.mode & 0o100):
        (copy.path / name).chmod(stat.S_IMODE(was.mode))  # it leaves its permissions
    return name


# -- models ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class AwayChat:
    """`ports.ChatModel` on another machine."""

    worker: Worker
    facts: orders.ModelFacts

    @property
    def name(self) -> str:
        """See `ChatModel.name`."""
        return self.facts.name

    @property
    def context_tokens(self) -> int:
        """See `ChatModel.context_tokens`."""
        return self.facts.context_tokens

    def count_tokens(self, messages: Sequence[Message], tools: Sequence[ToolSchema] = ()) -> int:
        """See `ChatModel.count_tokens`."""
        order = orders.Count(self.name, tuple(messages), tuple(tools))
        return int(_answer(self.worker, order, CancelToken()))

    def stream(self, request: ChatRequest, cancel: CancelToken | None = None) -> Iterator[Delta]:
        """See `ChatModel.stream`."""
        with self.worker.work(orders.Ask(self.name, request), cancel or CancelToken()) as work:
            yield from work.told()
            _value(self.worker, work)

    def warm(self, messages: Sequence[Message], tools: Sequence[ToolSchema] = ()) -> None:
        """See `ChatModel.warm`."""
        order = orders.Warm(self.name, tuple(messages), tuple(tools))
        _answer(self.worker, order, CancelToken())

    def close(self) -> None:
        """See `ChatModel.close`: the model belongs to its machine."""


def _answer(worker: Worker, order: orders.Order, cancel: CancelToken) -> Any:
    """What comes of work that tells nothing meanwhile."""
    with worker.work(order, cancel) as work:
        return _value(worker, work)


def _value(worker: Worker, work: Work) -> Any:
    """What came of it.  Raises what went wrong there."""
    try:
        return work.value
    except (Cancelled, WorkerLost):
        raise
    except AgentkitError as error:
        raise _on(worker.machine, error) from None


def _on(machine: str, error: AgentkitError) -> AgentkitError:
    """An error of another machine, which says so: the same command here would mend nothing."""
    error.message = f"{error.message} (on {machine})"
    error.args = (error.message,)
    error.hint = error.hint and f"on {machine}: {error.hint}"
    return error


# -- what a call takes with it ---------------------------------------------------------------------


@dataclass
class _Parcel:
    """A call and its files: `sources` by digest, `origins` of its inputs in their order."""

    arguments: dict[str, Any]
    folder: Mapping[str, FileFacts]
    sent: Sent
    inputs: list[orders.Input] = field(default_factory=list)
    sources: dict[str, Path] = field(default_factory=dict)
    origins: list[Path] = field(default_factory=list)
    size: int = 0

    def add(self, facts: FileFacts, source: Path) -> orders.Shipped:
        """A file that goes with it."""
        self.size += facts.size if facts.sha256 not in self.sources else 0
        self.sources[facts.sha256] = source
        return orders.Shipped(facts.path, facts.sha256, facts.executable)


def _packed(tool: Tool, given: Mapping[str, Any], context: CallContext) -> _Parcel:
    """A call with all that it names: paths in the folder of the run are relative from now on."""
    home = real_path(context.folder)
    base = looked_at(home, context.cancel)  # before: what changes while it is read has changed
    try:
        inside = {
            name: facts
            for name, facts in contents(home, DIGESTS).items()
            if Path(name).parts[0] not in (PAGES, STORED)  # results, kept for this machine
        }
        parcel = _Parcel(dict(given), inside, Sent(home, _among(base, inside)))
        for name, facts in inside.items():
            parcel.add(facts, home / name)
        for argument, effect in tool.touches.items():
            if effect in ("reads", "writes") and given.get(argument) is not None:
                value = given[argument]
                if not isinstance(value, list):
                    parcel.arguments[argument] = _path(
                        parcel, (argument, None), value, effect, home
                    )
                    continue
                parcel.arguments[argument] = [
                    _path(parcel, (argument, at), one, effect, home) for at, one in enumerate(value)
                ]
    except OSError as error:
        raise MachineError(f"{error.filename} cannot be sent: {error.strerror}") from None
    return parcel


def _among(base: Contents, names: Collection[str]) -> Contents:
    """Files that are sent, and folders: what else is here nobody there knows of."""
    known = {
        path: stamp
        for path, stamp in base.stamps.items()
        if path in names or stat.S_ISDIR(stamp.mode)
    }
    return replace(base, stamps=known)


def _path(
    parcel: _Parcel,
    place: tuple[str, int | None],
    value: Any,
    effect: str,
    home: Path,
) -> str:
    """What stands for a path in the arguments that travel."""
    real = real_path(full_path(home, value))
    if real.is_relative_to(home):
        return str(real.relative_to(home))
    if effect == "writes":
        raise ToolError(
            f"{str(value)!r} is not in the folder of the run, and a step that is done on another "
            "machine writes nowhere else",
            hint="write it in a step without this queue",
        )
    if real.is_dir():
        files = [(facts, real / name) for name, facts in contents(real, DIGESTS).items()]
    elif real.is_file():
        sha256, about = DIGESTS.of(real)
        files = [(FileFacts("", sha256, about.st_size), real)]
    else:
        raise ToolRetry(f"there is no file {str(value)!r}")
    shipped = tuple(parcel.add(facts, source) for facts, source in files)
    parcel.inputs.append(orders.Input(*place, real.name, shipped))
    parcel.origins.append(real)
    return ""


def _too_large(what: str, machine: str, size: int, largest: int) -> ToolError:
    return ToolError(
        f"{human_bytes(size)} of files {what} {machine}, and {human_bytes(largest)} may",
        hint="raise cluster.largest in settings, or leave the queue out of this step",
    )


# -- what comes back -------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Names:
    """Paths of the other machine, and what they are called here."""

    pairs: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, called: orders.Called, folder: Path, origins: Sequence[Path]) -> _Names:
        inputs = zip(called.inputs, map(str, origins), strict=False)
        return cls(((called.root, str(folder)), *inputs))

    def text(self, text: str) -> str:
        """A text with our names in it."""
        for theirs, ours in self.pairs:
            if theirs:
                text = text.replace(theirs, ours)
        return text

    def value(self, value: Any) -> Any:
        """Data with our names in it."""
        match value:
            case str():
                return self.text(value)
            case list():
                return [self.value(one) for one in value]
            case dict():
                return {key: self.value(one) for key, one in value.items()}
        return value
