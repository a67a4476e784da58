"""What starts a workflow by itself: one entry of `triggers`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from agentkit.schedule import triggers
from agentkit.schedule.triggers import Times
from agentkit.workflow.durations import Duration
from agentkit.workflow.node import Node, problem
from agentkit.workflow.spec.names import FileName, Variable

STARTS = ("cron", "every", "at", "after", "watch", "webhook")
"""Keys of which a trigger has exactly one."""

SHORTEST = 1.0
"""Seconds between two starts of `every`."""

BELONGS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("timezone", ("cron", "at")),
    ("catchup", ("cron", "every", "at")),
    ("catchup_window", ("cron", "every", "at")),
    ("jitter", ("cron", "every", "at")),
)
"""Keys that only some triggers can have."""

FACTS = {
    "cron": ("time",), "every": ("time",), "at": ("time",),
    "after": ("time", "workflow", "run", "status", "outputs"),
    "watch": ("time", "file"),
    "webhook": ("time", "body", "id"),
}  # fmt: skip
"""What `trigger.…` offers in `with`, by what starts."""


def _cron(value: str) -> str:
    try:
        cron = triggers.Cron(value, ZoneInfo("UTC"))
    except ValueError as error:
        raise problem("bad-cron", str(error)) from None
    if triggers.never(cron, datetime(2024, 1, 1, tzinfo=UTC)):
        raise problem("bad-cron", f'"{value}" is never due: no month has such a day')
    return value


def _zone(value: str) -> str:
    try:
        triggers.zone(value)
    except ValueError as error:
        said, _, near = str(error).partition(". ")
        raise problem("unknown-timezone", said, near or "such as Europe/Berlin") from None
    return value


def _at(value: str) -> str:
    try:
        triggers.at(value, ZoneInfo("UTC"))
    except ValueError as error:
        raise problem("bad-time", str(error)) from None
    return value


def _short_after(value: Any) -> Any:
    return {"workflow": value} if isinstance(value, str) else value


def _short_watch(value: Any) -> Any:
    return {"folder": value} if isinstance(value, str) else value


def _short_webhook(value: Any) -> Any:
    return {"secret": value} if isinstance(value, str) else value


class After(Node):
    """Another workflow has ended."""

    workflow: FileName
    on: Literal["success", "failure", "end"] = "success"
    """How; `end` is either, and also when it was cancelled."""


class Watch(Node):
    """A file has arrived in a folder, also while nobody looked; the run may read it."""

    folder: str
    """A full path, or one that begins with `~`."""
    pattern: str = "*"
    """Of the name, such as `*.mp3`; `**/*.mp3` looks into the folders in it, too."""
    settle: Duration = 2.0
    """How long it must not have changed: it may still be written."""
    existing: bool = False
    """Whether files count that lay there when the trigger was first seen."""


class Webhook(Node):
    """A request to `/hooks/NAME` of the service, signed as Standard Webhooks or GitHub do it."""

    secret: Variable
    """The name of a secret in settings: both sides know it."""


class Trigger(Node):
    """One way to be started: exactly one of `cron`, `every`, `at`, `after`, `watch`, `webhook`."""

    cron: Annotated[str, AfterValidator(_cron)] | None = None
    """Minute, hour, day, month, day of the week, such as `0 7 * * 1-5`, or `@daily`."""
    every: Duration | None = None
    """How much time passes between two starts, such as `30m`."""
    at: Annotated[str, AfterValidator(_at)] | None = None
    """Once, such as `2026-12-24 18:00`."""
    after: Annotated[After | None, BeforeValidator(_short_after)] = None
    """When another workflow has ended: its name, or a mapping."""
    watch: Annotated[Watch | None, BeforeValidator(_short_watch)] = None
    """When a file has arrived: a folder, or a mapping."""
    webhook: Annotated[Webhook | None, BeforeValidator(_short_webhook)] = None
    """When somebody sends a signed request: the name of a secret, or a mapping."""
    timezone: Annotated[str, AfterValidator(_zone)] | None = None
    """On whose wall the time is read, such as `Europe/Berlin`; else on that of this machine."""
    catchup: Literal["none", "last", "all"] = "none"
    """Which of the times are made up for that passed while the service was not there."""
    catchup_window: Duration | None = None
    """How old such a time may be."""
    jitter: Duration = Field(0.0)
    """At most so much later, by what is the same for each time: not all at once."""
    with_: dict[str, Any] = Field({}, alias="with")
    """Inputs of the run; expressions read `trigger.time` and, after their kind, `trigger.file`,
    `trigger.body`, `trigger.outputs`, ...
    """

    @property
    def kind(self) -> str:
        """Which of `STARTS` it is."""
        return next(key for key in STARTS if getattr(self, key) is not None)

    @property
    def key(self) -> str:
        """What it is called on record: the same for what means the same."""
        times = self.times()
        if times is not None:
            return times.key
        if self.after is not None:
            return f"after {self.after.on} of {self.after.workflow}"
        if self.watch is not None:
            return f"watch {self.watch.folder} {self.watch.pattern}"
        return "webhook"

    def times(self) -> Times | None:
        """When it is due; None: that is no matter of time."""
        if self.every is not None:
            return triggers.Every(self.every)
        if self.cron is None and self.at is None:
            return None
        zone = ZoneInfo(self.timezone) if self.timezone else triggers.local_zone()
        if self.cron is not None:
            return triggers.cron(self.cron, zone)
        return triggers.at(self.at or "", zone)

    @field_validator("every")
    @classmethod
    def _not_all_the_time(cls, value: float | None) -> float | None:
        if value is not None and value < SHORTEST:
            raise problem("bad-duration", "a workflow starts once in a second at most")
        return value

    @model_validator(mode="after")
    def _has_one_start(self) -> Trigger:
        starts = [key for key in STARTS if getattr(self, key) is not None]
        if not starts:
            raise problem("no-start", "this trigger starts nothing", f"give it {_listed(STARTS)}")
        if len(starts) > 1:
            message = f'this trigger has both "{starts[0]}" and "{starts[1]}"'
            raise problem("two-starts", message, "make two triggers of it")
        for key, allowed in BELONGS:
            if key in self.model_fields_set and starts[0] not in allowed:
                what = _listed(allowed)
                message = f'"{key}" is for {what}, and this trigger has "{starts[0]}"'
                raise problem("misplaced-key", message, "leave it out")
        return self


def _listed(keys: tuple[str, ...]) -> str:
    *most, last = (f'"{key}"' for key in keys)
    return f"{', '.join(most)} or {last}"
