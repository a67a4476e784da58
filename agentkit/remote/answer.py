"""Events of a server to deltas and completions: no I/O, and no trust in what arrives.

A sample's completion comes when the stream has ended, for what it cost may be told last.  Servers
count the tokens of several samples one by one (llama-server) or all together (OpenAI's protocol);
in the latter case the first sample's completion carries them all.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from jsonschema import Draft202012Validator
from referencing import Registry
from referencing.exceptions import Unresolvable

from agentkit.errors import ModelError
from agentkit.messages import (
    CallDelta,
    ChatRequest,
    Choices,
    Completion,
    Delta,
    FinishReason,
    JsonSchema,
    Lark,
    OneTool,
    Regex,
    TokenLogprob,
    ToolCall,
    Usage,
)
from agentkit.remote.shapes import Shape, new_call_id

ENDS: dict[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
}

MAX_CALLS = 128
"""Of one sample; a model that calls more tools at once has lost its way."""


class Answer:
    """One request's answer: `read` each event, then take the `completions`."""

    def __init__(
        self, model: str, request: ChatRequest, shapes: list[Shape], notes: tuple[str, ...] = ()
    ) -> None:
        self._model = model
        self._request = request
        self._notes = notes
        self._samples = [_Sample(number, shape) for number, shape in enumerate(shapes)]
        self._began = time.perf_counter()
        self._first: float | None = None

    @property
    def begun(self) -> bool:
        """Whether anything was given out."""
        return self._first is not None

    @property
    def ended(self) -> bool:
        """Whether every sample has ended."""
        return all(sample.end is not None for sample in self._samples)

    @property
    def complete(self) -> bool:
        """Whether nothing is missing any more, not even what it cost."""
        return self.ended and all(sample.usage is not None for sample in self._samples)

    @property
    def characters(self) -> int:
        """How much text was read."""
        return sum(len(piece) for sample in self._samples for piece in sample.text)

    def read(self, event: Mapping[str, Any]) -> list[Delta]:
        """What an event brings.  Raises `ModelError` for what no server should send."""
        deltas: list[Delta] = []
        for choice in _maps(event.get("choices")):
            index = choice.get("index") or 0
            if not isinstance(index, int) or not 0 <= index < len(self._samples):
                raise ModelError(f"the server answered with a sample {index!r} nobody asked for")
            deltas += self._samples[index].read(choice, self._request.top_logprobs)
        self._count(event)
        if deltas and self._first is None:
            self._first = time.perf_counter()
        return deltas

    def completions(
        self, reason: FinishReason | None, *, prompt_tokens: int = 0, queued_seconds: float = 0.0
    ) -> Iterator[Delta]:
        """The last deltas of each sample; `reason` is why those that did not end were ended.

        `prompt_tokens` stand in where the server did not say how many it read.
        Raises `ModelError` for an answer that is not what was asked for.
        """
        now = time.perf_counter()
        first = self._first or now
        for sample in self._samples:
            sample.end = sample.end or reason
            yield from sample.finish()
            usage = sample.usage or Usage(prompt_tokens, completion_tokens=sample.pieces)
            if not usage.prefill_seconds:
                prefill, decode = first - self._began, now - first
                usage = replace(usage, prefill_seconds=prefill, decode_seconds=decode)
            end = sample.end or "stop"
            notes = self._notes + sample.notes
            if sample.usage is None and prompt_tokens:
                notes += ("the server did not say what this cost: tokens are estimated",)
            completion = Completion(
                text="".join(sample.text),
                finish_reason="tool_calls" if sample.calls and end == "stop" else end,
                usage=replace(usage, queued_seconds=queued_seconds),
                model=self._model,
                reasoning="".join(sample.reasoning),
                tool_calls=sample.calls,
                logprobs=tuple(sample.logprobs),
                notes=notes,
            )
            yield Delta(sample=sample.number, completion=self._checked(completion))

    def _count(self, event: Mapping[str, Any]) -> None:
        """Usage belongs to the samples that have ended and were not counted yet."""
        usage = _usage(event)
        if usage is None:
            return
        for sample in self._samples:
            if sample.end is not None and sample.usage is None:
                sample.usage = usage
                usage = Usage(usage.prompt_tokens, usage.prompt_tokens)

    def _checked(self, completion: Completion) -> Completion:
        """Servers promise much; an answer that was cut short can only be what it is."""
        if completion.finish_reason not in ("stop", "tool_calls"):
            return completion
        if fault := _wrong_calls(self._request, {call.name for call in completion.tool_calls}):
            raise ModelError(
                f"{self._model!r} {fault}",
                hint="the server may not know tool_choice, or its model no tools",
            )
        if self._request.constraint is None or self._request.stop:
            return completion
        fault, note = _fault(self._request, completion.text)
        if fault:
            raise ModelError(
                f"{self._model!r} did not keep to the constraint: {fault}",
                hint="the server may not know how to; a model in this process always does",
            )
        return replace(completion, notes=(*completion.notes, note)) if note else completion


