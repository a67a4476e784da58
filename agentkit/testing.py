"""Test doubles for everything that needs a model: deterministic, instant, and they ship.

    ScriptedModel         a `ChatModel` that gives the answers you wrote down
    ScriptedTranscriber   a `Transcriber` that "hears" the text you wrote down
    ScriptedServices      both behind the protocol that workflow runs ask for

They keep the contracts of `agentkit.ports` and pass the suites in `tests/contract/`.  Where a test
itself is at fault (no answer left, an answer that the requested schema does not accept) they raise
`AssertionError`, which nothing in agentkit catches.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator, SchemaError

from agentkit.cancel import CancelToken
from agentkit.errors import ModelError, PromptTooLong, UserError
from agentkit.messages import (
    ChatRequest,
    Completion,
    Delta,
    FinishReason,
    JsonSchema,
    Message,
    ToolSchema,
    Usage,
)
from agentkit.ports import ChatModel, Progress, Transcriber, no_progress
from agentkit.transcript import Segment, Transcript, Word

SECONDS_PER_WORD = 0.4

_PIECE = re.compile(r"\s*\S+|\s+$")
"""A word with the space before it."""


class ScriptedModel:
    """Answers requests with what the test wrote, in order, and remembers the `requests`.

    An answer is a text, plain data (given as JSON), an exception (raised), or a function from the
    request to one of these.  A token is a word; a text is streamed word by word.

    >>> model = ScriptedModel("Hello there.", {"mood": "good"})
    >>> question = ChatRequest((Message("user", "How are you?"),))
    >>> [delta.text for delta in model.stream(question)]
    ['Hello', ' there.', '']
    >>> *_, last = model.stream(question)
    >>> last.completion.text
    '{"mood": "good"}'
    >>> len(model.requests)
    2
    """

    def __init__(self, *answers: Any, name: str = "scripted", context_tokens: int = 8192) -> None:
        self.name = name
        self.context_tokens = context_tokens
        self.requests: list[ChatRequest] = []
        self._answers = list(answers)
        self._lock = threading.Lock()
        self._closed = False

    def count_tokens(self, messages: Sequence[Message], tools: Sequence[ToolSchema] = ()) -> int:
        """The number of words, and one for each role."""
        self._check_open()
        return sum(1 + len(message.content.split()) for message in messages)

    def stream(self, request: ChatRequest, cancel: CancelToken | None = None) -> Iterator[Delta]:
        """See `ports.ChatModel.stream`."""
        prompt_tokens = self.count_tokens(request.messages)
        self._check_request(request, prompt_tokens)
        with self._lock:
            asked = len(self.requests)
            self.requests.append(request)
            if asked >= len(self._answers):
                raise AssertionError(
                    f"request {asked + 1} came, but {self.name!r} has {len(self._answers)} "
                    f"answers; it was: {request.messages[-1].content[-200:]!r}"
                )
            answer = self._answers[asked]
        return self._tell(request, prompt_tokens, answer, cancel or CancelToken())

    def warm(self, messages: Sequence[Message], tools: Sequence[ToolSchema] = ()) -> None:
        """Nothing to read ahead."""

    def close(self) -> None:
        """Refuse requests from now on."""
        self._closed = True

    def _check_open(self) -> None:
        if self._closed:
            raise ModelError(f"the model {self.name!r} was closed")

    def _check_request(self, request: ChatRequest, prompt_tokens: int) -> None:
        if not request.messages:
            raise UserError("a request needs at least one message")
        if request.max_tokens is not None and request.max_tokens < 1:
            raise UserError(f"max_tokens must be at least 1, not {request.max_tokens}")
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

    def _tell(
        self, request: ChatRequest, prompt_tokens: int, answer: Any, cancel: CancelToken
    ) -> Iterator[Delta]:
        text = _until_stop(_text(answer, request), request.stop)
        room = request.max_tokens or self.context_tokens - prompt_tokens
        told: list[str] = []
        reason: FinishReason = "stop"
        for piece in _PIECE.findall(text):
            if cancel.cancelled or self._closed or len(told) == room:
                reason = "length" if len(told) == room else "cancelled"
                break
            told.append(piece)
            yield Delta(text=piece)
        usage = Usage(prompt_tokens=prompt_tokens, completion_tokens=len(told))
        yield Delta(completion=Completion("".join(told), reason, usage, self.name))


def _text(answer: Any, request: ChatRequest) -> str:
    """What the model says, checked against the schema that was asked for."""
    if callable(answer) and not isinstance(answer, type):
        answer = answer(request)
    if isinstance(answer, BaseException):
        raise answer
    text = answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)
    if isinstance(request.constraint, JsonSchema):
        try:
            value = json.loads(text)
        except ValueError as error:
            raise AssertionError(f"JSON was asked for, and {text!r} is none: {error}") from None
        fault = next(Draft202012Validator(request.constraint.schema).iter_errors(value), None)
        if fault is not None:
            raise AssertionError(f"{text!r} does not fit the schema: {fault.message}")
    return text


def _until_stop(text: str, stops: Sequence[str]) -> str:
    """The text before the stop string that is complete first."""
    found = [(at + len(stop), at) for stop in stops if stop and (at := text.find(stop)) >= 0]
    return text[: min(found)[1]] if found else text


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


@dataclass
class ScriptedServices:
    """What a workflow run borrows, with scripted models whatever their name.

    >>> services = ScriptedServices(model=ScriptedModel("yes"))
    >>> services.chat("qwen2.5-coder-1.5b").name
    'scripted'
    """

    model: ChatModel = field(default_factory=ScriptedModel)
    ears: Transcriber = field(default_factory=lambda: ScriptedTranscriber({}))
    toolbox: Any = None

    def chat(self, name: str | None = None) -> ChatModel:
        """The scripted model."""
        del name
        return self.model

    def transcriber(self, name: str | None = None) -> Transcriber:
        """The scripted transcriber."""
        del name
        return self.ears
