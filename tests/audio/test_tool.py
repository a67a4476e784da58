"""The shipped tool `transcribe`."""

from __future__ import annotations

import json
import runpy
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agentkit.cancel import CancelToken
from agentkit.config import shipped
from agentkit.ports import Progress, no_progress
from agentkit.transcript import Segment, Transcript, Word

WORDS = (Word(0.5, 1.0, "Hello", 0.9), Word(1.0, 1.5, "there.", 0.8))
HEARD = Transcript(
    segments=(Segment(0.5, 1.5, "Hello there.", WORDS),),
    language="en",
    duration=2.0,
    speech_seconds=1.0,
    covered_seconds=1.0,
    model="whisper-base",
    warnings=("the file says 4 s, 2 s could be read",),
)


class OneAnswer:
    """A transcriber that always hears the same."""

    name = "one-answer"

    def __init__(self) -> None:
        self.asked: list[tuple[Path, str | None]] = []

    def transcribe(
        self,
        audio: Path,
        *,
        language: str | None = None,
        progress: Progress = no_progress,
        cancel: CancelToken | None = None,
    ) -> Transcript:
        self.asked.append((audio, language))
        progress(2.0, 2.0, "s")
        return HEARD

    def close(self) -> None:
        pass


@pytest.fixture
def transcribe() -> Callable[..., Any]:
    found: Any = runpy.run_path(str(shipped("tools") / "transcribe.py"))["transcribe"]
    function: Callable[..., Any] = getattr(found, "function", found)
    return function


@pytest.fixture
def context() -> Any:
    warned: list[str] = []
    return SimpleNamespace(
        transcriber=OneAnswer(), cancel=CancelToken(), progress=no_progress,
        warn=warned.append, warned=warned,
    )  # fmt: skip


def test_the_result_is_plain_data_without_words(
    transcribe: Callable[..., Any], context: Any
) -> None:
    result = transcribe(Path("a.wav"), language="en", context=context)
    assert json.loads(json.dumps(result)) == result
    assert result["text"] == "Hello there."
    assert result["segments"] == [{"start": 0.5, "end": 1.5, "text": "Hello there."}]
    assert (result["language"], result["duration"]) == ("en", 2.0)
    assert context.transcriber.asked == [(Path("a.wav"), "en")]


def test_words_come_when_asked_for(transcribe: Callable[..., Any], context: Any) -> None:
    result = transcribe(Path("a.wav"), words=True, context=context)
    assert [word["text"] for word in result["segments"][0]["words"]] == ["Hello", "there."]


def test_warnings_reach_whoever_runs_it(transcribe: Callable[..., Any], context: Any) -> None:
    result = transcribe(Path("a.wav"), context=context)
    assert context.warned == result["warnings"] == list(HEARD.warnings)
