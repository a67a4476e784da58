"""Turns and tools as a client writes them, and what the core makes of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import Field

from agentkit.messages import (
    Constraint,
    Image,
    JsonSchema,
    Message,
    OneTool,
    ToolCall,
    ToolChoice,
    ToolSchema,
)
from agentkit.web.openai.body import Body
from agentkit.web.openai.pictured import Detail, ImageUrl, pictured
from agentkit.web.openai.refusals import Refused, unsupported

TEXTS = ("text", "refusal", "input_text", "output_text", "reasoning_text")
"""Kinds of content that are text."""
IMAGES = ("image_url", "input_image")
"""Kinds that are pictures: in chats, and in responses."""
OTHERS = {
    "image_url": "images", "input_image": "images", "input_audio": "recordings",
    "file": "files", "input_file": "files", "video_url": "films",
}  # fmt: skip
"""What is no text, in a word."""

NOTHING: Mapping[str, Any] = {"type": "object", "properties": {}}
"""The schema of a tool that takes no arguments."""


class Part(Body):
    """A piece of the content of a turn."""

    model_config = Body.model_config | {"extra": "allow"}

    type: str
    text: str = ""
    refusal: str = ""
    image_url: str | ImageUrl = ""
    """Its address, or in chats an object that has it."""
    detail: Detail = "auto"


class CalledFunction(Body):
    """Which tool is called, with what."""

    name: str
    arguments: str = "{}"
    parsed_arguments: Any = None
    """Harmless: the official client puts it there."""


class Called(Body):
    """A call in the history."""

    id: str
    type: Literal["function"] = "function"
    function: CalledFunction
    index: int = 0


class Turn(Body):
    """One turn of a conversation.  Who speaks by which `name` is not told to the model."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[Part] = ""
    name: str = ""
    refusal: str = ""
    reasoning_content: str = ""
    reasoning: str = ""
    """What Ollama calls it."""
    tool_calls: list[Called] = Field(default_factory=list)
    tool_call_id: str = ""
    annotations: list[Any] = Field(default_factory=list)
    parsed: Any = None
    """Harmless, like the annotations: what the official client adds to an answer."""


class Function(Body):
    """A tool as a model is told of it."""

    name: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")
    description: str = ""
    parameters: dict[str, Any] = Field(default_factory=lambda: dict(NOTHING))
    strict: bool = True
    """Calls always keep to the schema."""

    def schema_(self) -> ToolSchema:
        """As the core takes it."""
        return ToolSchema(self.name, self.description, self.parameters or NOTHING)


def conversation(turns: Sequence[Turn], model: str, *, sees: bool = False) -> tuple[Message, ...]:
    """The turns as the core takes them.  Raises `Refused` for what the model cannot read."""
    return tuple(
        _message(turn, f"messages[{number}]", model, sees) for number, turn in enumerate(turns)
    )


def _message(turn: Turn, at: str, model: str, sees: bool) -> Message:
    if turn.role == "tool" and not turn.tool_call_id:
        raise Refused(f"{at}.tool_call_id", "a result names the call that it is the result of")
    said, images = content(turn.content, f"{at}.content", model, sees=sees and turn.role == "user")
    return Message(
        "system" if turn.role == "developer" else turn.role,
        said or turn.refusal,
        turn.reasoning_content or turn.reasoning,
        tuple(
            ToolCall(call.id, call.function.name, call.function.arguments)
            for call in turn.tool_calls
        ),
        turn.tool_call_id,
        images,
    )


def content(
    parts: str | Sequence[Part], at: str, model: str, *, sees: bool = False
) -> tuple[str, tuple[Image, ...]]:
    """The text of a content, and the pictures that a user's may have for a model that `sees`.

    Raises `Refused` for other parts, and for what stands between two pictures: those are shown
    to the model before the text.
    """
    if isinstance(parts, str):
        return parts, ()
    for number, part in enumerate(parts):
        if part.type in OTHERS and not (sees and part.type in IMAGES):
            raise _unreadable(f"{at}[{number}]", model, OTHERS[part.type])
        if part.type not in (*TEXTS, *OTHERS):
            raise unsupported(f"{at}[{number}].type", f"{part.type!r} is no kind of content here")
    shown = [number for number, part in enumerate(parts) if part.type in IMAGES]
    if shown and shown[-1] - shown[0] >= len(shown):
        hint = "send the text before or after all pictures"
        raise Refused(at, "a text stands between two pictures", hint=hint)
    images = tuple(pictured(parts[number].image_url, f"{at}[{number}]") for number in shown)
    texts = [part.text or part.refusal for part in parts if part.type in TEXTS]
    return "\n".join(texts), images


def _unreadable(at: str, model: str, what: str) -> Refused:
    said, hint = f"the model {model!r} takes no {what} here", None
    if what == "images":
        hint = "a user may show them to a model on a server that sees: `remotes` in settings"
    return Refused(at, said, code="unsupported_content", hint=hint)


def tools(
    functions: Sequence[Function], only: Sequence[str] | None, at: str
) -> tuple[ToolSchema, ...]:
    """The tools as the core takes them; `only` these may be called, if there are such.

    All stand in the prompt, which stays the same from one request to the next.
    """
    names = [function.name for function in functions]
    for name in names:
        if names.count(name) > 1:
            raise Refused("tools", f"two tools have the name {name!r}")
    for name in only or ():
        check_known(name, names, at)
    return tuple(
        ToolSchema(one.name, one.description, one.parameters, allowed=False)
        if only is not None and one.name not in only
        else one
        for one in (function.schema_() for function in functions)
    )


def check_known(name: str, names: Sequence[str], at: str) -> None:
    """Raise `Refused` for a tool that is not among those of the request."""
    if name not in names:
        raise Refused(at, f"no tool of this request is named {name!r}; there are {list(names)}")


def choice(
    wanted: Literal["auto", "none", "required"], one: str | None, names: Sequence[str]
) -> ToolChoice:
    """How the model may choose; `one` tool if it has to be that."""
    if one is not None:
        check_known(one, names, "tool_choice")
        return OneTool(one)
    if wanted == "required" and not names:
        raise Refused("tool_choice", "a tool has to be called, and there is none")
    return wanted


class Schema(Body):
    """What an answer has to look like."""

    type: Literal["text", "json_object", "json_schema"] = "text"
    name: str = ""
    description: str = ""
    strict: bool = True
    """An answer always keeps to the schema."""
    schema_: dict[str, Any] | None = Field(None, alias="schema")


def constraint(wanted: Schema | None, at: str) -> Constraint | None:
    """The same as the core takes it."""
    if wanted is None or wanted.type == "text":
        return None
    if wanted.type == "json_object":
        return JsonSchema({"type": "object"})
    if wanted.schema_ is None:
        raise Refused(at, f"{at!r} is missing", code="missing_required_parameter")
    return JsonSchema(wanted.schema_)
