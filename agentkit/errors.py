"""Every error a user can meet, sorted by whose fault it is.

    AgentkitError
    ├── UserError        what was typed or written is wrong: fix the command or the file
    ├── MachineError     this machine lacks something: disk, memory, network, a model file
    │   └── WorkerLost       another machine went away in the middle of a step: tried again
    ├── ModelError       a model answered, but not in a way that can be used
    ├── ToolError        a tool could not do what it was asked
    │   └── ToolRetry    the same, but a better call may succeed: the message says how
    ├── TimedOut         a step was given so much time, and took longer
    ├── Parked           a run waits for a person: nothing went wrong
    │   ├── ApprovalNeeded   for an answer, and nobody is there
    │   └── Paused           for a word to go on
    │       └── Interrupted  for the service, which stopped
    ├── StepFailed       one of the above, with the place in the workflow where it struck
    ├── Fenced           a run that another process has taken over in the meantime
    ├── Busy             the service has as much to do as it may: the same again, later
    ├── Skipped          a run was not to happen beside another one: nothing went wrong
    └── Cancelled        somebody asked to stop: nobody's fault

An error builds its own sentence (what happened, where, the value) and carries a `hint`: the next
thing to do, as a command where there is one.  A traceback is for our own mistakes only.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from agentkit.values import dataclass


def closest(name: str, options: Iterable[str]) -> str | None:
    """The option that `name` was probably meant to be, or None when nothing is near."""
    lowered = {option.lower(): option for option in options}
    found = get_close_matches(name.lower(), lowered, n=1, cutoff=0.6)
    return lowered[found[0]] if found else None


def did_you_mean(name: str, options: Iterable[str]) -> str:
    """`' did you mean "x"?'`, or the empty string when nothing is near."""
    near = closest(name, options)
    return f' did you mean "{near}"?' if near else ""


def human_bytes(count: float) -> str:
    """`1117320768` as `1.12 GB` (powers of ten, as disks are sold)."""
    unit, units = "B", ["TB", "GB", "MB", "kB"]
    while count >= 999.5 and units:
        count, unit = count / 1000, units.pop()
    return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.3g} {unit}"


class AgentkitError(Exception):
    """Base of all errors that are meant to be read by a user."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[Any, ...]:
        """As it is, past its constructor: errors travel between machines."""
        return _again, (type(self), self.args, self.__dict__)


def _again(kind: type[AgentkitError], args: tuple[Any, ...], state: dict[str, Any]) -> Any:
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error


# -- what was typed or written is wrong ---------------------------------------------------------


class UserError(AgentkitError):
    """The command, the file or the value has to change."""

    exit_code = 2


class UnknownName(UserError):
    """A model, tool, workflow or run that does not exist."""

    def __init__(self, kind: str, name: str, known: Iterable[str], *, hint: str) -> None:
        super().__init__(f"no {kind} named {name!r}.{did_you_mean(name, known)}", hint=hint)


class HasBegun(UserError):
    """A run of this id is on record: it can be gone on with, and not begun again."""

    def __init__(self, run: str) -> None:
        super().__init__(f"the run {run} has begun already", hint=f"agentkit runs show {run}")


class InvalidInput(UserError):
    """A value handed to a workflow or a tool does not fit what it declares."""


class BadAudio(UserError):
    """A recording that cannot be decoded: names the file and the fault."""

    def __init__(self, path: Path, fault: str, *, hint: str | None = None) -> None:
        super().__init__(f"{path}: {fault}", hint=hint)
        self.path = path
        self.fault = fault


class Unsupported(UserError):
    """Something that a model cannot be asked for: another one might do it."""

    def __init__(self, parameter: str, why: str, *, hint: str | None = None) -> None:
        super().__init__(f"{parameter!r} is not supported: {why}", hint=hint)
        self.parameter = parameter


