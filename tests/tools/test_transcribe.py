"""What is said in a recording, as plain data; which one may be heard, the grants say."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agentkit.errors import BadAudio, ToolError
from agentkit.testing import ScriptedTranscriber
from agentkit.transcript import Segment, Transcript, Word

Call = Callable[..., Any]

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


@pytest.fixture(autouse=True)
def ears(context: Any) -> ScriptedTranscriber:
    bad = BadAudio(Path("bad.wav"), "it is cut off")
    context.transcriber = ScriptedTranscriber({"a.wav": HEARD, "bad.wav": bad})
    ears: ScriptedTranscriber = context.transcriber
    return ears


def test_the_result_is_plain_data_without_words(call: Call) -> None:
    result = call("transcribe", audio="a.wav")

    assert json.loads(json.dumps(result)) == result
    assert result["text"] == "Hello there."
    assert result["segments"] == [{"start": 0.5, "end": 1.5, "text": "Hello there."}]
    assert (result["language"], result["duration"]) == ("en", 2.0)


def test_words_come_when_asked_for(call: Call) -> None:
    result = call("transcribe", audio="a.wav", words=True)

    assert [word["text"] for word in result["segments"][0]["words"]] == ["Hello", "there."]


def test_warnings_reach_whoever_runs_it(call: Call, context: Any) -> None:
    result = call("transcribe", audio="a.wav")

    assert context.warnings == result["warnings"] == list(HEARD.warnings)


def test_a_file_is_found_in_the_folder_of_the_run_and_where_it_was_granted(
    call: Call, context: Any, ears: ScriptedTranscriber
) -> None:
    (context.folder / "link").symlink_to(context.granted)

    call("transcribe", audio="a.wav")
    call("transcribe", audio="link/a.wav")

    assert ears.heard == [context.folder / "a.wav", context.granted / "a.wav"]


def test_what_was_not_granted_is_not_heard(
    call: Call, elsewhere: Path, ears: ScriptedTranscriber
) -> None:
    with pytest.raises(ToolError, match="may not be read"):
        call("transcribe", audio=str(elsewhere / "a.wav"))
    assert ears.heard == []


def test_a_recording_that_cannot_be_heard(call: Call) -> None:
    with pytest.raises(BadAudio, match="it is cut off"):
        call("transcribe", audio="bad.wav")
