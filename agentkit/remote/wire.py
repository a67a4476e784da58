"""A request as the JSON that it is sent as, in the words of one server.

What a server would ignore is refused here, by name: an answer that was asked for otherwise is
worse than none.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jsonschema import Draft202012Validator, SchemaError

from agentkit.errors import UnknownName, UserError
from agentkit.messages import (
    ChatRequest,
    Choices,
    Constraint,
    Image,
    JsonSchema,
    Lark,
    Message,
    OneTool,
    Regex,
    Sampling,
    ToolSchema,
)
from agentkit.remote import gbnf
from agentkit.remote.dialects import Dialect
from agentkit.remote.facts import Facts
from agentkit.remote.markers import defused
from agentkit.remote.shapes import Called, Plain, Quoted, Shape, Spaced

BOUNDS: dict[str, tuple[float, float]] = {
    "temperature": (0.0, 5.0),
    "top_k": (0, 1_000_000),
    "top_p": (0.0, 1.0),
    "typical_p": (0.0, 1.0),
    "min_p": (0.0, 1.0),
    "repeat_penalty": (0.1, 10.0),
    "frequency_penalty": (-2.0, 2.0),
    "presence_penalty": (-2.0, 2.0),
    "dry_multiplier": (0.0, 100.0),
    "dry_base": (1.0, 10.0),
    "dry_allowed_length": (1, 1_000_000),
}
"""Smallest and largest value; whole numbers where the parameter is one."""

EVERYWHERE = ("temperature", "top_p", "frequency_penalty", "presence_penalty")
"""What every server knows, under this name."""

DEFAULTS = {name: getattr(Sampling(), name) for name in BOUNDS if name not in EVERYWHERE}

BIAS_BOUND = 100.0

SEEDS = 2**31
"""Servers read a negative or very large seed as "any"; all others stay as they are."""

MAX_TOP_LOGPROBS = 20


@dataclass(frozen=True, slots=True)
class Asked:
    """What is sent, and the shape that turns the text of each answer into what was asked for."""

    body: dict[str, Any]
    shape: Callable[[], Shape]


def check(request: ChatRequest) -> None:
    """Raise `UserError` for what makes no sense on any server, and name it."""
    if request.text is not None:
        raise UserError("over HTTP a model goes on with a conversation, not with a plain text")
    if not request.messages:
        raise UserError("a request needs at least one message")
    if request.max_tokens is not None and request.max_tokens < 1:
        raise UserError(f"max_tokens must be at least 1, not {request.max_tokens}")
    if request.samples < 1:
        raise UserError(f"samples must be at least 1, not {request.samples}")
    if request.timeout is not None and not request.timeout > 0:
        raise UserError(f"timeout must be more than 0 seconds, not {request.timeout}")
    if request.top_logprobs is not None and not 0 <= request.top_logprobs <= MAX_TOP_LOGPROBS:
        raise UserError(
            f"top_logprobs must be between 0 and {MAX_TOP_LOGPROBS}, not {request.top_logprobs}"
        )
    if request.adapters:
        raise UserError("LoRA adapters cannot be chosen over HTTP; start the server with them")
    _check_sampling(request.sampling)
    _check_tools(request)
    if isinstance(request.constraint, JsonSchema):
        _check_schema(request.constraint.schema, "the schema")


def asked(request: ChatRequest, facts: Facts) -> Asked:
    """Raises `UserError` for what this server has no words for."""
    dialect = facts.dialect
    body: dict[str, Any] = {
        "model": facts.model,
        "messages": messages(request.messages),
        "stream": True,
        "stream_options": {"include_usage": True},
        **_sampling(request.sampling, dialect),
    }
    if request.max_tokens is not None:
        body["max_tokens"] = request.max_tokens
    if stop := [text for text in request.stop if text]:
        body["stop"] = stop
    if request.reasoning_effort is not None:
        body["reasoning_effort"] = request.reasoning_effort
    if request.samples > 1:
        if not dialect.several_samples:
            raise _lacks(dialect, "several samples of one request")
        body["n"] = request.samples
    if request.top_logprobs is not None:
        body |= {"logprobs": True, "top_logprobs": max(1, request.top_logprobs)}
    choosing = bool(request.tools) and request.tool_choice != "none"
    if choosing and request.constraint is not None:
        raise UserError(
            "over HTTP an answer cannot both keep to a constraint and call tools",
            hint="ask in two steps, or with tool_choice none",
        )
    if choosing and request.tool_choice != "auto" and not dialect.obeys_tool_choice:
        calls = {"anyOf": [_call(tool) for tool in _choosable(request)]}
        body |= {"tools": tools(request.tools), **_json_schema(calls)}
        return Asked(body, Called)
    body |= _tools(request, dialect)
    extra, shape = _constrained(request.constraint, dialect)
    return Asked(body | extra, shape)


# -- conversations -------------------------------------------------------------------------------


def messages(turns: Sequence[Message]) -> list[dict[str, Any]]:
    """A conversation; `reasoning_content` is what most servers read earlier thoughts from."""
    return [_message(turn) for turn in turns]


def _message(turn: Message) -> dict[str, Any]:
    wire: dict[str, Any] = {"role": turn.role, "content": turn.content}
    if turn.reasoning:
        wire["reasoning_content"] = turn.reasoning
    if turn.tool_calls:
        wire["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call in turn.tool_calls
        ]
    if turn.role in ("tool", "user"):  # a workflow puts pages into questions, too
        wire["content"] = defused(turn.content)
    if turn.images:
        text = [{"type": "text", "text": wire["content"]}] if turn.content else []
        wire["content"] = [*map(_image, turn.images), *text]
    if turn.role == "tool":
        wire["tool_call_id"] = turn.tool_call_id
    return wire


def _image(image: Image) -> dict[str, Any]:
    data = base64.b64encode(image.data).decode()
    return {"type": "image_url", "image_url": {"url": f"data:{image.kind};base64,{data}"}}


# -- tools ---------------------------------------------------------------------------------------


def tools(schemas: Sequence[ToolSchema]) -> list[dict[str, Any]]:
    """What the model is told of its tools."""
    return [
        {
            "type": "function",
            "function": {
                "name": tool.name,
                "description": tool.description,
                "parameters": tool.parameters,
            },
        }
        for tool in schemas
    ]


def _tools(request: ChatRequest, dialect: Dialect) -> dict[str, Any]:
    choice = request.tool_choice
    if not request.tools or (choice == "none" and dialect.flavour == "ollama"):
        return {}  # Ollama knows no "none": only a model that knows of no tools calls none
    named = {"type": "function", "function": {"name": getattr(choice, "name", "")}}
    return {
        "tools": tools(request.tools),
        "tool_choice": named if isinstance(choice, OneTool) else choice,
        "parallel_tool_calls": request.parallel_tool_calls,
    }


def _choosable(request: ChatRequest) -> list[ToolSchema]:
    choice = request.tool_choice
    return [t for t in request.tools if not isinstance(choice, OneTool) or t.name == choice.name]


def _call(tool: ToolSchema) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {"name": {"const": tool.name}, "arguments": tool.parameters},
        "required": ["name", "arguments"],
        "additionalProperties": False,
    }


def _check_tools(request: ChatRequest) -> None:
    names = [tool.name for tool in request.tools]
    for tool in request.tools:
        _check_schema(tool.parameters, f"the schema of the tool {tool.name!r}")
    if isinstance(request.tool_choice, OneTool) and request.tool_choice.name not in names:
        known = f"the request has {', '.join(names) or 'none'}"
        raise UnknownName("tool", request.tool_choice.name, names, hint=known)
    if request.tool_choice == "required" and not names:
        raise UserError("a tool call is required, but the request has no tools")


# -- constraints ---------------------------------------------------------------------------------


def _constrained(
    constraint: Constraint | None, dialect: Dialect
) -> tuple[dict[str, Any], Callable[[], Shape]]:
    match constraint:
        case None:
            return {}, Plain
        case JsonSchema():
            return _json_schema(constraint.schema), Spaced
        case Choices(options) if not options:
            raise UserError("there is nothing to choose from: no options")
        case Choices(options):
            if dialect.grammar == "gbnf":
                return {"grammar": gbnf.from_choices(options)}, Plain
            if dialect.grammar == "structured_outputs":
                return {"structured_outputs": {"choice": list(options)}}, Plain
            return _json_schema({"enum": list(options)}), Quoted
        case Regex(pattern):
            if dialect.grammar == "gbnf":
                return {"grammar": gbnf.from_regex(pattern)}, Plain
            if dialect.grammar == "structured_outputs":
                return {"structured_outputs": {"regex": pattern}}, Plain
            raise _lacks(dialect, "regular expressions")
        case Lark(grammar):
            if dialect.grammar == "structured_outputs":
                return {"structured_outputs": {"grammar": grammar}}, Plain
            raise _lacks(dialect, "Lark grammars")


def _json_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    wanted = {"name": "answer", "schema": schema, "strict": True}
    return {"response_format": {"type": "json_schema", "json_schema": wanted}}


def _check_schema(schema: Mapping[str, Any], what: str) -> None:
    try:
        json.dumps(schema, allow_nan=False)
        Draft202012Validator.check_schema(schema)
    except (SchemaError, TypeError, ValueError, RecursionError) as error:
        said = error.message if isinstance(error, SchemaError) else error
        raise UserError(f"{what} is not valid: {said}") from None


# -- sampling ------------------------------------------------------------------------------------


def _sampling(sampling: Sampling, dialect: Dialect) -> dict[str, Any]:
    wire: dict[str, Any] = {name: getattr(sampling, name) for name in EVERYWHERE}
    for name, default in DEFAULTS.items():
        value = getattr(sampling, name)
        if name in dialect.sampling and (value != default or dialect.says_all):
            wire[dialect.sampling[name]] = value
        elif name not in dialect.sampling and value != default:
            raise _lacks(dialect, name)
    if sampling.logit_bias:
        if not dialect.biases:
            raise _lacks(dialect, "logit_bias")
        wire["logit_bias"] = {str(token): bias for token, bias in sampling.logit_bias.items()}
    if sampling.seed is not None:
        wire["seed"] = sampling.seed % SEEDS
    return wire


def _check_sampling(sampling: Sampling) -> None:
    for name, (low, high) in BOUNDS.items():
        value = getattr(sampling, name)
        kind = int if isinstance(low, int) else (int, float)
        if isinstance(value, bool) or not isinstance(value, kind):
            wanted = "a whole number" if kind is int else "a number"
            raise UserError(f"{name} must be {wanted}, not {value!r}")
        if not low <= value <= high:  # also catches NaN
            raise UserError(f"{name} must be between {low} and {high}, not {value!r}")
    if sampling.seed is not None and not isinstance(sampling.seed, int):
        raise UserError(f"seed must be a whole number or None, not {sampling.seed!r}")
    for token, bias in sampling.logit_bias.items():
        if not isinstance(token, int) or not -BIAS_BOUND <= bias <= BIAS_BOUND:
            allowed = f"token ids to numbers between -{BIAS_BOUND:g} and {BIAS_BOUND:g}"
            raise UserError(f"logit_bias maps {allowed}, not {token!r} to {bias!r}")


def _lacks(dialect: Dialect, what: str) -> UserError:
    server = "an OpenAI-compatible server" if dialect.flavour == "openai" else dialect.flavour
    return UserError(
        f"{server} cannot be asked for {what}",
        hint="leave it out, use a model in this process, or set the server's flavour if it is "
        "another than it seems",
    )
