"""What is to become of a run, said from outside: it ends, hears something, does steps again.

Whoever says it need not be the process that carries the run out.  A run that is at work finds a
letter; for one that is not, the journal is changed, with its lease taken meanwhile.  A run that
begins and ends by itself needs nothing of this room, and does not load it.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from agentkit.cancel import CancelToken
from agentkit.errors import UnknownName, UserError
from agentkit.events import RunFinished
from agentkit.letters import Letter, LetterKind
from agentkit.messages import Usage
from agentkit.permissions import Request
from agentkit.records import RunRecord
from agentkit.runtime.held import held
from agentkit.values import dataclass

if TYPE_CHECKING:
    from agentkit.journal import Journal
    from agentkit.workflow.again import Told
    from agentkit.workflow.load import LoadedWorkflow


@dataclass(frozen=True, slots=True)
class Control:
    """That of the runs of one journal."""

    journal: Journal

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

    def post(self, run: str, kind: LetterKind, text: str = "") -> None:
        """Say something to a run that is at work.  Raises `UserError` for one that is over."""
        record = self.journal.run(run)
        _check_listens(record)
        if kind == "pause" and record.status == "parked":
            hint = f"agentkit runs resume {run}"
            raise UserError(f"the run {run} waits already: {record.error}", hint=hint)
        self.journal.mailbox.post(run, Letter(kind, text))

    # -- what it waits for, and what its agents have in hand ---------------------------------------

    def tasks(self, run: str) -> list[tuple[str, str, str]]:
        """Id, status and text of all tasks of the agents of a run."""
        from agentkit.agent.state import rebuilt

        agents = {(event.step, event.key): None for event in self.journal.agent_events(run)}
        return [
            (task.id, task.status, task.text)
            for step, key in agents
            for task in rebuilt(self.journal.told(run, step, key)).tasks.tasks
        ]

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

    # -- steps that are to be done again -----------------------------------------------------------

    def forget(
        self,
        record: RunRecord,
        workflow: LoadedWorkflow,
        start: str | None = None,
        *,
        failed: bool = False,
    ) -> dict[str, str]:
        """Let steps be done again, with the runs that belong to them; why, by step.

        Raises `UnknownName` for a step that is none, and what `told` raises.
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
        with held(self.journal.leases, record.id, CancelToken()):  # or another would miss its steps
            self.journal.forget(record.id, {name: one.keys for name, one in found.items()})
            self.journal.remove(f"{record.id}.{name}" for name, one in found.items() if one.anew)
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


def _check_listens(record: RunRecord) -> None:
    """Raise `UserError` for a run that is over."""
    if record.status in ("succeeded", "failed", "cancelled", "skipped"):
        hint = f"agentkit runs resume {record.id}" if record.status != "succeeded" else None
        said = f"the run {record.id} is over ({record.status}): nobody listens"
        raise UserError(said, hint=hint)
