"""Runs of workflows: carried out, and gone on with.

One process at a time holds a run, and the journal hears of everything first: what it has on record
is all that it takes to go on.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentkit.cancel import CancelToken
from agentkit.config import Settings
from agentkit.errors import HasBegun, UnknownName, UserError
from agentkit.letters import Letter
from agentkit.ports import ChatModel, Embedder, Workers
from agentkit.records import Later, Past, RunRecord, Settled, Stored
from agentkit.runtime import permits
from agentkit.runtime.agents import COMMAND
from agentkit.runtime.held import held
from agentkit.runtime.library import Library
from agentkit.runtime.listening import cancelled_by_letter
from agentkit.runtime.places import Places
from agentkit.runtime.publishing import publisher
from agentkit.runtime.secrets import Masks, resolved
from agentkit.runtime.services import RunServices
from agentkit.runtime.spilled import Spill
from agentkit.runtime.terms import How, granted, on_record
from agentkit.toolbox.approvals import nobody
from agentkit.toolbox.caller import Caller
from agentkit.toolbox.grants import Narrowing
from agentkit.values import dataclass

if TYPE_CHECKING:
    from agentkit.journal import Journal
    from agentkit.workflow.load import LoadedWorkflow


def new_run_id(letters: int = 4) -> str:
    """Sorts by time, can be typed, and does not collide: `20261122-101530-k3f9`.

    Where thousands begin in one second it needs more letters.
    """
    alphabet = "abcdefghjkmnpqrstuvwxyz23456789"
    tail = "".join(secrets.choice(alphabet) for _ in range(letters))
    return f"{datetime.now():%Y%m%d-%H%M%S}-{tail}"


@dataclass(frozen=True, slots=True)
class Runs:
    """Those of one journal."""

    settings: Settings
    journal: Journal
    caller: Callable[..., Caller]
    chat: Callable[..., ChatModel]
    embedder: Callable[..., Embedder]
    beginning: Callable[[str, int, str | None], str]
    library: Library
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
        past: Callable[[], Past] | None = None,
        within: RunServices | None = None,
        *,
        edited: bool = False,
        again: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """Carry a run out to its end, or go on with it.  Raises `HasBegun`, and what the run does.

        `past` tells what of it is finished, and is asked when no other process can go on with it.
        `within` is what the run borrows to which this one belongs: it may read what that one may,
        and is allowed no more.
        """
        from agentkit.runtime.groups import admitted
        from agentkit.workflow import beside
        from agentkit.workflow.run import WorkflowRun

        held_secrets = resolved(workflow.spec.secrets, self.settings)
        own = [name for name, one in workflow.spec.inputs.items() if one.type == "secret"]
        hidden = (*held_secrets.values(), *(inputs[name] for name in own if inputs.get(name)))
        hidden += () if within is None else within.hidden
        masks = Masks.of(hidden)
        inputs = masks.inputs(inputs, own)
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
        caller = self.caller(
            run,
            profile=how.get("profile", "interactive"),
            approver=how.get("approver", nobody),
            handed=readable,
            narrowings=narrowings,
            work=how.get("work"),
            here=how.get("here"),
            hide=masks.hide,
        )

        def ask_to_end(other: str) -> None:
            self.journal.mailbox.post(other, Letter("cancel", ""))

        heard = nullcontext() if within else cancelled_by_letter(self.journal.mailbox, run, cancel)
        facts: dict[str, object] = {"inputs": dict(inputs)}
        with masks.errors(), held(self.journal.leases, run, cancel) as lease, heard:
            if past is None and self.journal.has(run):
                raise HasBegun(run)  # by another scheduler, or the same request came twice
            execution = WorkflowRun(
                workflow,
                inputs,
                run,
                folder,
                RunServices(self, run, how, workflow.files, readable, narrowings, hidden),
                caller,
                publisher(self.journal, self.spill, how.get("subscribers", ()), lease, hidden),
                cancel,
                past and past(),
                how.get("without", frozenset()),
                "" if within is None else within.run,
                held_secrets,
                admitted(workflow, facts, run, self.places, cancel, ask_to_end),
                edited,
                on_record(how),
                again,
            )
            copies = beside.place(folder)
            self._clear(copies)
            try:
                outputs: dict[str, Any] = masks.hide(execution.execute())
                return outputs
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
        from agentkit.runtime.control import Control
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
            again = Control(self.journal).forget(record, workflow)
        elif record.status == "succeeded":
            outputs = record.outputs or {}
            return {name: self.spill.restored(one, run) for name, one in outputs.items()}
        else:
            workflow = self.kept(record)
        past = partial(self.past, record, workflow)
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
            return self.library.ready(name)
        return self.library.ready_again(kept.text, kept.source, {**files, **kept.files})

    # -- going on with one -----------------------------------------------------------------------

    def resume(self, name: str, given: Mapping[str, str] | None, how: How) -> dict[str, Any]:
        """Go on with what is not finished.  Raises what the run raises.

        `given` are the inputs that are secret: no record has them.  Raises `UserError` for a run
        that cannot be resumed.
        """
        record = self.begun(name)
        if record.status == "succeeded":
            hint = f"agentkit runs show {record.id}"
            said = f"the run {record.id} is succeeded: there is nothing to resume"
            raise UserError(said, hint=hint)
        return self._go_on(record, self.kept(record), given, how)

    def retry(
        self,
        name: str,
        step: str | None,
        given: Mapping[str, str] | None,
        how: How,
        *,
        edited: bool,
        failed: bool,
    ) -> dict[str, Any]:
        """Go on, and do steps again: see `Runtime.retry`."""
        from agentkit.runtime.control import Control

        record = self.begun(name)
        workflow = self.library.ready(record.source) if edited else self.kept(record)
        again = Control(self.journal).forget(record, workflow, step, failed=failed)
        return self._go_on(record, workflow, given, how, edited=edited, again=again)

    def _go_on(
        self,
        record: RunRecord,
        workflow: LoadedWorkflow,
        given: Mapping[str, str] | None,
        how: How,
        *,
        edited: bool = False,
        again: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        from agentkit.workflow.inputs import added, secret_again

        how = granted(self.journal.terms(record.id), how)
        if record.source == COMMAND and record.inputs.get("folder"):
            how["work"] = Path(record.inputs["folder"])  # a person gave it when the run began
        inputs = {**record.inputs, **secret_again(workflow.spec, record.inputs, given or {})}
        inputs |= added(workflow.spec, inputs)
        if record.finished is not None:  # nobody took what came too late for it
            self.journal.mailbox.discard(record.id, "cancel", "pause")

        def past() -> Past:
            if (now := self.journal.run(record.id)).status != record.status:
                hint = f"agentkit runs show {record.id}"
                raise UserError(f"the run {record.id} is {now.status} meanwhile", hint=hint)
            return self.past(record, workflow)

        return self.execute(workflow, inputs, record.id, how, past, edited=edited, again=again)

    def kept(self, record: RunRecord) -> LoadedWorkflow:
        """The workflow that a run began with."""
        definition, files = self.journal.definition(record.id), self.journal.files(record.id)
        return self.library.ready_again(definition, record.source, files)

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
