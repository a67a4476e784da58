"""One entry of `steps`, and what may be said about how it is done."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from agentkit.workflow.agents import Agent
from agentkit.workflow.durations import Duration
from agentkit.workflow.node import Node, problem
from agentkit.workflow.quality import Check, Strategy, short_strategy
from agentkit.workflow.spec.names import RESERVED, Name, Variable
from agentkit.workflow.spec.prompts import Prompt, short_prompt

ACTIONS = ("uses", "run", "prompt", "agent", "approve", "steps")
"""What a step can do."""

WORKFLOW = "workflow:"
"""What `uses` begins with where it names a workflow, not a tool."""

FaultKind = Literal["timeout", "tool", "model", "machine"]
"""Whose fault a failure was; a mistake in the file does not mend itself and is not retried."""


class Foreach(Node):
    """Do a step once for each item of a list."""

    items: str | list[Any]
    """The list, or an expression that gives it."""
    as_: Name = Field("item", alias="as")
    """The name of one item in the expressions of the step."""
    key: str | None = None
    """An expression that names an item, such as `${{ item.sha256 }}`: what is finished is found by
    it when a run goes on, also in another order.  Without it an item is known by its position.
    """
    max_parallel: int = Field(1, ge=1, le=256)
    """Items that are worked on at the same time."""
    on_error: Literal["fail_fast", "continue"] = "fail_fast"
    """`continue`: a failed item leaves null in its place, and the others still count."""

    @field_validator("as_")
    @classmethod
    def _hides_nothing(cls, value: str) -> str:
        if value in RESERVED:
            raise problem(
                "reserved-name",
                f'"{value}" is what every expression can read already',
                'the usual name is "item"',
            )
        return value


class Retry(Node):
    """Try again after a failure, and wait longer each time."""

    max_attempts: int = Field(3, ge=1, le=100)
    """Attempts in all, the first one included."""
    delay: Duration = 1.0
    """Before the second attempt."""
    backoff: float = Field(2.0, ge=1, le=10)
    """What each delay is multiplied by for the next one."""
    max_delay: Duration = 60.0
    """No delay is longer."""
    jitter: bool = True
    """Up to a quarter of each delay more, by chance: those that failed together do not come back
    together.
    """
    on: list[FaultKind] = Field(["timeout", "tool", "model", "machine"], min_length=1)
    """Which failures are worth another attempt."""

    @field_validator("backoff", mode="before")
    @classmethod
    def _integers_are_numbers(cls, value: Any) -> Any:
        return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


class Cache(Node):
    """Keep the result, and take it again where the key is the same: across runs of this workflow.

    A step whose own definition was edited has other results: they are computed anew.
    """

    key: str | list[Any]
    """What the result depends on, such as `${{ inputs.file | hash }}`."""
    ttl: Duration | None = None
    """How long it counts; for ever where nothing is said."""


class Script(Node):
    """A program, run in the sandbox, in the folder of the run: exactly one of `bash` and `python`.

    Values are handed to it by `env`: text from elsewhere must not become part of a program.
    """

    bash: str | None = None
    """Bash; it ends at the first command that fails (`-euo pipefail`)."""
    python: str | None = None
    """The Python that agentkit runs on."""
    files: list[str] = Field([])
    """Files from elsewhere; it finds them as /inputs/NAME."""

    @model_validator(mode="after")
    def _is_one_program(self) -> Script:
        if (self.bash is None) == (self.python is None):
            raise problem("bad-script", 'a script has exactly one of "bash" and "python"')
        return self


class Approve(Node):
    """A person decides; until then the run is parked, and holds nothing."""

    text: str
    """What the person is asked."""
    choices: list[str] = Field(["approve", "reject"], min_length=2)
    """What can be said: the last one means no, all others mean yes."""
    timeout: Duration | None = None
    """How long the question stands."""
    on_timeout: Literal["fail", "approve", "reject"] = "fail"
    """What counts as said after that."""
    on_reject: Literal["fail", "continue"] = "fail"
    """`continue`: later steps look at `steps.ID.outputs.approved`."""


def _short_agent(value: Any) -> Any:
    return {"objective": value} if isinstance(value, str) else value


def _short_script(value: Any) -> Any:
    if isinstance(value, bool | int | float):  # `run: true` is no text in YAML
        shown = str(value).lower()
        raise problem("wrong-type", f"{shown} is no script, but a value", "put it in quotes")
    return {"bash": value} if isinstance(value, str) else value


def _short_approve(value: Any) -> Any:
    return {"text": value} if isinstance(value, str) else value


def short_retry(value: Any) -> Any:
    """A number of attempts as the mapping that it stands for."""
    number = isinstance(value, int) and not isinstance(value, bool)
    return {"max_attempts": value} if number else value


def _short_needs(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


class Step(Node):
    """One entry of `steps`: exactly one of `uses`, `run`, `prompt`, `agent`, `approve`, `steps`."""

    id: Name
    """What expressions call it: `steps.ID.outputs`."""
    name: str = ""
    """What people read while it runs."""
    needs: Annotated[list[Name] | None, BeforeValidator(_short_needs)] = None
    """The steps that it waits for.  Where no step of a list has it, they run from top to bottom;
    where any has, all that wait for nothing begin at once.
    """
    if_: str | bool | None = Field(None, alias="if")
    """Skip the step where this expression is false; its outputs are null then."""
    foreach: Foreach | None = None
    uses: str | None = None
    """The name of a tool (`agentkit tools list`), or `workflow:NAME`."""
    with_: dict[str, Any] = Field({}, alias="with")
    """The arguments of the tool, or the inputs of the workflow."""
    run: Annotated[Script | None, BeforeValidator(_short_script)] = None
    """A script: its text in bash, or a mapping."""
    env: dict[Variable, str] = Field({})
    """Variables of the environment of `run`."""
    prompt: Annotated[Prompt | None, BeforeValidator(short_prompt)] = None
    """A question to a chat model: its text, or a mapping."""
    agent: Annotated[Agent | None, BeforeValidator(_short_agent)] = None
    """A task loop: its objective, or a mapping."""
    approve: Annotated[Approve | None, BeforeValidator(_short_approve)] = None
    """A question to a person: its text, or a mapping."""
    steps: list[Step] | None = Field(None, min_length=1)
    """A group: its outputs are those of its steps by id."""
    retry: Annotated[Retry | None, BeforeValidator(short_retry)] = None
    """What to do after a failure: a number of attempts, or a mapping."""
    timeout: Duration | None = None
    """How long one attempt may take."""
    queue: str | None = None
    """Wait for one of the places that settings give to this name, such as `gpu`: they are shared by
    all runs on this machine.
    """
    cache: Cache | None = None
    on_error: Literal["fail", "continue"] = "fail"
    """`continue`: a failure is on record, and the run goes on with null for its outputs."""
    output_schema: dict[str, Any] | None = None
    """A JSON Schema: the answer of a prompt, the output of a script or the result of a tool is data
    that fits it.
    """
    checks: list[Check] = Field([])
    """What has to hold of the result, or the step fails."""
    strategy: Annotated[Strategy | None, BeforeValidator(short_strategy)] = None
    """How a hard question to a model is answered."""

    @property
    def action(self) -> str:
        """Which of `ACTIONS` it is."""
        return next(key for key in ACTIONS if getattr(self, key) is not None)

    @property
    def workflow(self) -> str | None:
        """The workflow that it uses, if it is none of the tools."""
        named = self.uses is not None and self.uses.startswith(WORKFLOW)
        return self.uses.removeprefix(WORKFLOW) if self.uses and named else None

    @model_validator(mode="after")
    def _does_one_thing(self) -> Step:
        actions = [key for key in ACTIONS if getattr(self, key) is not None]
        if not actions:
            raise problem(
                "no-action",
                f'step "{self.id}" does nothing',
                f"give it {_listed(ACTIONS)}",
            )
        if len(actions) > 1:
            raise problem(
                "two-actions",
                f'step "{self.id}" has both "{actions[0]}" and "{actions[1]}"',
                "make two steps of it",
            )
        return self

    @model_validator(mode="after")
    def _has_what_its_action_takes(self) -> Step:
        for key, actions, hint in BELONGS:
            if getattr(self, key) and not any(getattr(self, one) is not None for one in actions):
                what = _listed(actions)
                message = f'"{key.rstrip("_")}" is for {what}, and step "{self.id}" has none'
                raise problem("misplaced-key", message, hint)
        for key in ("checks", "strategy"):
            if getattr(self, key) and self.agent is not None:
                raise problem(
                    "misplaced-key",
                    f'step "{self.id}" has "{key}" beside its agent',
                    f'put "{key}" into "agent", which works until it is content',
                )
        return self

    @model_validator(mode="after")
    def _thinks_where_it_can(self) -> Step:
        if self.strategy is None or self.prompt is None:
            return self
        if self.prompt.tools:
            raise problem(
                "misplaced-strategy",
                f'step "{self.id}" has a strategy, which only thinks, and tools to call',
                'make it an "agent", or gather with tools in a step before it',
            )
        if self.strategy.name == "reflect" and not self.checks:
            raise problem(
                "misplaced-strategy",
                f'step "{self.id}" has nothing that tells a good answer from a bad one',
                'give it "checks", or take another strategy',
            )
        return self


BELONGS: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("with_", ("uses",), 'put values into the text of "prompt" as ${{ ... }}, or into "env"'),
    ("env", ("run",), "leave it out: only scripts have an environment"),
    ("output_schema", ("prompt", "run", "uses"), "leave it out"),
    ("checks", ("prompt", "run", "uses", "agent"), "leave it out"),
    ("strategy", ("prompt", "agent"), "leave it out: it is how a prompt is answered"),
    ("cache", ("prompt", "run", "uses"), "put it into the steps of the group"),
    ("queue", ("prompt", "run", "uses", "agent"), "put it into the steps of the group"),
    ("retry", ("prompt", "run", "uses", "agent"), "put it into the steps of the group"),
)
"""Keys that only some actions can have."""


def _listed(keys: tuple[str, ...]) -> str:
    *most, last = (f'"{key}"' for key in keys)
    return f"{', '.join(most)} or {last}" if most else last
