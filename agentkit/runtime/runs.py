"""Runs of workflows: carried out, gone on with, spoken to.

One process at a time holds a run, and the journal hears of everything first: what it has on record
is all that it takes to go on.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from agentkit.cancel import CancelToken
from agentkit.errors import UserError
from agentkit.events import Event
from agentkit.letters import Letter, LetterKind
from agentkit.permissions import Profile
from agentkit.ports import ChatModel, Embedder
from agentkit.records import AgentRecord, RunRecord
from agentkit.runtime import permits
from agentkit.runtime.held import held
from agentkit.runtime.listening import cancelled_by_letter
from agentkit.toolbox.approvals import Approver, nobody
from agentkit.toolbox.caller import Caller

if TYPE_CHECKING:
    from agentkit.agent.run import Part
    from agentkit.journal import Journal
    from agentkit.workflow.load import LoadedWorkflow

Subscriber = Callable[[Event], None]

Done = Mapping[tuple[str, str], Any]
"""The outputs of what is finished of a run, by step and key of the item."""


class How(TypedDict, total=False):
    """How a run is carried out.

    `handed` False: the inputs were chosen by a program, not by a person, and the files among them
    are not readable for that.  `work` is a folder of a person's in which the run works: it may read
    and change what is there.  `without` leaves parts of agents out, for comparison.
    """

    profile: Profile
    approver: Approver
    handed: bool
    work: Path | None
    without: frozenset[Part]
    cancel: CancelToken | None
    subscribers: tuple[Subscriber, ...]


def new_run_id() -> str:
    """Sorts by time, can be typed, and does not collide: `20261122-101530-k3f9`."""
    alphabet = "abcdefghjkmnpqrstuvwxyz23456789"
    tail = "".join(secrets.choice(alphabet) for _ in range(4))
    return f"{datetime.now():%Y%m%d-%H%M%S}-{tail}"


@dataclass(frozen=True, slots=True)
class Runs:
    """Those of one journal; for each it is the `workflow.steps.scope.Services`."""

    folder: Path
    journal: Journal
    caller: Callable[..., Caller]
    chat: Callable[..., ChatModel]
    embedder: Callable[..., Embedder]

    def execute(
        self,
        workflow: LoadedWorkflow,
        inputs: Mapping[str, Any],
        run: str,
        how: How,
        done: Done | None = None,
    ) -> dict[str, Any]:
        """Carry a run out to its end; with `done`, go on with it.  Raises what the run raises."""
        from agentkit.workflow.run import WorkflowRun

        folder, cancel = self.folder / run, how.get("cancel") or CancelToken()
        caller = self.caller(
            run,
            profile=how.get("profile", "interactive"),
            approver=how.get("approver", nobody),
            handed=permits.handed(workflow, inputs) if how.get("handed", True) else (),
            narrowings=[permits.narrowing(workflow)],
            work=how.get("work"),
        )
        execution = WorkflowRun(
            workflow,
            inputs,
            run,
            folder,
            self,
            caller,
            self.publisher(how.get("subscribers", ())),
            cancel,
            done,
            how.get("without", frozenset()),
        )
        with held(folder, run), cancelled_by_letter(self.journal.mailbox, run, cancel):
            return execution.execute()

    def begun(self, name: str) -> tuple[RunRecord, Done]:
        """A run that can be gone on with, and what of it is finished.

        Raises `UnknownName`, and `UserError` for one that has come to its end.
        """
        record = self.journal.run(name)
        if record.status == "succeeded" or not record.source:
            what = "a single tool call" if not record.source else record.status
            hint = f"agentkit runs show {record.id}"
            raise UserError(f"the run {record.id} is {what}: there is nothing to resume", hint=hint)
        done = {
            (step.step, step.key): step.outputs
            for step in self.journal.steps(record.id)
            if step.status in ("succeeded", "skipped")
        }
        return record, done

    def publisher(self, subscribers: tuple[Subscriber, ...]) -> Subscriber:
        """Tells the journal first, then the others."""
        listeners = (self.journal.record, *subscribers)

        def publish(event: Event) -> None:
            for listener in listeners:
                listener(event)

        return publish

    # -- what agents in a run have on record, and are told ---------------------------------------

    def past(self, run: str, step: str, item: int | None) -> AgentRecord:
        """See `Services.past`."""
        told = self.journal.told(run, step, item)
        calls = self.journal.calls(run) if told else []
        return AgentRecord(told, {call.id: (call.status, call.outcome) for call in calls})

    def tasks(self, run: str) -> list[tuple[str, str, str]]:
        """Id, status and text of all tasks of the agents of a run."""
        from agentkit.agent.state import rebuilt

        agents = {(event.step, event.item): None for event in self.journal.agent_events(run)}
        return [
            (task.id, task.status, task.text)
            for step, item in agents
            for task in rebuilt(self.journal.told(run, step, item)).tasks.tasks
        ]

    def post(self, run: str, kind: LetterKind, text: str = "") -> None:
        """Say something to a run that is at work.  Raises `UserError` for one that is over."""
        record = self.journal.run(run)
        if record.status in ("succeeded", "failed", "cancelled"):
            hint = f"agentkit runs resume {run}" if record.status != "succeeded" else None
            raise UserError(f"the run {run} is over ({record.status}): nobody listens", hint=hint)
        self.journal.mailbox.post(run, Letter(kind, text))

    def letters(self, run: str) -> Iterable[Letter]:
        """See `Services.letters`."""
        return self.journal.mailbox.take(run, "note", "add", "drop", "order", "pause")
