"""Test doubles for everything that needs a model: deterministic, instant, and they ship.

    ScriptedModel         a `ChatModel` that gives the answers you wrote down
    ScriptedTranscriber   a `Transcriber` that "hears" the text you wrote down
    ScriptedHttp          an `Http` with the pages you wrote down
    ScriptedMemory        a `Memory` of a few texts
    ScriptedDesk          a `Desk`: questions to a person, in memory
    ScriptedServices      all of them, as runs and tools ask for them
    FrozenClock           a `Clock` that stands where you put it

They keep the contracts of `agentkit.ports` and pass the suites in `tests/contract/`.  Where a test
itself is at fault (no answer left, an answer that was not asked for) they raise `AssertionError`,
which nothing in agentkit catches but the call of a tool: it has failed, with these words.
"""

from __future__ import annotations

import json
import operator
import re
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator, SchemaError

from agentkit.cancel import CancelToken
from agentkit.errors import ModelError, ModelMissing, PromptTooLong, UnknownName, UserError
from agentkit.letters import Letter
from agentkit.messages import (
    CallDelta,
    ChatRequest,
    Choices,
    Completion,
    Constraint,
    Delta,
    FinishReason,
    JsonSchema,
    Message,
    OneTool,
    Regex,
    TokenLogprob,
    ToolCall,
    ToolSchema,
    Usage,
)
from agentkit.permissions import Request, Rule
from agentkit.ports import (
    ChatModel,
    Condition,
    Embedder,
    Heard,
    Http,
    HttpRequest,
    HttpResponse,
    Memory,
    Progress,
    Recollection,
    Scalar,
    Transcriber,
    no_progress,
    nothing_heard,
)
from agentkit.records import AgentRecord, Cached
from agentkit.transcript import Segment, Transcript, Word

SECONDS_PER_WORD = 0.4

_PIECE = re.compile(r"\s*\S+|\s+$")
"""A word with the space before it."""