@dataclass(slots=True)
class _Call:
    """A tool call while its pieces arrive."""

    id: str
    name: str = ""
    arguments: list[str] = field(default_factory=list)

    def whole(self) -> ToolCall:
        return ToolCall(self.id, self.name, "".join(self.arguments) or "{}")


class _Sample:
    """One of the answers to a request."""

    def __init__(self, number: int, shape: Shape) -> None:
        self.number = number
        self.text: list[str] = []
        self.reasoning: list[str] = []
        self.calls: tuple[ToolCall, ...] = ()
        self.logprobs: list[TokenLogprob] = []
        self.notes: tuple[str, ...] = ()
        self.end: FinishReason | None = None
        self.usage: Usage | None = None
        self.pieces = 0
        self._shape = shape
        self._told = 0
        self._open: dict[int, _Call] = {}

    def read(self, choice: Mapping[str, Any], top: int | None) -> list[Delta]:
        """One choice of an event."""
        deltas: list[Delta] = []
        piece = choice.get("delta") or choice.get("message") or {}
        if not isinstance(piece, Mapping):
            raise ModelError(f"the server sent a delta that is none: {piece!r:.80}")
        logprobs = choice.get("logprobs")
        if top is not None and isinstance(logprobs, Mapping):
            self.logprobs += _logprobs(logprobs, top)
        if thought := _text(piece, "reasoning_content") or _text(piece, "reasoning"):
            self.reasoning.append(thought)
            self.pieces += 1
            deltas.append(Delta(reasoning=thought, sample=self.number))
        if text := _text(piece, "content"):
            self.pieces += 1
            deltas += self._show(self._shape.push(text))
        for position, call in enumerate(_maps(piece.get("tool_calls"))):
            self.pieces += 1
            deltas.append(Delta(call=self._call(call, position), sample=self.number))
        if isinstance(end := choice.get("finish_reason"), str):
            self.end = ENDS.get(end, "stop")
            if end not in ENDS:
                self.notes += (f"the server ended the answer with {end!r:.40}",)
        return deltas

    def finish(self) -> list[Delta]:
        """What was held back."""
        held, calls = self._shape.end()
        told = tuple(call.whole() for call in self._open.values())
        if self.end not in ("stop", "tool_calls") and told and not _is_json(told[-1].arguments):
            told = told[:-1]
            self.notes += ("a tool call was cut off and is left out",)
        self.calls = told + calls
        fresh = [
            CallDelta(number, call.id, call.name, call.arguments)
            for number, call in enumerate(calls, start=len(told))
        ]
        return self._show(held) + [Delta(call=call, sample=self.number) for call in fresh]

    def _show(self, text: str) -> list[Delta]:
        if not text:
            return []
        self.text.append(text)
        fresh, self._told = tuple(self.logprobs[self._told :]), len(self.logprobs)
        return [Delta(text=text, logprobs=fresh, sample=self.number)]

    def _call(self, wire: Mapping[str, Any], position: int) -> CallDelta:
        """A piece of a call.  Ollama numbers the calls of one event only, older ones none."""
        function = wire.get("function")
        function = function if isinstance(function, Mapping) else {}
        index = wire.get("index")
        if not isinstance(index, int) or isinstance(index, bool):
            index = position
        told_id, name = _text(wire, "id"), _text(function, "name")
        known = self._open.get(index)
        if known is not None and told_id and told_id != known.id:
            index, known = max(self._open) + 1, None
        first_id = ""
        if known is None:
            if not 0 <= index <= len(self._open) or len(self._open) >= MAX_CALLS:
                raise ModelError(f"the server numbers its tool calls oddly: {index}")
            first_id = told_id or new_call_id()
            known = self._open[index] = _Call(first_id)
        arguments = function.get("arguments")
        if isinstance(arguments, Mapping):
            arguments = json.dumps(arguments, ensure_ascii=False)
        arguments = arguments if isinstance(arguments, str) else ""
        fresh = name if not known.name else ""
        known.name = known.name or name
        known.arguments.append(arguments)
        return CallDelta(index, first_id, fresh, arguments)


