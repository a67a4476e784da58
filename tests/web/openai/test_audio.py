"""The official client sends recordings."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openai
import pytest

from agentkit.errors import BadAudio
from tests.web.conftest import Start
from tests.web.openai.conftest import Ears, Place

Listen = Callable[..., Ears]


def recording() -> tuple[str, io.BytesIO]:
    return "talk.wav", io.BytesIO(b"RIFF....")


def test_a_recording_becomes_text_and_leaves_no_file(client: openai.OpenAI, ears: Listen) -> None:
    heard = ears()
    found = client.audio.transcriptions.create(model="w", file=recording(), language="en")
    assert found.text == "Good morning. Let us begin with the budget."
    assert found.usage is not None
    assert found.usage.type == "duration"
    assert heard.languages == ["en"]
    assert not any(file.exists() for file in heard.uploads)


@pytest.mark.parametrize(
    ("form", "beginning"),
    [
        ("text", "Good morning. Let us"),
        ("srt", "1\n00:00:00,000 --> 00:00:00,800\nGood morning."),
        ("vtt", "WEBVTT\n\n00:00:00.000 --> "),
    ],
)
def test_texts_and_subtitles_come_as_they_are(
    client: openai.OpenAI, ears: Listen, form: Any, beginning: str
) -> None:
    ears()
    found: Any = client.audio.transcriptions.create(
        model="w", file=recording(), response_format=form
    )
    assert found.startswith(beginning)


def test_the_long_form_has_segments(client: openai.OpenAI, ears: Listen) -> None:
    ears()
    found = client.audio.transcriptions.create(
        model="w", file=recording(), response_format="verbose_json"
    )
    assert found.language == "en"
    assert found.duration == pytest.approx(3.2)
    assert found.words is None
    assert found.segments is not None
    assert [(one.id, one.text) for one in found.segments] == [
        (0, "Good morning."),
        (1, "Let us begin with the budget."),
    ]
    for segment in found.segments:
        assert type(segment).model_validate(segment.model_dump()) == segment
        assert (segment.tokens, segment.temperature, segment.no_speech_prob) == ([], 0, 0)
        assert segment.avg_logprob == 0


def test_who_speaks_is_not_told(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="'diarized_json' is not supported"):
        client.audio.transcriptions.create(
            model="whisper-tiny.en", file=recording(), response_format="diarized_json"
        )


def test_words_have_times_where_they_are_wanted(client: openai.OpenAI, ears: Listen) -> None:
    ears()
    found = client.audio.transcriptions.create(
        model="w",
        file=recording(),
        response_format="verbose_json",
        timestamp_granularities=["word"],
    )
    assert found.segments is None
    assert found.words is not None
    assert (found.words[1].word, found.words[1].start) == ("morning.", 0.4)
    both = client.audio.transcriptions.create(
        model="w",
        file=recording(),
        response_format="verbose_json",
        timestamp_granularities=["word", "segment"],
    )
    assert both.segments
    assert both.words


def test_a_stream_tells_the_text_as_it_is_heard(client: openai.OpenAI, ears: Listen) -> None:
    heard = ears()
    events: list[Any] = list(
        client.audio.transcriptions.create(model="w", file=recording(), stream=True)
    )
    kinds = [one.type for one in events]
    assert kinds == ["transcript.text.delta", "transcript.text.delta", "transcript.text.done"]
    assert "".join(one.delta for one in events[:-1]) == events[-1].text
    assert not any(file.exists() for file in heard.uploads)


def test_the_asynchronous_client_is_heard(asynchronous: openai.AsyncOpenAI, ears: Listen) -> None:
    ears("Yes.")

    async def ask() -> str:
        async with asynchronous as client:
            found = await client.audio.transcriptions.create(model="w", file=recording())
        return found.text

    assert asyncio.run(ask()) == "Yes."


def test_silence_is_no_error(client: openai.OpenAI, ears: Listen) -> None:
    ears("")
    assert client.audio.transcriptions.create(model="w", file=recording()).text == ""


@pytest.mark.parametrize("stream", [False, True])
def test_what_is_no_recording_is_the_clients_fault(
    client: openai.OpenAI, ears: Listen, stream: bool
) -> None:
    ears(BadAudio(Path("/tmp/some/where"), "it is not audio"))
    with pytest.raises(openai.APIError, match=r"talk\.wav: it is not audio") as caught:
        list(client.audio.transcriptions.create(model="w", file=recording(), stream=stream))
    assert "/tmp/some" not in str(caught.value)


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"prompt": "names"}, "prompt"),
        ({"temperature": 0.5}, "temperature"),
        ({"include": ["logprobs"]}, "include[]"),
        ({"response_format": "diarized_json"}, "response_format"),
        ({"language": "klingon"}, None),
        ({"stream": True, "response_format": "srt"}, None),
    ],
)
def test_what_is_not_supported_is_named(
    client: openai.OpenAI, more: dict[str, Any], param: str | None
) -> None:
    with pytest.raises((openai.BadRequestError, openai.NotFoundError)) as caught:
        client.audio.transcriptions.create(model="whisper-tiny.en", file=recording(), **more)
    if param is not None:
        assert caught.value.param == param


def test_a_form_without_a_file_or_with_a_text_for_one(place: Place) -> None:
    with place.http() as http:
        for data in ({}, {"file": "text"}):
            answer = http.post("/v1/audio/transcriptions", data=data, files={} if data else None)
            assert answer.status_code == 400
            assert answer.json()["error"]["param"] == "file"


def test_a_recording_may_be_larger_than_other_requests_but_has_a_limit(serve: Start) -> None:
    served = serve(body=2000, upload=9000)
    with served.http() as http:
        files = {"file": ("a.wav", b" " * 5000)}
        answer = http.post("/v1/audio/transcriptions", files=files, data={"model": "no-such"})
        assert answer.status_code == 404
        files = {"file": ("a.wav", b" " * 10_000)}
        assert http.post("/v1/audio/transcriptions", files=files).status_code == 413