class ScriptedModel:
    """Answers requests with what the test wrote, in order, and remembers the `requests`.

    An answer is a text, plain data (given as JSON), a `ToolCall` or a tuple of them, a `Message`
    (for reasoning, or text and calls), an exception (raised), or a function from the request to one
    of these.  A request for several samples takes as many answers.  A token is a word or a call; a
    text is streamed word by word, and the model is certain of each.

    >>> model = ScriptedModel("Hello there.", {"mood": "good"}, ToolCall("1", "wave", "{}"))
    >>> question = ChatRequest((Message("user", "How are you?"),))
    >>> [delta.text for delta in model.stream(question)]
    ['Hello', ' there.', '']
    >>> *_, last = model.stream(question)
    >>> last.completion.text
    '{"mood": "good"}'
    >>> *_, last = model.stream(question)
    >>> last.completion.tool_calls
    (ToolCall(id='1', name='wave', arguments='{}'),)
    >>> len(model.requests)
    3
    """

    def __init__(self, *answers: Any, name: str = "scripted", context_tokens: int = 8192) -> None:
        self.name = name
        self.context_tokens = context_tokens
        self.requests: list[ChatRequest] = []
        self._answers = list(answers)
        self._taken = 0
        self._lock = threading.Lock()
        self._closed = False

    def count_tokens(self, messages: Sequence[Message], tools: Sequence[ToolSchema] = ()) -> int:
        """The number of words, and one for each role."""
        self._check_open()
        return sum(1 + len(message.content.split()) for message in messages)

    def stream(self, request: ChatRequest, cancel: CancelToken | None = None) -> Iterator[Delta]:
        """See `ports.ChatModel.stream`."""
        prompt_tokens = self.count_tokens(request.messages) + _length(request.text)
        self._check_request(request, prompt_tokens)
        stop = self._stop(request.timeout, cancel or CancelToken())
        with self._lock:
            self.requests.append(request)
            taken, self._taken = self._taken, self._taken + request.samples
            if self._taken > len(self._answers):
                raise AssertionError(
                    f"request {len(self.requests)} came, but {self.name!r} has "
                    f"{len(self._answers)} answers; it was: {_asked(request)[-200:]!r}"
                )
            answers = self._answers[taken : self._taken]
        return self._tell(request, prompt_tokens, answers, stop)

    def warm(self, messages: Sequence[Message], tools: Sequence[ToolSchema] = ()) -> None:
        """Nothing to read ahead."""

    def close(self) -> None:
        """Refuse requests from now on."""
        self._closed = True

    def _check_open(self) -> None:
        if self._closed:
            raise ModelError(f"the model {self.name!r} was closed")

    def _check_request(self, request: ChatRequest, prompt_tokens: int) -> None:
        if not request.messages and request.text is None:
            raise UserError("a request needs at least one message")
        for name in ("max_tokens", "samples"):
            value = getattr(request, name)
            if value is not None and value < 1:
                raise UserError(f"{name} must be at least 1, not {value}")
        if request.timeout is not None and not request.timeout > 0:
            raise UserError(f"timeout must be more than 0 seconds, not {request.timeout}")
        if request.tool_choice == "required" and not request.tools:
            raise UserError("a tool call is required, but the request has no tools")
        names = [tool.name for tool in request.tools]
        if isinstance(request.tool_choice, OneTool) and request.tool_choice.name not in names:
            raise UnknownName("tool", request.tool_choice.name, names, hint=f"it has {names}")
        reserved = request.max_tokens or 1
        if prompt_tokens + reserved > self.context_tokens:
            raise PromptTooLong(
                prompt_tokens=prompt_tokens, reserved=reserved, context_tokens=self.context_tokens
            )
        if isinstance(request.constraint, JsonSchema):
            try:
                Draft202012Validator.check_schema(request.constraint.schema)
            except SchemaError as error:
                raise UserError(f"the schema is not valid: {error.message}") from None
        if isinstance(request.constraint, Regex):
            try:
                re.compile(request.constraint.pattern)
            except re.error as error:
                raise UserError(f"the pattern is not valid: {error}") from None

    def _stop(
        self, timeout: float | None, cancel: CancelToken
    ) -> Callable[[], FinishReason | None]:
        """Why an answer should end early, or None."""
        deadline = None if timeout is None else time.monotonic() + timeout

        def stop() -> FinishReason | None:
            if cancel.cancelled or self._closed:
                return "cancelled"
            return "deadline" if deadline is not None and time.monotonic() >= deadline else None

        return stop

    def _tell(
        self,
        request: ChatRequest,
        prompt_tokens: int,
        answers: Sequence[Any],
        stop: Callable[[], FinishReason | None],
    ) -> Iterator[Delta]:
        room = request.max_tokens or self.context_tokens - prompt_tokens
        for sample, answer in enumerate(answers):
            told: list[Delta] = []
            reason: FinishReason = "stop"
            for delta in _deltas(_said(answer, request), request, sample):
                if ended := "length" if len(told) == room else stop():
                    reason = ended
                    break
                told.append(delta)
                yield delta
            completion = Completion(
                text="".join(delta.text for delta in told),
                finish_reason=reason,
                usage=Usage(prompt_tokens=prompt_tokens, completion_tokens=len(told)),
                model=self.name,
                reasoning="".join(delta.reasoning for delta in told),
                tool_calls=tuple(
                    ToolCall(delta.call.id, delta.call.name, delta.call.arguments)
                    for delta in told
                    if delta.call
                ),
                logprobs=tuple(logprob for delta in told for logprob in delta.logprobs),
            )
            if completion.tool_calls and reason == "stop":
                completion = replace(completion, finish_reason="tool_calls")
            yield Delta(sample=sample, completion=completion)


def _asked(request: ChatRequest) -> str:
    return request.messages[-1].content if request.messages else str(request.text)


def _length(text: str | Sequence[int] | None) -> int:
    return len(text.split() if isinstance(text, str) else text or ())


def _said(answer: Any, request: ChatRequest) -> Message:
    """What the model says, checked against what was asked for."""
    if callable(answer) and not isinstance(answer, type):
        answer = answer(request)
    if isinstance(answer, BaseException):
        raise answer
    message = _message(answer)
    _check_calls(message.tool_calls, request)
    if not message.tool_calls:
        _check_text(message.content, request.constraint)
    return message


def _message(answer: Any) -> Message:
    match answer:
        case Message():
            return answer
        case ToolCall():
            return Message("assistant", "", tool_calls=(answer,))
        case tuple():
            return Message("assistant", "", tool_calls=answer)
        case str():
            return Message("assistant", answer)
        case _:
            return Message("assistant", json.dumps(answer, ensure_ascii=False))


def _check_calls(calls: Sequence[ToolCall], request: ChatRequest) -> None:
    """A model that may choose may also be wrong about names and arguments."""
    called, choice = {call.name for call in calls}, request.tool_choice
    forbidden = called & {tool.name for tool in request.tools if tool.allowed is False}
    if forbidden:
        raise AssertionError(f"these may not be called now, and are: {forbidden}")
    if choice == "none" and called:
        raise AssertionError(f"no tool may be called, and {called} are")
    if choice == "required" and not called:
        raise AssertionError("a tool call is required, and the answer has none")
    if isinstance(choice, OneTool) and called != {choice.name}:
        raise AssertionError(f"{choice.name!r} has to be called, not {called or 'nothing'}")


