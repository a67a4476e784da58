"""What tools touch, and what a person said about it: frozen values, no decisions.

The decisions are made in `toolbox/grants`.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import WithJsonSchema

from agentkit.values import dataclass

Effect = Literal["reads", "writes", "network", "executes", "spends"]
"""What a tool does to the world beyond computing: it reads files, writes files, talks to other
machines, runs code, costs money."""

Verdict = Literal["allow", "ask", "deny"]

Profile = Literal["interactive", "unattended"]
"""Whether a person sits in front of it."""


@dataclass(frozen=True, slots=True)
class Touches:
    """Marks an argument as the thing that an effect is about: a path or a URL.

    `there` says that it is a file which has to exist before.
    """

    effect: Effect
    there: bool = False


ReadPath = Annotated[Path, Touches("reads"), WithJsonSchema({"type": "string"})]
"""A file or folder that a tool reads; relative ones are in the folder of the run."""
WritePath = Annotated[Path, Touches("writes"), WithJsonSchema({"type": "string"})]
"""A file or folder that a tool writes; relative ones are in the folder of the run."""
ChangedPath = Annotated[Path, Touches("writes", there=True), WithJsonSchema({"type": "string"})]
"""A file that is there and that a tool changes."""
Url = Annotated[str, Touches("network")]
"""An address that a tool talks to."""


@dataclass(frozen=True, slots=True)
class Access:
    """One thing that a call would touch.

    `what` is a full path for `reads` and `writes`, `host:port` for `network`, and `*` where the
    arguments do not tell.
    """

    effect: Effect
    what: str = "*"

    def __str__(self) -> str:
        return {
            "reads": f"read {self.what}",
            "writes": f"write {self.what}",
            "network": f"talk to {self.what}",
            "executes": "run code",
            "spends": "spend money",
        }[self.effect].replace(" *", " something that its arguments do not name")


@dataclass(frozen=True, slots=True)
class Rule:
    """A remembered answer: this tool may (or may not) touch what the pattern covers, always.

    `pattern` is a folder for paths, a host for the network, `*` for anything.
    """

    tool: str
    effect: Effect
    pattern: str
    verdict: Literal["allow", "deny"]


Answer = Literal["once", "always", "no", "never"]
"""What a person can say: `always` and `never` are remembered as rules."""


@dataclass(frozen=True, slots=True)
class Request:
    """A question to a person, on record until it is answered, and afterwards.

    An approval is about a call of `tool` with `arguments`; `accesses` are those that no grant
    covers.  A question of the tool `ask_user` has a `question` and maybe `choices`, and its answer
    is a text.  `key` says which call it is about: the same call in the same run has the same key.
    """

    id: str
    run: str
    tool: str
    arguments: dict[str, Any]
    key: str
    accesses: tuple[Access, ...]
    asked: datetime
    question: str = ""
    choices: tuple[str, ...] = ()
    answer: str | None = None
    answered: datetime | None = None
    used: bool = False