# -- reading what may be anything ------------------------------------------------------------------


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _maps(value: Any) -> list[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


def _text(source: Mapping[str, Any], key: str) -> str:
    value = source.get(key)
    if value is None or isinstance(value, str):
        return value or ""
    raise ModelError(f"the server sent {key} that is no text: {value!r:.80}")


def _number(value: Any) -> float:
    """Not negative, not NaN, not absurd: or 0."""
    fine = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e12
    return value if fine else 0


def _usage(event: Mapping[str, Any]) -> Usage | None:
    """`usage` as OpenAI has it, and llama-server's `timings` in milliseconds."""
    usage, timings = event.get("usage"), event.get("timings")
    if not isinstance(usage, Mapping):
        return None
    timings = timings if isinstance(timings, Mapping) else {}
    details = usage.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, Mapping) else None
    return Usage(
        prompt_tokens=int(_number(usage.get("prompt_tokens"))),
        cached_tokens=int(_number(timings.get("cache_n", cached))),
        completion_tokens=int(_number(usage.get("completion_tokens"))),
        prefill_seconds=_number(timings.get("prompt_ms")) / 1000,
        decode_seconds=_number(timings.get("predicted_ms")) / 1000,
    )


def _logprobs(wire: Mapping[str, Any], top: int) -> list[TokenLogprob]:
    """Of the tokens that have text; what the constraint left of a probability is not told."""
    found = []
    for one in _maps(wire.get("content")):
        token, logprob = _token(one), _logprob(one)
        if token:
            likeliest = tuple((_token(o), _logprob(o)) for o in _maps(one.get("top_logprobs")))
            found.append(TokenLogprob(token, logprob, logprob, top=likeliest[:top]))
    return found


def _token(wire: Mapping[str, Any]) -> bytes:
    raw = wire.get("bytes")
    if isinstance(raw, list) and all(isinstance(b, int) and 0 <= b < 256 for b in raw):
        return bytes(raw)
    return _text(wire, "token").encode("utf-8", "replace")


def _logprob(wire: Mapping[str, Any]) -> float:
    value = wire.get("logprob")
    return float(value) if isinstance(value, int | float) and value <= 0 else float("-inf")


# -- keeping to what was asked ---------------------------------------------------------------------


def _wrong_calls(request: ChatRequest, called: set[str]) -> str:
    """What is wrong with the choice of tools; whether the arguments fit is the tools' to say."""
    choice = request.tool_choice if request.tools else "none"
    if choice == "none":
        return f"called {', '.join(called)}, although no call was asked for" if called else ""
    if choice != "auto" and not called:
        return "called no tool, although a call was required"
    if isinstance(choice, OneTool) and called != {choice.name}:
        return f"called {', '.join(called)} instead of {choice.name}"
    return ""


def _fault(request: ChatRequest, text: str) -> tuple[str, str]:
    """What is wrong with a whole answer, and what could not be checked."""
    match request.constraint:
        case JsonSchema(schema):
            try:
                value = json.loads(text)
                validator = Draft202012Validator(schema, registry=Registry())
                wrong = next(validator.iter_errors(value), None)
            except (Unresolvable, re.error):
                return "", "the schema refers to what cannot be looked up: it was not checked"
            except (ValueError, RecursionError) as error:
                return f"{text!r:.200} is not JSON ({error})", ""
            return (f"{text!r:.200}: {wrong.message:.200}" if wrong else ""), ""
        case Choices(options):
            return ("" if text in options else f"{text!r:.200} is not one of the options"), ""
        case Regex(pattern):
            try:
                fits = re.fullmatch(pattern, text)
            except re.error:
                return "", "the pattern is none of Python's: it was not checked"
            return ("" if fits else f"{text!r:.200} does not match {pattern!r}"), ""
        case Lark():
            return "", "the grammar is the server's to keep: it was not checked"
        case None:
            return "", ""