def _check_text(text: str, constraint: Constraint | None) -> None:
    if isinstance(constraint, JsonSchema):
        try:
            value = json.loads(text)
        except ValueError as error:
            raise AssertionError(f"JSON was asked for, and {text!r} is none: {error}") from None
        fault = next(Draft202012Validator(constraint.schema).iter_errors(value), None)
        if fault is not None:
            raise AssertionError(f"{text!r} does not fit the schema: {fault.message}")
    if isinstance(constraint, Choices) and text not in constraint.options:
        raise AssertionError(f"{text!r} is none of {constraint.options}")
    if isinstance(constraint, Regex) and not re.fullmatch(constraint.pattern, text):
        raise AssertionError(f"{text!r} does not match {constraint.pattern!r}")


def _deltas(said: Message, request: ChatRequest, sample: int) -> Iterator[Delta]:
    """One for each token."""
    for piece in _PIECE.findall(said.reasoning):
        yield Delta(reasoning=piece, sample=sample)
    for piece in _PIECE.findall(_until_stop(said.content, request.stop)):
        yield Delta(text=piece, logprobs=_certain(piece, request.top_logprobs), sample=sample)
    for index, call in enumerate(said.tool_calls):
        yield Delta(call=CallDelta(index, call.id, call.name, call.arguments), sample=sample)


def _certain(piece: str, top: int | None) -> tuple[TokenLogprob, ...]:
    token = piece.encode()
    return () if top is None else (TokenLogprob(token, 0.0, 0.0, top=((token, 0.0),)[:top]),)


def _until_stop(text: str, stops: Sequence[str]) -> str:
    """The text before the stop string that is complete first."""
    found = [(at + len(stop), at) for stop in stops if stop and (at := text.find(stop)) >= 0]
    return text[: min(found)[1]] if found else text


class FrozenClock:
    """A `Clock` that stands still until `advance`; `put` sets it as a person sets a clock."""

    def __init__(self, now: datetime) -> None:
        self._now, self._steady = now.astimezone(UTC), 0.0

    def now(self) -> datetime:
        """See `Clock.now`."""
        return self._now

    def steady(self) -> float:
        """See `Clock.steady`."""
        return self._steady

    def advance(self, **time: float) -> None:
        """Let time pass: `advance(hours=2)`."""
        passed = timedelta(**time)
        self._now, self._steady = self._now + passed, self._steady + passed.total_seconds()

    def put(self, now: datetime) -> None:
        """Set it forward or back; no time passes."""
        self._now = now.astimezone(UTC)


class ScriptedTranscriber:
    """Gives the transcript that the test wrote for a file, by the file's name.

    A text becomes one segment for each line, with words 0.4 s long; an empty text is a recording
    without speech; an exception is raised.  The file itself is never opened.

    >>> ears = ScriptedTranscriber({"talk.wav": "Good morning.\\nLet us begin."})
    >>> transcript = ears.transcribe(Path("talk.wav"))
    >>> [segment.text for segment in transcript.segments]
    ['Good morning.', 'Let us begin.']
    >>> transcript.duration
    2.0
    """

    def __init__(
        self, recordings: Mapping[str, Transcript | str | BaseException], *, name: str = "scripted"
    ) -> None:
        self.name = name
        self.heard: list[Path] = []
        self._recordings = dict(recordings)

    def transcribe(
        self,
        audio: Path,
        *,
        language: str | None = None,
        progress: Progress = no_progress,
        heard: Heard = nothing_heard,
        cancel: CancelToken | None = None,
    ) -> Transcript:
        """See `ports.Transcriber.transcribe`."""
        self.heard.append(audio)
        known = self._recordings.get(audio.name)
        if known is None:
            raise AssertionError(
                f"no transcript for {audio.name!r}, only for {[*self._recordings]}"
            )
        if isinstance(known, BaseException):
            raise known
        transcript = known if isinstance(known, Transcript) else self._read_out(known, language)
        for segment in transcript.segments:
            if cancel is not None:
                cancel.check()
            heard(segment.text if segment is transcript.segments[0] else f" {segment.text}")
            progress(segment.end, transcript.duration, "s")
        if cancel is not None:
            cancel.check()
        return transcript

    def close(self) -> None:
        """Nothing is held."""

    def _read_out(self, text: str, language: str | None) -> Transcript:
        segments: list[Segment] = []
        at = 0
        for line in text.splitlines():
            words = tuple(
                Word(_clock(at + n), _clock(at + n + 1), word, 1.0)
                for n, word in enumerate(line.split())
            )
            at += len(words)
            if words:
                said = " ".join(word.text for word in words)
                segments.append(Segment(words[0].start, words[-1].end, said, words))
        seconds = _clock(at)
        return Transcript(
            segments=tuple(segments),
            language=(language or "en") if segments else None,
            duration=seconds,
            speech_seconds=seconds,
            covered_seconds=seconds,
            model=self.name,
        )