class PromptTooLong(UserError):
    """A prompt that does not fit the context, and by how many tokens."""

    def __init__(self, *, prompt_tokens: int, reserved: int, context_tokens: int) -> None:
        self.prompt_tokens = prompt_tokens
        self.reserved = reserved
        self.context_tokens = context_tokens
        self.excess = prompt_tokens + reserved - context_tokens
        super().__init__(
            f"the prompt is {self.excess} tokens too long: it has {prompt_tokens}, {reserved} are "
            f"kept free for the answer, and the context holds {context_tokens}",
            hint="shorten the prompt, lower max_tokens, or raise engine.context_tokens in settings",
        )


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault in a file.

    `line` and `column` count from 1 and point at the first character of the offending text, which
    is `length` characters long.  `rule` is a short kebab-case name that can be searched for.
    """

    file: str
    line: int
    column: int
    length: int
    rule: str
    message: str
    suggestion: str = ""
    source_line: str = ""

    def headline(self) -> str:
        """`file:line:col: message. did you mean ...? [rule]`."""
        text = self.message + (f". {self.suggestion}" if self.suggestion else "")
        return f"{self.file}:{self.line}:{self.column}: {text} [{self.rule}]"

    def render(self) -> str:
        """The headline, the line and a caret under what is wrong, as compilers print it."""
        if not self.source_line:
            return self.headline()
        gutter = " " * len(str(self.line))
        run = max(1, min(self.length, len(self.source_line) - self.column + 1))
        caret = " " * (self.column - 1) + "^" + "~" * (run - 1)
        return "\n".join(
            (
                self.headline(),
                f"{gutter} |",
                f"{self.line} | {self.source_line}",
                f"{gutter} | {caret}",
            )
        )


class InvalidFile(UserError):
    """A file with problems: all of them at once."""

    def __init__(self, problems: Sequence[Problem], *, hint: str | None = None) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(problem.render() for problem in self.problems), hint=hint)


class HookRefused(UserError):
    """A webhook that starts nothing: `status` is what its sender is told, as HTTP has it."""

    def __init__(self, message: str, *, status: int, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.status = status


# -- this machine lacks something ---------------------------------------------------------------


class MachineError(AgentkitError):
    """Disk, memory, network, a file of ours or a program: the machine, not the request."""


class DiskFull(MachineError):
    """Not enough room for what is about to be written."""

    def __init__(self, folder: Path, *, need: int, free: int, what: str) -> None:
        super().__init__(
            f"{what} needs {human_bytes(need)}, but {folder} has {human_bytes(free)} free",
            hint="free some space (`agentkit models remove NAME`), or move the store: "
            "AGENTKIT_MODELS_DIR=/other/disk",
        )


class WorkerLost(MachineError):
    """Another machine went away while it did a step; what it did is not known."""

    def __init__(self, machine: str, why: str) -> None:
        super().__init__(f"the worker on {machine} was lost: {why}", hint="agentkit cluster")
        self.machine = machine


class NotEnoughMemory(MachineError):
    """A model that would not fit into memory, said before it is loaded."""


class ModelMissing(MachineError):
    """A known model whose files are not in the store yet."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"the model {name!r} is not on this machine yet", hint=f"agentkit models pull {name}"
        )
        self.name = name


class ModelDamaged(MachineError):
    """A model file that is not what it should be: truncated, altered, of another format."""

    def __init__(self, name: str, fault: str, *, hint: str | None = None) -> None:
        super().__init__(
            f"{name}: {fault}",
            hint=hint or f"agentkit models remove {name} && agentkit models pull {name}",
        )


@dataclass(frozen=True, slots=True)
class Attempt:
    """One source that was asked for a file, and why it did not give it."""

    source: str
    reason: str


class PullFailed(MachineError):
    """No source could deliver a model: which were tried, and what each said."""

    def __init__(self, name: str, attempts: Sequence[Attempt], *, hint: str | None = None) -> None:
        self.name = name
        self.attempts = tuple(attempts)
        tried = "\n".join(f"  {attempt.source}: {attempt.reason}" for attempt in attempts)
        super().__init__(
            f"could not get the model {name!r}; tried, in order:\n{tried}",
            hint=hint or f"bring the file by other means: agentkit models add FILE --name {name}",
        )


# -- a model or a tool ---------------------------------------------------------------------------


class ModelError(AgentkitError):
    """A model gave an answer that cannot be used."""


class ModelBusy(ModelError):
    """Too many requests wait for a model already; the same one may succeed later."""

    def __init__(self, name: str, waiting: int) -> None:
        super().__init__(
            f"{name!r} is busy: {waiting} requests wait for it already",
            hint="try again later, or let more wait: engine.queue in settings",
        )
        self.waiting = waiting


class ToolError(AgentkitError):
    """A tool could not do what it was asked; the message is for the caller to read."""


class ToolRetry(ToolError):
    """The call was not good, and a better one may succeed: the message is the hint."""


class TimedOut(AgentkitError):
    """A step took longer than it may."""


class Parked(AgentkitError):
    """A run holds nothing and waits for a person."""

    exit_code = 3


class Paused(Parked):
    """A person stopped a run for a while."""

    def __init__(self, run: str) -> None:
        super().__init__("paused", hint=f"agentkit runs resume {run}")


class Interrupted(Paused):
    """The process that worked on a run was told to stop; the service goes on with it."""

    def __init__(self, run: str, reason: str) -> None:
        super().__init__(run)
        self.message = reason


class ApprovalNeeded(Parked):
    """Something that only a person can answer; the question is on record under `request`."""

    def __init__(self, request: str, reason: str) -> None:
        super().__init__(reason, hint=f"agentkit approvals show {request}")
        self.request = request


class Skipped(AgentkitError):
    """A run that did not happen, because another one of its group does: nothing went wrong."""

    exit_code = 0


class Busy(AgentkitError):
    """As much is under way as may be; the same may succeed in so many `seconds`."""

    def __init__(self, message: str, *, seconds: int) -> None:
        super().__init__(message, hint=f"try again in {seconds} seconds")
        self.seconds = seconds


class Fenced(AgentkitError):
    """Another process works on the run by now: this one was stopped for too long."""

    def __init__(self, run: str) -> None:
        hint = f"agentkit runs show {run}"
        super().__init__(f"the run {run} was taken over by another process", hint=hint)


class StepFailed(AgentkitError):
    """A step of a workflow failed: the cause, and the place in the file."""

    def __init__(self, step: str, where: str, cause: AgentkitError) -> None:
        super().__init__(f"{where}: step {step!r} failed: {cause}", hint=cause.hint)
        self.step = step
        self.cause = cause


class Cancelled(AgentkitError):
    """Somebody asked to stop."""

    exit_code = 130

    def __init__(self, reason: str = "cancelled") -> None:
        super().__init__(reason)
