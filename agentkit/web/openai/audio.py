"""/v1/audio/transcriptions: a recording comes in, is a file for a while, and its words go out."""

from __future__ import annotations

import math
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Literal

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse
from pydantic import Field, ValidationError, model_validator
from starlette.datastructures import FormData, UploadFile

from agentkit.cancel import CancelToken
from agentkit.errors import BadAudio
from agentkit.ports import nothing_heard
from agentkit.runtime import Runtime
from agentkit.subtitles import to_srt, to_vtt
from agentkit.transcript import Segment, Transcript
from agentkit.web.openai.body import Body
from agentkit.web.openai.elsewhere import pushed, result
from agentkit.web.openai.refusals import Refused, Route, invalid
from agentkit.web.openai.shapes import OF_EACH, STREAM, TRANSCRIPT, answers
from agentkit.web.openai.streams import data, streamed
from agentkit.web.service import Here

PATH = "/v1/audio/transcriptions"
SRT, VTT = "application/x-subrip", "text/vtt"


class TranscriptionForm(Body):
    """See https://platform.openai.com/docs/api-reference/audio/createTranscription."""

    model_config = Body.model_config | {"strict": False}  # in a form all is text

    model: str | None = None
    language: str | None = None
    response_format: Literal["json", "text", "srt", "vtt", "verbose_json"] = "json"
    timestamp_granularities: list[Literal["word", "segment"]] = Field(default_factory=list)
    stream: bool = False
    temperature: float = Field(0.0, ge=0, le=0)
    """Nothing is drawn: what is heard is what is likeliest."""
    chunking_strategy: Literal["auto"] | None = None
    """Harmless: silence is always found, and a recording cut there."""

    @model_validator(mode="after")
    def _agrees(self) -> TranscriptionForm:
        if self.timestamp_granularities and self.response_format != "verbose_json":
            raise ValueError("timestamp_granularities want response_format: verbose_json")
        if self.stream and self.response_format not in ("json", "text"):
            raise ValueError("stream wants response_format: json or text")
        return self


def router(upload: int) -> APIRouter:
    """`upload`: bytes of a recording, at most."""
    made = APIRouter(tags=["openai"], route_class=Route)
    made.add_api_route(
        PATH,
        transcribe,
        methods=["POST"],
        response_model=None,
        max_body_size=upload,
        openapi_extra={
            "requestBody": {"required": True, "content": {"multipart/form-data": {
                "schema": _described()}}},
            "responses": answers(TRANSCRIPT, "text/plain", SRT, VTT, STREAM, always=OF_EACH),
        },
    )  # fmt: skip
    return made


async def transcribe(here: Here, request: Request) -> Response:
    """What is said in a recording."""
    async with request.form(max_files=1, max_fields=20) as form:
        asked, recording = _read(form)
        file = await run_in_threadpool(_kept, recording.file)
    listening = _Listening(here.runtime, asked, file, recording.filename or "the recording")
    if asked.stream:
        return await streamed(listening.events, lambda events: "".join(map(data, events)))
    return _answer(await result(request, listening.transcript), asked)


class _Listening:
    """The work on one recording, in a file that is gone afterwards."""

    def __init__(self, runtime: Runtime, asked: TranscriptionForm, file: Path, name: str) -> None:
        self._runtime = runtime
        self._asked = asked
        self._file = file
        self._name = name

    def transcript(
        self, cancel: CancelToken, heard: Callable[[str], None] = nothing_heard
    ) -> Transcript:
        """All that is said.  Raises `Refused` for what is no recording."""
        try:
            ears = self._runtime.transcriber(self._asked.model)
            return ears.transcribe(
                self._file, language=self._asked.language, heard=heard, cancel=cancel
            )
        except BadAudio as error:
            raise Refused("file", f"{self._name}: {error.fault}", hint=error.hint) from None
        finally:
            self._file.unlink(missing_ok=True)

    def events(self, cancel: CancelToken) -> Iterator[dict[str, Any]]:
        """The text as it is heard, and the whole of it at the end."""

        def listen(tell: Callable[[dict[str, Any]], None]) -> None:
            def heard(text: str) -> None:
                tell({"type": "transcript.text.delta", "delta": text})

            found = self.transcript(cancel, heard)
            tell({"type": "transcript.text.done", "text": found.text, "usage": _usage(found)})

        return pushed(listen)


