"""Answers have the fields that /openapi.json says they have, and no others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.web.openai.conftest import Ears, Place, Script
from tests.web.test_openapi import check

HELLO = [{"role": "user", "content": "Hello?"}]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {"messages": HELLO}),
        ("/v1/chat/completions", {"messages": HELLO, "logprobs": True}),
        ("/v1/completions", {"prompt": "Hello?"}),
        ("/v1/responses", {"input": "Hello?"}),
        ("/v1/responses", {"input": "Hello?", "max_output_tokens": 9, "instructions": "Be kind."}),
    ],
)
def test_an_answer_of_a_model(
    place: Place, script: Script, path: str, body: dict[str, Any]
) -> None:
    script("Hello there.")
    with place.http() as http:
        answer = http.post(path, json={"model": "scripted", **body})
        check(answer.json(), described(place, path)["application/json"]["schema"])


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions", "/v1/responses"])
def test_a_stream_is_described_as_one(place: Place, script: Script, path: str) -> None:
    script("Hello there.")
    asked: dict[str, Any] = {"input": "x"} if path.endswith("responses") else {"prompt": "x"}
    asked = {"messages": HELLO} if "chat" in path else asked
    with place.http() as http:
        answer = http.post(path, json={"model": "scripted", "stream": True, **asked})
    assert answer.headers["content-type"].partition(";")[0] in described(place, path)


@pytest.mark.parametrize("form", ["json", "verbose_json", "text", "srt", "vtt"])
def test_a_transcript(place: Place, ears: Callable[..., Ears], form: str) -> None:
    ears()
    path = "/v1/audio/transcriptions"
    about = {"response_format": form}
    if form == "verbose_json":
        about["timestamp_granularities[]"] = "word"
    with place.http() as http:
        answer = http.post(path, data=about, files={"file": ("a.wav", b"RIFF")})
    promised = described(place, path)[answer.headers["content-type"].partition(";")[0]]
    if "json" in form:
        check(answer.json(), promised["schema"])


def described(place: Place, path: str) -> dict[str, Any]:
    """The kinds of answers that are promised."""
    with place.http(place.owner) as http:
        paths = http.get("/openapi.json").json()["paths"]
    content: dict[str, Any] = paths[path]["post"]["responses"]["200"]["content"]
    return content
