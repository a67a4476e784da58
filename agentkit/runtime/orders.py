"""What one machine asks another one to do, and what it is told: frozen values that travel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agentkit.errors import AgentkitError
from agentkit.messages import ChatRequest, Message, ToolSchema

# -- models ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AboutModel:
    """What a chat model is; None: the one of the role there.  Gives `ModelFacts`."""

    model: str | None


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What has to be known of a chat model before it is asked."""

    name: str
    context_tokens: int


@dataclass(frozen=True, slots=True)
class Count:
    """The length of a prompt in tokens."""

    model: str
    messages: tuple[Message, ...]
    tools: tuple[ToolSchema, ...]


@dataclass(frozen=True, slots=True)
class Warm:
    """Read the beginning of prompts to come."""

    model: str
    messages: tuple[Message, ...]
    tools: tuple[ToolSchema, ...]


@dataclass(frozen=True, slots=True)
class Ask:
    """Answer a request; its deltas are told."""

    model: str
    request: ChatRequest


# -- tools -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Shipped:
    """A file: where it belongs, relative to what it is part of, and its digest."""

    path: str
    sha256: str
    executable: bool = False


@dataclass(frozen=True, slots=True)
class Input:
    """A file or folder that an argument names: `item` of the argument where that is a list.

    A file is one that has the name of the input as its path.
    """

    argument: str
    item: int | None
    name: str
    files: tuple[Shipped, ...]


@dataclass(frozen=True, slots=True)
class Call:
    """Call a tool in a copy of the run's folder.  Gives `Called`.

    `parameters` is the schema that the arguments were checked against; `own` says that it is a tool
    of the workflow language, which is in no toolbox.  `hosts` are the machines that it may talk to
    by the settings of who asks.
    """

    tool: str
    parameters: Mapping[str, Any]
    own: bool
    arguments: Mapping[str, Any]
    inputs: tuple[Input, ...]
    folder: tuple[Shipped, ...]
    hosts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Progressed:
    """Told: how far a call is."""

    done: float
    total: float | None
    unit: str


@dataclass(frozen=True, slots=True)
class Warned:
    """Told: something that a reader of the result should know."""

    text: str


@dataclass(frozen=True, slots=True)
class Changed:
    """A file that a call left in the folder, to be fetched under the name `place`."""

    path: str
    place: str
    sha256: str
    size: int
    executable: bool


@dataclass(frozen=True, slots=True)
class Called:
    """What came of a call: its value or its error, and the files in the folder afterwards.

    `paths` are the places that things had there; what the call says of them is said of ours.
    """

    value: Any
    error: AgentkitError | None
    changed: tuple[Changed, ...]
    removed: tuple[str, ...]
    artifacts: tuple[str, ...]
    root: str
    inputs: tuple[str, ...]


Order = AboutModel | Count | Warm | Ask | Call
