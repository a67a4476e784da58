"""What every `Transcriber` promises; run on each adapter.

An adapter joins by a name in `ADAPTERS` and a branch in the fixture.
"""

from __future__ import annotations

import threading
import wave
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from agentkit.audio import WhisperTranscriber
from agentkit.cancel import CancelToken
from agentkit.errors import BadAudio, Cancelled, UserError
from agentkit.ports import Transcriber
from agentkit.transcript import Transcript

ADAPTERS = ["whisper"]

RECORDINGS = Path(__file__).parents[2].parent / "shared" / "audio"

pytestmark = pytest.mark.model

_loaded: dict[Path, Transcriber] = {}
_heard: dict[str, Transcript] = {}


@pytest.fixture(params=ADAPTERS)
def transcriber(model_path: Callable[[str], Path]) -> Transcriber:
    """An adapter, ready to be used."""
    path = model_path("whisper-base")
    if path not in _loaded:
        _loaded[path] = WhisperTranscriber(path, "whisper-base", device="cpu")
    return _loaded[path]


@pytest.fixture
def speech() -> Path:
    """Eleven seconds of English."""
    path = RECORDINGS / "wcpp_jfk" / "jfk.wav"
    if not path.exists():
        pytest.skip("needs the recordings in ../shared/audio, beside the checkout")
    return path


@pytest.fixture
def heard(transcriber: Transcriber, speech: Path) -> Transcript:
    """What the adapter makes of it, asked once."""
    if transcriber.name not in _heard:
        _heard[transcriber.name] = transcriber.transcribe(speech)
    return _heard[transcriber.name]


@pytest.fixture
def silence(tmp_path: Path) -> Path:
    """Three seconds without a sound."""
    path = tmp_path / "silence.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(bytes(96_000))
    return path


def test_it_has_a_name(transcriber: Transcriber) -> None:
    assert transcriber.name


def test_words_have_times_in_order_within_the_recording(heard: Transcript) -> None:
    words = list(heard.words)
    assert len(words) > 15
    assert all(0 <= word.start <= word.end <= heard.duration + 0.1 for word in words)
    assert all(before.start <= after.start for before, after in pairwise(words))
    assert all(word.text == word.text.strip() != "" for word in words)
    assert all(0 <= word.probability <= 1 for word in words)


def test_segments_are_made_of_their_words(heard: Transcript) -> None:
    for segment in heard.segments:
        assert segment.text.split() == [word.text for word in segment.words]
        assert segment.start == segment.words[0].start
        assert segment.start <= segment.end


def test_the_transcript_says_where_it_comes_from(
    transcriber: Transcriber, heard: Transcript
) -> None:
    assert heard.model == transcriber.name
    assert heard.duration == pytest.approx(11.0, abs=0.05)
    assert 0 < heard.covered_seconds <= heard.speech_seconds <= heard.duration


def test_the_language_is_detected_or_taken_as_given(transcriber: Transcriber, speech: Path) -> None:
    assert transcriber.transcribe(speech).language == "en"
    assert transcriber.transcribe(speech, language="en").language == "en"


def test_progress_counts_seconds_up_to_the_end(transcriber: Transcriber, speech: Path) -> None:
    seen: list[tuple[float, float | None, str]] = []
    transcriber.transcribe(
        speech, progress=lambda done, total, unit: seen.append((done, total, unit))
    )
    done = [one[0] for one in seen]
    assert done == sorted(done)
    assert {one[2] for one in seen} == {"s"}
    assert seen[-1][:2] == pytest.approx((11.0, 11.0), abs=0.05)


def test_what_is_heard_on_the_way_is_the_whole_text(transcriber: Transcriber, speech: Path) -> None:
    told: list[str] = []
    assert transcriber.transcribe(speech, heard=told.append).text == "".join(told)


def test_without_speech_there_are_no_segments_and_no_error(
    transcriber: Transcriber, silence: Path
) -> None:
    found = transcriber.transcribe(silence)
    assert (found.segments, found.language, found.text) == ((), None, "")
    assert found.duration == pytest.approx(3.0)
    assert found.speech_seconds == found.covered_seconds == 0


def test_what_cannot_be_decoded_is_named(transcriber: Transcriber, tmp_path: Path) -> None:
    for path in (tmp_path / "missing.wav", tmp_path):
        with pytest.raises(BadAudio) as caught:
            transcriber.transcribe(path)
        assert caught.value.path == path
        assert caught.value.hint


def test_a_language_that_it_does_not_know_is_refused(
    transcriber: Transcriber, speech: Path
) -> None:
    with pytest.raises(UserError, match="klingon"):
        transcriber.transcribe(speech, language="klingon")


def test_a_cancelled_token_stops_it(transcriber: Transcriber, speech: Path) -> None:
    token = CancelToken()
    token.cancel("no more")
    with pytest.raises(Cancelled, match="no more"):
        transcriber.transcribe(speech, cancel=token)


def test_two_threads_get_the_same_as_one(
    transcriber: Transcriber, speech: Path, heard: Transcript
) -> None:
    found: list[Transcript] = []
    threads = [
        threading.Thread(target=lambda: found.append(transcriber.transcribe(speech)))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [one.text for one in found] == [heard.text] * 2


def test_closing_twice_is_no_error(transcriber: Transcriber) -> None:
    transcriber.close()
    transcriber.close()
