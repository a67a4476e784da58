"""A workflow file as a whole."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from agentkit.hosts import HostPattern
from agentkit.workflow.durations import Duration
from agentkit.workflow.node import Node, problem
from agentkit.workflow.spec.inputs import Input, Output, short_output
from agentkit.workflow.spec.names import FileName, Name, Variable
from agentkit.workflow.spec.prompts import PromptDefaults
from agentkit.workflow.spec.steps import Retry, Step, short_retry
from agentkit.workflow.spec.triggers import Trigger


class Defaults(Node):
    """What steps have in common, unless they say otherwise."""

    prompt: PromptDefaults = PromptDefaults.model_construct()
    retry: Annotated[Retry | None, BeforeValidator(short_retry)] = None
    timeout: Duration | None = None


class Permissions(Node):
    """What is left of the permissions in settings while this workflow runs: it can only be less.

    What is not given is as in settings; an empty list is nothing at all.
    """

    tools: list[str] | None = None
    """Names of tools, or patterns such as `files__*`."""
    read: list[str] | None = None
    """Folders; the folder of the run and the files given as inputs are always readable."""
    write: list[str] | None = None
    """Folders; the folder of the run can always be written."""
    hosts: list[str] | None = None
    """Such as `example.org` or `*.example.org`."""

    @field_validator("hosts")
    @classmethod
    def _are_hosts(cls, value: list[str] | None) -> list[str] | None:
        for pattern in value or ():
            try:
                HostPattern.of(pattern)
            except ValueError as error:
                raise problem("bad-host", str(error)) from None
        return value


class Concurrency(Node):
    """How many runs of one group there may be at the same time on this machine."""

    group: str
    """Its name; expressions may read the inputs."""
    limit: int = Field(1, ge=1)
    on_conflict: Literal["queue", "skip", "fail", "cancel_running"] = "queue"
    """What becomes of a run for which there is no place: it waits, does not happen, is an error, or
    the oldest one has to go for it.
    """


class Workflow(Node):
    """A workflow file."""

    version: Literal[1] = 1
    """The version of the workflow language."""
    name: FileName
    description: str = ""
    inputs: dict[Name, Input] = Field({})
    """What the caller gives: `agentkit run WORKFLOW -i name=value`."""
    triggers: list[Trigger] = Field([])
    """What starts it by itself, where its file lies in a folder that the service watches."""
    secrets: list[Variable] = Field([])
    """Names of secrets that settings hold; `with` and `env` read them as `secrets.NAME`."""
    env: dict[Variable, str] = Field({})
    """Variables of the environment of every script."""
    permissions: Permissions = Permissions.model_construct()
    defaults: Defaults = Defaults.model_construct()
    concurrency: Concurrency | None = None
    timeout: Duration | None = None
    """How long the whole run may take while it is at work."""
    steps: list[Step] = Field(min_length=1)
    on_failure: list[Step] = Field([])
    """Steps that follow a failure; they read `error.step` and `error.message`."""
    finally_: list[Step] = Field([], alias="finally")
    """Steps that end every run, whatever came of it, also one that was cancelled."""
    outputs: dict[Name, Annotated[Output, BeforeValidator(short_output)]] = Field({})
    """What a run gives back; by default nothing."""

    @model_validator(mode="after")
    def _cleans_up_alone(self) -> Workflow:
        for key in ("on_failure", "finally_"):
            for step in getattr(self, key):
                if any(one.approve is not None for one in with_inner(step)):
                    said = f'"{key.rstrip("_")}" asks a person, and the run would never end'
                    raise problem("misplaced-key", f'step "{step.id}" of {said}')
        return self

    def every_step(self) -> list[Step]:
        """All steps of the file, those of groups after their group."""
        top = [*self.steps, *self.on_failure, *self.finally_]
        return [one for step in top for one in with_inner(step)]


def with_inner(step: Step) -> list[Step]:
    """A step, and all steps of its group."""
    return [step, *(one for inner in step.steps or () for one in with_inner(inner))]
