"""Runs: begun, looked at, spoken to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from agentkit.errors import UserError
from agentkit.events import RunStatus
from agentkit.records import RunDetails, RunRecord
from agentkit.runtime import How, Wish
from agentkit.web.api.bodies import Body, Data
from agentkit.web.api.workflows import known
from agentkit.web.gate import Caller
from agentkit.web.service import Here, Service, Who

router = APIRouter(prefix="/api", tags=["runs"])


class From(Body):
    """Where a request comes from; for the owner alone."""

    here: str | None = None
    """The folder of this machine in which the caller is: paths are relative to it."""
    attended: bool = False
    """A person is there and can be asked, and what is in the folder may be read."""


class RunRequest(From):
    """A workflow to be run."""

    workflow: str
    """Its name; for the owner, also the path of a file."""
    inputs: Data = Field(default_factory=dict)
    id: str | None = Field(None, pattern=r"^[a-z0-9][a-z0-9-]{7,63}$")
    """Chosen by the caller: the same request again, with the same id, begins no second run."""


class AgentRequest(From):
    """An objective for an agent."""

    objective: str = Field(min_length=1)
    work: str | None = None
    """For the owner alone: a folder in which it works, and of which it may change what is there."""
    tools: list[str] | None = None
    model: str | None = None
    budget: dict[str, int] = Field(default_factory=dict)
    checks: list[Data] = Field(default_factory=list)
    strategy: str | Data | None = None
    reflection: bool = True
    memory: bool = True


class GoOn(From):
    """What a run needs to go on: its secret inputs, which are on no record."""

    inputs: dict[str, str] = Field(default_factory=dict)


class Again(GoOn):
    """What of a run is done again: what failed, or a step and all that follows it."""

    step: str | None = None
    edited: bool = False
    """With the workflow as its file says now."""
    failed: bool = False
    """Also what failed and was let pass."""


class Word(Body):
    """Something to be said to a run that is at work."""

    kind: Literal["note", "add", "drop", "order", "pause"]
    text: str = ""


class Begun(BaseModel):
    """A run that is on record."""

    id: str


@router.post("/runs", status_code=201)
def begin(wanted: RunRequest, here: Here, who: Who) -> Begun:
    """Begin a run."""
    how = _how(wanted, who)
    if wanted.id is not None and here.background.knows(wanted.id):
        return Begun(id=wanted.id)
    name = wanted.workflow if who.owner else known(wanted.workflow, here.runtime)
    workflow = here.runtime.workflow(name)
    return Begun(id=here.background.begin(workflow, wanted.inputs, wanted.id, **how))


@router.post("/agents", status_code=201)
def begin_agent(wanted: AgentRequest, here: Here, who: Who) -> Begun:
    """Let an agent work towards an objective."""
    how = _how(wanted, who)
    if wanted.work is not None and not who.owner:
        raise UserError("this token is no person's: leave `work` out")
    folder = None if wanted.work is None else Path(wanted.work)
    about = {"tools": tuple(wanted.tools)} if wanted.tools is not None else {}
    wish = Wish(
        model=wanted.model,
        budget=wanted.budget,
        checks=wanted.checks,
        strategy=wanted.strategy,
        reflection=wanted.reflection,
        memory=wanted.memory,
        **about,
    )
    agent = here.runtime.agent(wish)
    return Begun(id=here.background.pursue(agent, wanted.objective, folder, **how))


@router.get("/runs")
def newest(
    here: Here,
    limit: Annotated[int, Query(ge=1, le=1000)] = 20,
    status: RunStatus | None = None,
) -> list[RunRecord]:
    """The newest runs, newest first."""
    return here.runtime.journal.runs(limit=limit, status=status)


@router.get("/runs/{run}")
def details(run: str, here: Here) -> RunDetails:
    """One run: by its id, a unique beginning of it, or `last`."""
    journal = here.runtime.journal
    found = journal.run(run)
    return RunDetails(
        run=found,
        steps=journal.steps(found.id),
        attempts=journal.attempts(found.id),
        calls=journal.calls(found.id),
        artifacts=journal.artifacts(found.id),
        tasks=here.runtime.tasks(found.id),
    )


@router.post("/runs/{run}/cancel", status_code=202)
def cancel(run: str, here: Here, who: Who) -> Begun:
    """Ask a run to stop."""
    found = _theirs(run, here, who)
    if not here.background.cancel(found):
        here.runtime.cancel(found)
    return Begun(id=found)


@router.post("/runs/{run}/words", status_code=202)
def say(run: str, word: Word, here: Here, who: Who) -> Begun:
    """Say something to the agents of a run."""
    found = _theirs(run, here, who)
    here.runtime.post(found, word.kind, word.text)
    return Begun(id=found)


@router.post("/runs/{run}/resume", status_code=202)
def resume(run: str, wanted: GoOn, here: Here, who: Who) -> Begun:
    """Go on with a run that was parked, failed or cancelled, or whose process died."""
    how = _how(wanted, who)
    return Begun(id=here.background.go_on(_theirs(run, here, who), wanted.inputs, **how))


@router.post("/runs/{run}/retry", status_code=202)
def retry(run: str, wanted: Again, here: Here, who: Who) -> Begun:
    """Do what failed again, or a step and all that follows it."""
    how = _how(wanted, who)
    again = here.background.again(
        _theirs(run, here, who),
        wanted.step,
        wanted.edited,
        wanted.inputs,
        failed=wanted.failed,
        **how,
    )
    return Begun(id=again)


@router.delete("/runs/{run}", status_code=204)
def remove(run: str, here: Here) -> None:
    """Forget a run, and remove what it made."""
    here.runtime.remove(here.runtime.journal.run(run).id)


def _theirs(run: str, here: Service, who: Caller) -> str:
    """The id of a run; other tokens than the owner's have a say in those that tokens began."""
    found = here.runtime.journal.run(run).id
    if not who.owner and not here.runtime.journal.terms(found).get("by"):
        raise UserError(f"the run {found} was begun by a person: it is not this token's")
    return found


def _how(wanted: From, who: Caller) -> How:
    """What a token grants: only the owner is a person in front of the run."""
    if (wanted.attended or wanted.here is not None) and not who.owner:
        raise UserError("this token is no person's: leave `here` and `attended` out")
    how: How = {"profile": "interactive" if wanted.attended else "unattended"}
    if not who.owner:  # what a program names among the inputs nobody has handed over
        how |= {"handed": False, "by": who.name}
    if wanted.here is not None:
        how["here"] = Path(wanted.here)
    return how