def _clock(words: int) -> float:
    return round(words * SECONDS_PER_WORD, 3)


class ScriptedHttp:
    """Answers requests with the pages that the test wrote, by address, and remembers `requests`.

    >>> web = ScriptedHttp({"https://example.org/": "Hello."})
    >>> web.fetch(HttpRequest("https://example.org/")).body
    b'Hello.'
    >>> web.fetch(HttpRequest("https://example.org/nothing")).status
    404
    """

    def __init__(self, pages: Mapping[str, HttpResponse | str | bytes]) -> None:
        self._pages = dict(pages)
        self.requests: list[HttpRequest] = []

    def fetch(self, request: HttpRequest, cancel: CancelToken | None = None) -> HttpResponse:
        """See `ports.Http.fetch`."""
        if cancel is not None:
            cancel.check()
        self.requests.append(request)
        page = self._pages.get(request.url)
        if page is None:
            return HttpResponse(request.url, 404, {}, b"")
        if isinstance(page, HttpResponse):
            return page
        kind = "text/html; charset=utf-8" if isinstance(page, str) else "application/octet-stream"
        body = page.encode() if isinstance(page, str) else page
        return HttpResponse(request.url, 200, {"content-type": kind}, body)


class ScriptedDesk:
    """A `Desk` in memory: `requests` by id, and the rules that are remembered."""

    def __init__(self, *rules: Rule) -> None:
        self.requests: dict[str, Request] = {}
        self._rules: dict[tuple[str, str, str], Rule] = {}
        self._lock = threading.Lock()
        self.remember(rules)

    def file(self, request: Request) -> Request:
        """See `ports.Desk.file`."""
        with self._lock:
            for one in self.requests.values():
                if (one.run, one.key, one.used) == (request.run, request.key, False):
                    return one
            self.requests[request.id] = request
            return request

    def answer(self, request: str, answer: str) -> None:
        """See `ports.Desk.answer`."""
        with self._lock:
            before = self._find(request)
            if before.answer is not None:
                raise UserError(f"{request} has an answer already: {before.answer}")
            self.requests[request] = replace(before, answer=answer, answered=datetime.now(UTC))

    def use(self, request: str) -> None:
        """See `ports.Desk.use`."""
        with self._lock:
            before = self._find(request)
            if before.used:
                raise UserError(f"the answer to {request} was acted upon already")
            self.requests[request] = replace(before, used=True)

    def rules(self) -> list[Rule]:
        """See `ports.Desk.rules`."""
        with self._lock:
            return list(reversed(self._rules.values()))

    def remember(self, rules: Sequence[Rule]) -> None:
        """See `ports.Desk.remember`."""
        with self._lock:
            for rule in rules:
                self._rules.pop((rule.tool, rule.effect, rule.pattern), None)
                self._rules[rule.tool, rule.effect, rule.pattern] = rule

    def _find(self, name: str) -> Request:
        if name not in self.requests:
            raise UnknownName("request", name, self.requests, hint=f"there are {[*self.requests]}")
        return self.requests[name]


