"""Runs of workflows: carried out, gone on with, spoken to.

One process at a time holds a run, and the journal hears of everything first: what it has on record
is all that it takes to go on.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from agentkit.cancel import CancelToken
from agentkit.config import Settings
from agentkit.errors import UnknownName, UserError
from agentkit.events import Event, RunFinished
from agentkit.letters import Letter, LetterKind
from agentkit.messages import Usage
from agentkit.permissions import Profile, Request
from agentkit.ports import ChatModel, Embedder, Workers
from agentkit.records import Later, Past, RunRecord, Settled, Stored
from agentkit.runtime import permits
from agentkit.runtime.held import held
from agentkit.runtime.listening import cancelled_by_letter
from agentkit.runtime.places import Places
from agentkit.runtime.secrets import Masks, resolved
from agentkit.runtime.services import RunServices
from agentkit.runtime.spilled import Spill
from agentkit.toolbox.approvals import Approver, nobody
from agentkit.toolbox.caller import Caller
from agentkit.toolbox.grants import Narrowing
from agentkit.values import dataclass

if TYPE_CHECKING:
    from agentkit.agent.run import Part
    from agentkit.journal import Journal
    from agentkit.journal.leases import Lease
    from agentkit.workflow.again import Told
    from agentkit.workflow.load import LoadedWorkflow
    from agentkit.workflow.report import Publish

Subscriber = Callable[[Event], None]


class How(TypedDict, total=False):
    """How a run is carried out.

    `by` is the name of a token, if it is done for a program and not for the person whose home this
    is.  `handed` False: the inputs were chosen by a program, not by a person, and the files among
    them are not readable for that.  `here` is the folder in which the person is, if that is not the
    one of this process; `looked_into` one in which a person was when the run began.  `work` is a
    folder of a person's in which the run works: it may read and change what is there.  `without`
    leaves parts of agents out, for comparison.
    """

    profile: Profile
    approver: Approver
    by: str
    handed: bool
    here: Path
    looked_into: Path
    work: Path | None
    without: frozenset[Part]
    cancel: CancelToken | None
    subscribers: tuple[Subscriber, ...]


def new_run_id(letters: int = 4) -> str:
    """Sorts by time, can be typed, and does not collide: `20261122-101530-k3f9`.

    Where thousands begin in one second it needs more letters.
    """
    alphabet = "abcdefghjkmnpqrstuvwxyz23456789"
    tail = "".join(secrets.choice(alphabet) for _ in range(letters))
    return f"{datetime.now():%Y%m%d-%H%M%S}-{tail}"


@dataclass(frozen=True, slots=True)
class Runs:
    """Those of one journal.

    `load` finds a workflow by name, `reload` makes one of what a run keeps of its own: text,
    source and files.
    """

    settings: Settings
    journal: Journal
    caller: Callable[..., Caller]
    chat: Callable[..., ChatModel]
    embedder: Callable[..., Embedder]
    beginning: Callable[[str, int, str | None], str]
    load: Callable[[str], LoadedWorkflow]
    reload: Callable[[str, str, Mapping[str, str]], LoadedWorkflow]
    workers: Callable[[], Workers]

    @property
    def folder(self) -> Path:
        """Where each run has its own."""
        return self.settings.runs_folder

    @property
    def spill(self) -> Spill:
        """What is too large for the journal."""
        return Spill(self.folder)

    @property
    def places(self) -> Places:
        """Those of queues and groups."""
        return Places(self.settings.home / "places")

    @property
    def queues(self) -> Mapping[str, int]:
        """How many places each queue has."""
        return self.settings.queues

    def execute(
        self,
        workflow: LoadedWorkflow,
        inputs: Mapping[str, Any],
        run: str,
        how: How,
        past: Past | None = None,
        within: RunServices | None = None,
        *,
        edited: bool = False,
        again: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """Carry a run out to its end; with `past`, go on with it.  Raises what the run raises.

        `within` is what the run borrows to which this one belongs: it may read what that one may,
        and is allowed no more.
        """
        from agentkit.runtime.groups import admitted
        from agentkit.workflow import beside
        from agentkit.workflow.run import WorkflowRun

        folder, cancel = self.folder / run, how.get("cancel") or CancelToken()
        fire = None if within is not None else self.journal.fires.of(run)
        readable: tuple[Path, ...] = ()
        narrowings: tuple[Narrowing, ...] = (permits.narrowing(workflow, how.get("here")),)
        if within is not None:
            readable += (*within.readable, self.folder / within.run)
            narrowings += within.narrowings
        elif fire is not None:
            readable += tuple(map(Path, fire.files))
        elif how.get("handed", True):
            readable += tuple(permits.handed(workflow, inputs, how.get("here")))
        if how.get("looked_into") is not None:
            readable += (how["looked_into"],)
        held_secrets = resolved(workflow.spec.secrets, self.settings)
        hidden = (*held_secrets.values(), *_secret_inputs(workflow, inputs))
        hidden += () if within is None else within.hidden
        caller = self.caller(
            run,
            profile=how.get("profile", "interactive"),
            approver=how.get("approver", nobody),
            handed=readable,
            narrowings=narrowings,
            work=how.get("work"),
            here=how.get("here"),
            hide=Masks.of(hidden).hide,
        )

        def ask_to_end(other: str) -> None:
            self.journal.mailbox.post(other, Letter("cancel", ""))

        heard = nullcontext() if within else cancelled_by_letter(self.journal.mailbox, run, cancel)
        facts: dict[str, object] = {"inputs": dict(inputs)}
        with held(self.journal.leases, run, cancel) as lease, heard:
            if fire is not None and past is None and self.journal.has(run):
                raise UserError(f"the run {run} has begun already")  # by another scheduler
            execution = WorkflowRun(
                workflow,
                inputs,
                run,
                folder,
                RunServices(self, run, how, workflow.files, readable, narrowings, hidden),
                caller,
                self.publisher(how.get("subscribers", ()), lease, hidden),
                cancel,
                past,
                how.get("without", frozenset()),
                "" if within is None else within.run,
                held_secrets,
                admitted(workflow, facts, run, self.places, cancel, ask_to_end),
                edited,
                _terms(how),
                again,
            )
            copies = beside.place(folder)
            self._clear(copies)
            try:
                return execution.execute()
            finally:
                self._clear(copies)

    def _clear(self, copies: Path) -> None:
        """What is left of programs of a process that died."""
        if copies.exists():
            from agentkit.sandbox.apart import clear

            clear(copies)

    def child(
        self,
        name: str,
        given: Mapping[str, Any],
        run: str,
        within: RunServices,
        cancel: CancelToken,
    ) -> Mapping[str, Any]:
        """A run that belongs to another one: begun, gone on with, or over already."""
        from agentkit.workflow.inputs import bind

        how: How = {**within.how, "cancel": cancel, "work": None}
        try:
            record = self.journal.run(run)
        except UnknownName:
            record = None
        if record is None or record.id != run:
            workflow = self._used(name, within.files)
            return self.execute(workflow, bind(workflow.spec, given), run, how, within=within)
        edited, again = self._is_other(record, name, within.files), None
        if edited:
            workflow = self._used(name, within.files)
            again = self.forget(record, workflow)
        elif record.status == "succeeded":
            outputs = record.outputs or {}
            return {name: self.spill.restored(one, run) for name, one in outputs.items()}
        else:
            workflow = self.kept(record)
        past = self.past(record, workflow)
        inputs = bind(workflow.spec, given)  # those on record have no secrets
        return self.execute(workflow, inputs, run, how, past, within, edited=edited, again=again)

    def _is_other(self, record: RunRecord, name: str, files: Mapping[str, str]) -> bool:
        """Whether the run to which this one belongs goes on with another text of its workflow."""
        from agentkit.workflow.others import Kept

        kept, own = Kept.among(files, name), self.journal.files(record.id)
        if kept is None:
            return False
        now = {**files, **kept.files}
        return kept.text != self.journal.definition(record.id) or any(
            now.get(file) != text for file, text in own.items()
        )

    def _used(self, name: str, files: Mapping[str, str]) -> LoadedWorkflow:
        """A workflow as a run keeps it that uses it."""
        from agentkit.workflow.others import Kept

        kept = Kept.among(files, name)
        if kept is None:  # the run is of an older agentkit
            return self.load(name)
        return self.reload(kept.text, kept.source, {**files, **kept.files})

    def kept(self, record: RunRecord) -> LoadedWorkflow:
        """The workflow that a run began with."""
        definition, files = self.journal.definition(record.id), self.journal.files(record.id)
        return self.reload(definition, record.source, files)

    def past(self, record: RunRecord, workflow: LoadedWorkflow) -> Past:
        """What of a run is finished; what followed its failure follows the next one again."""
        from agentkit.workflow.spec.workflow import with_inner

        past = self.journal.past(record.id)
        settled = {
            place: self._later(record.id, place[0], done) for place, done in past.settled.items()
        }
        past = replace(past, settled=settled)
        if record.status not in ("failed", "cancelled"):
            return past
        spec = workflow.spec
        again = {one.id for step in (*spec.on_failure, *spec.finally_) for one in with_inner(step)}
        kept = {place: done for place, done in past.settled.items() if place[0] not in again}
        return replace(past, settled=kept)

    def _later(self, run: str, step: str, done: Settled) -> Settled:
        if not isinstance(done.outputs, Stored):
            return done
        return replace(done, outputs=Later(partial(self.spill.restored, done.outputs, run, step)))

    def begun(self, name: str) -> RunRecord:
        """A run that can be done again, or gone on with.

        Raises `UnknownName`, and `UserError` for one that cannot.
        """
        record = self.journal.run(name)
        if record.status == "skipped" or not record.source:
            what = "a single tool call" if not record.source else record.status
            hint = f"agentkit runs show {record.id}"
            raise UserError(f"the run {record.id} is {what}: there is nothing to resume", hint=hint)
        if record.parent:
            hint = f"agentkit runs resume {record.parent.split('.')[0]}"
            raise UserError(f"the run {record.id} belongs to {record.parent}", hint=hint)
        return record

    def publisher(
        self,
        subscribers: tuple[Subscriber, ...],
        lease: Lease | None = None,
        hidden: Iterable[str] = (),
    ) -> Publish:
        """Tells the journal first, then the others; nobody is told what is `hidden`."""
        masks, waiting = Masks.of(hidden), list[Event]()

        def publish(event: Event, more: bool = False) -> None:
            waiting.append(masks.event(event))
            if more:
                return
            told, waiting[:] = [(one, self.spill.kept(one)) for one in waiting], []
            recorded = [one for _, kept in told for one in kept]
            if len(recorded) == 1:
                self.journal.record(recorded[0], lease)
            else:
                self.journal.record_all(recorded, lease)
            for whole, (*files, _) in told:
                for one in (*files, whole):
                    for listener in subscribers:
                        listener(one)

        return publish

    # -- what is to become of runs ---------------------------------------------------------------

    def forget(
        self,
        record: RunRecord,
        workflow: LoadedWorkflow,
        start: str | None = None,
        *,
        failed: bool = False,
    ) -> dict[str, str]:
        """Let steps be done again, with the runs that belong to them; why, by step.

        Raises `UnknownName` for a step that is none, and what `Runs.told` raises.
        """
        from agentkit.workflow.again import Told, again
        from agentkit.workflow.plan import following

        if start is not None and not following(workflow.spec.steps, start):
            names = [one.id for one in workflow.spec.every_step()]
            raise UnknownName("step", start, names, hint=f"agentkit runs show {record.id}")
        found = again(
            self.told(record),
            Told(workflow.spec, workflow.files),
            workflow.tools,
            self.journal.past(record.id).settled,
            start=start,
            failed=failed,
        )
        lease = self.journal.leases.take(record.id)  # or another process would miss its steps
        self.journal.forget(record.id, {name: one.keys for name, one in found.items()})
        self.journal.remove(f"{record.id}.{name}" for name, one in found.items() if one.anew)
        self.journal.leases.give_back(lease)
        return {name: one.why for name, one in found.items()}

    def told(self, record: RunRecord) -> Told:
        """What a run has on record of its workflow; nothing else is looked at.

        Raises `UserError` if this version cannot read it.
        """
        from agentkit.workflow.again import Told
        from agentkit.workflow.others import words
        from agentkit.yamlfile import load

        try:
            spec = words(load(self.journal.definition(record.id), record.source))
        except UserError:
            said = f"this version of agentkit cannot read what the run {record.id} began with"
            raise UserError(said, hint=f"begin a new one: agentkit run {record.source}") from None
        return Told(spec, self.journal.files(record.id))

    def cancel(self, run: str) -> None:
        """End a run, in whichever process it is; one that nobody works on is over at once.

        Raises `UserError` for one that is over already.
        """
        record = self.journal.run(run)
        try:
            lease = self.journal.leases.take(record.id)
        except UserError:  # somebody works on it
            return self.post(record.id, "cancel")
        try:
            record = self.journal.run(record.id)
            _check_listens(record)
            usage, seconds = record.usage or Usage(), record.seconds or 0.0
            self.journal.record(
                RunFinished(
                    run=record.id, status="cancelled", outputs={}, seconds=seconds, usage=usage,
                    error="cancelled",
                ),
                lease,
            )  # fmt: skip
        finally:
            self.journal.leases.give_back(lease)

    def remove(self, run: str) -> None:
        """A run with all that it made.  Raises `UserError` for one that is at work."""
        self.journal.leases.give_back(self.journal.leases.take(run))
        self.journal.remove([run])
        for folder in (self.folder / run, *self.folder.glob(f"{run}.*")):
            shutil.rmtree(folder, ignore_errors=True)

    def old(self, age: float, keep: int) -> list[RunRecord]:
        """Runs that ended so many seconds ago, but for the newest of each workflow."""
        kept: dict[str, int] = {}
        found: list[RunRecord] = []
        oldest = datetime.now(UTC) - timedelta(seconds=age)
        for run in self.journal.runs(limit=10_000_000):
            kept[run.workflow] = kept.get(run.workflow, 0) + 1
            ended = run.finished is not None and run.finished < oldest
            if ended and run.status != "parked" and kept[run.workflow] > keep:
                found.append(run)
        return found

    def size(self) -> int:
        """Bytes on disk, of the journal and of what runs made."""
        files = [*self.folder.rglob("*"), *self.settings.home.glob("journal.sqlite*")]
        return sum(file.lstat().st_size for file in files if not file.is_dir())

    def wakes(self) -> list[tuple[str, datetime]]:
        """The parked runs whose questions stand only for a time, and when the first of it is over.

        Whoever goes on with such a run then lets `on_timeout` count; the soonest first.
        """
        parked = {run.id for run in self.journal.runs(limit=10_000_000, status="parked")}
        found: dict[str, datetime] = {}
        for asked in self.journal.desk.requests(open_only=True, limit=10_000_000):
            run = asked.run.split(".")[0]
            patience = self._patience(asked) if run in parked else None
            if patience is not None:
                over = asked.asked + timedelta(seconds=patience)
                found[run] = min(over, found.get(run, over))
        return sorted(found.items(), key=lambda one: one[1])

    def _patience(self, asked: Request) -> float | None:
        """The seconds for which a question stands; None: for ever."""
        try:
            spec = self.told(self.journal.run(asked.run)).spec
        except UserError:
            return None
        steps = (one for one in spec.every_step() if one.id == asked.arguments.get("step"))
        return next((one.approve.timeout for one in steps if one.approve), None)

    # -- what agents in a run have on record, and are told ---------------------------------------

    def tasks(self, run: str) -> list[tuple[str, str, str]]:
        """Id, status and text of all tasks of the agents of a run."""
        from agentkit.agent.state import rebuilt

        agents = {(event.step, event.key): None for event in self.journal.agent_events(run)}
        return [
            (task.id, task.status, task.text)
            for step, key in agents
            for task in rebuilt(self.journal.told(run, step, key)).tasks.tasks
        ]

    def post(self, run: str, kind: LetterKind, text: str = "") -> None:
        """Say something to a run that is at work.  Raises `UserError` for one that is over."""
        record = self.journal.run(run)
        _check_listens(record)
        if kind == "pause" and record.status == "parked":
            hint = f"agentkit runs resume {run}"
            raise UserError(f"the run {run} waits already: {record.error}", hint=hint)
        self.journal.mailbox.post(run, Letter(kind, text))


def _check_listens(record: RunRecord) -> None:
    """Raise `UserError` for a run that is over."""
    if record.status in ("succeeded", "failed", "cancelled", "skipped"):
        hint = f"agentkit runs resume {record.id}" if record.status != "succeeded" else None
        said = f"the run {record.id} is over ({record.status}): nobody listens"
        raise UserError(said, hint=hint)


def _terms(how: How) -> dict[str, Any]:
    """What of it counts as long as the run lasts, whoever goes on with it: see `granted`."""
    attended = how.get("profile", "interactive") == "interactive"
    here = how.get("here") or (Path.cwd() if attended else None)
    return {
        "by": how.get("by", ""),
        "handed": how.get("handed", True),
        "here": None if here is None else str(here),
        "attended": attended,
    }


def granted(terms: Mapping[str, Any], how: How) -> How:
    """How a run goes on: as whoever does, with what was granted to it when it began."""
    how = {**how}
    if terms.get("here"):
        how.setdefault("here", Path(terms["here"]))
        if terms.get("attended") and Path(terms["here"]) != Path("/"):
            how["looked_into"] = Path(terms["here"])
    if "handed" in terms:
        how["handed"] = terms["handed"]
    return how


def _secret_inputs(workflow: LoadedWorkflow, inputs: Mapping[str, Any]) -> list[str]:
    """The values of inputs that nobody is to see."""
    named = [name for name, one in workflow.spec.inputs.items() if one.type == "secret"]
    return [inputs[name] for name in named if inputs.get(name)]