def _read(form: FormData) -> tuple[TranscriptionForm, UploadFile]:
    """The parameters and the recording.  Raises `Refused`."""
    given: dict[str, Any] = {}
    for key, value in form.multi_items():
        if isinstance(value, UploadFile) != (key == "file"):
            raise Refused(key, f"{key!r} is {'a file' if key != 'file' else 'no file'}")
        if key.removesuffix("[]") == "timestamp_granularities":
            given.setdefault("timestamp_granularities", []).append(value)
        else:
            given[key] = value
    recording = given.pop("file", None)
    if recording is None:
        raise Refused("file", "'file' is missing", code="missing_required_parameter")
    if given.get("response_format") == "diarized_json":
        said = "'diarized_json' is not supported: nobody here tells voices apart"
        raise Refused("response_format", said)
    try:
        return TranscriptionForm.model_validate(given), recording
    except ValidationError as error:
        faults = [fault | {"loc": ("body", *fault["loc"])} for fault in error.errors()]
        raise invalid(RequestValidationError(faults, body=given), PATH) from None


def _kept(upload: BinaryIO) -> Path:
    """A recording as a file with a name, which the decoder wants."""
    upload.seek(0)
    with tempfile.NamedTemporaryFile(prefix="agentkit-", suffix=".upload", delete=False) as file:
        try:
            shutil.copyfileobj(upload, file, 1 << 20)
        except BaseException:
            Path(file.name).unlink()
            raise
    return Path(file.name)


# -- what comes back -------------------------------------------------------------------------------


def _answer(transcript: Transcript, asked: TranscriptionForm) -> Response:
    match asked.response_format:
        case "text":
            return PlainTextResponse(f"{transcript.text}\n")
        case "srt":
            return PlainTextResponse(to_srt(transcript), media_type=SRT)
        case "vtt":
            return PlainTextResponse(to_vtt(transcript), media_type=VTT)
        case "verbose_json":
            return JSONResponse(_verbose(transcript, asked.timestamp_granularities or ["segment"]))
        case _:
            return JSONResponse({"text": transcript.text, "usage": _usage(transcript)})


def _usage(transcript: Transcript) -> dict[str, Any]:
    return {"type": "duration", "seconds": math.ceil(transcript.duration)}


def _verbose(transcript: Transcript, granularities: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "task": "transcribe",
        "language": transcript.language or "",
        "duration": transcript.duration,
        "text": transcript.text,
        "usage": _usage(transcript),
    }
    if "segment" in granularities:
        found["segments"] = [_segment(*one) for one in enumerate(transcript.segments)]
    if "word" in granularities:
        found["words"] = [
            {"word": word.text, "start": word.start, "end": word.end} for word in transcript.words
        ]
    return found


def _segment(number: int, segment: Segment) -> dict[str, Any]:
    """What is known of a segment, and what clients read in the place of what is not.

    A segment is made of words that were checked, whoever heard them.  `tokens` is empty: Whisper's
    own belong to texts before that.  `temperature` is 0, since nothing is drawn.  `no_speech_prob`
    is 0: where voice detection finds no speech, there is no segment.
    """
    sure = [math.log(max(word.probability, 1e-9)) for word in segment.words]
    raw = segment.text.encode()
    return {
        "id": number,
        "seek": int(segment.start * 100),
        "start": segment.start,
        "end": segment.end,
        "text": segment.text,
        "tokens": [],
        "temperature": 0.0,
        "avg_logprob": sum(sure) / len(sure) if sure else 0.0,
        "compression_ratio": len(raw) / max(1, len(zlib.compress(raw))),
        "no_speech_prob": 0.0,
    }


def _described() -> dict[str, Any]:
    """The form as JSON Schema, with the file."""
    schema = TranscriptionForm.model_json_schema()
    fields = schema["properties"]
    fields["timestamp_granularities[]"] = fields.pop("timestamp_granularities")
    fields["file"] = {"type": "string", "format": "binary"}
    return schema | {"required": ["file"]}