class ScriptedMemory:
    """A `Memory` that finds the entries that share most words with the query.

    >>> memory = ScriptedMemory("The sky is blue.", "Grass is green.")
    >>> [found.text for found in memory.search("blue sky")]
    ['The sky is blue.']
    """

    def __init__(self, *texts: str) -> None:
        self.entries: dict[str, Recollection] = {}
        self._made = 0
        for text in texts:
            self.save(text, source="scripted")

    def search(
        self, query: str, *, limit: int = 5, where: Sequence[Condition] = ()
    ) -> list[Recollection]:
        """See `ports.Memory.search`."""
        asked = _words(query)
        found = [
            replace(entry, score=len(asked & _words(entry.text)) / len(asked))
            for entry in self.entries.values()
            if asked and all(_holds(entry, condition) for condition in where)
        ]
        return sorted((hit for hit in found if hit.score), key=lambda hit: -hit.score)[:limit]

    def save(self, text: str, *, source: str, metadata: Mapping[str, Scalar] | None = None) -> str:
        """See `ports.Memory.save`."""
        if not text.strip():
            raise UserError("a text is to be remembered, and there is none")
        for known in self.entries.values():
            if known.text == text:
                return known.id
        self._made += 1
        id = str(self._made)
        self.entries[id] = Recollection(id, text, source, 1.0, datetime.now(UTC), metadata or {})
        return id

    def forget(self, where: Sequence[Condition]) -> int:
        """See `ports.Memory.forget`."""
        gone = [
            entry.id
            for entry in self.entries.values()
            if where and all(_holds(entry, condition) for condition in where)
        ]
        for id in gone:
            del self.entries[id]
        return len(gone)


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))


_COMPARED: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt,
    ">=": operator.ge, "~": lambda value, pattern: fnmatchcase(str(value), str(pattern)),
}  # fmt: skip


def _holds(entry: Recollection, condition: Condition) -> bool:
    own = {"id": entry.id, "source": entry.source, "time": entry.time and entry.time.isoformat()}
    value = own.get(condition.key, entry.metadata.get(condition.key))
    if value is None or isinstance(value, str) != isinstance(condition.value, str):
        return condition.operator == "!="
    return _COMPARED[condition.operator](value, condition.value)


@dataclass
class ScriptedServices:
    """What runs and tools borrow from the runtime, with doubles behind it.

    A `sandbox` is not doubled: hand in a real one.

    >>> services = ScriptedServices(model=ScriptedModel("yes"))
    >>> services.chat("qwen2.5-coder-1.5b").name
    'scripted'
    """

    model: ChatModel = field(default_factory=ScriptedModel)
    ears: Transcriber = field(default_factory=lambda: ScriptedTranscriber({}))
    web: Http = field(default_factory=lambda: ScriptedHttp({}))
    memories: Memory = field(default_factory=ScriptedMemory)
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    sandbox: Any = None
    granted_hosts: list[tuple[str, ...]] = field(default_factory=list)
    """What `http` was asked for, call by call."""
    mail: list[Letter] = field(default_factory=list)
    kept: dict[str, Cached] = field(default_factory=dict)
    workflows: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    """Outputs of workflows by name."""
    elsewhere: Collection[str] = ()

    def chat(self, name: str | None = None) -> ChatModel:
        """The scripted model."""
        del name
        return self.model

    def embedder(self, name: str | None = None) -> Embedder:
        """None: tasks are compared by their words."""
        raise ModelMissing(name or "scripted")

    def beginning(self, text: str, tokens: int, model: str | None = None) -> str:
        """So many words, which are what `ScriptedModel` counts, too."""
        del model
        words = list(re.finditer(r"\S+\s*", text))[:tokens]
        return text[: words[-1].end()].rstrip() if words else ""

    def past(self, run: str, step: str, key: str) -> AgentRecord:
        """Nothing: each run begins."""
        del run, step, key
        return AgentRecord()

    def cached(self, digest: str, age: float | None) -> Cached | None:
        """What the test left in `kept`."""
        del age
        return self.kept.get(digest)

    def place(
        self, queue: str | None, report: Any, cancel: CancelToken, travels: bool = True
    ) -> AbstractContextManager[ScriptedServices]:
        """There is always one, and it is here."""
        del queue, report, cancel, travels
        return nullcontext(self)

    @property
    def away(self) -> None:
        """Tools are called in this process."""

    def child(
        self, name: str, given: Mapping[str, Any], run: str, parent: str, cancel: CancelToken
    ) -> Mapping[str, Any]:
        """What the test says that a workflow gives."""
        del given, run, parent, cancel
        return self.workflows[name]

    def letters(self, run: str) -> list[Letter]:
        """What the test left in `mail`."""
        del run
        taken, self.mail[:] = list(self.mail), []
        return taken

    def transcriber(self, name: str | None = None) -> Transcriber:
        """The scripted transcriber."""
        del name
        return self.ears

    def http(self, hosts: Sequence[str]) -> Http:
        """The scripted web."""
        self.granted_hosts.append(tuple(hosts))
        return self.web

    def memory(self) -> Memory:
        """The scripted memory."""
        return self.memories

    def tool_options(self, tool: str) -> Mapping[str, Any]:
        """What the test says about a tool."""
        return self.options.get(tool, {})
