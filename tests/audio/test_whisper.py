"""The adapter on real speech: accuracy, what the checks behind it catch, and stopping."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import pytest

from agentkit.audio import WhisperTranscriber, passes
from agentkit.audio import whisper as module
from agentkit.audio.decode import open_recording
from agentkit.audio.hallucination import Piece, plain
from agentkit.audio.windows import Region, Window, windows
from agentkit.cancel import CancelToken
from agentkit.errors import Cancelled, ModelDamaged, UserError

FIRST_MINUTE = 60.0


def first_minute(recordings: Path, path: Path, codec: str, bit_rate: int | None = None) -> Path:
    """The first minute of the meeting in another format."""
    source = recordings / "libri_meeting" / "libri_meeting.flac"
    with av.open(str(source)) as original, av.open(str(path), "w") as copy:
        stream: Any = copy.add_stream(codec, rate=16_000, layout="mono")
        if bit_rate:
            stream.bit_rate = bit_rate
        resampler = av.AudioResampler(stream.codec_context.format, "mono", 16_000, 1152)
        for frame in original.decode(audio=0):
            if frame.time is not None and frame.time >= FIRST_MINUTE:
                break
            for piece in resampler.resample(frame):
                copy.mux(stream.encode(piece))
        copy.mux(stream.encode(None))
    return path


@pytest.mark.model
def test_a_meeting_of_three_readers(
    recordings: Path, whisper: WhisperTranscriber, word_errors: Callable[[str, str], Any]
) -> None:
    """Word error rate at most 6 %, all of the speech has words, and times are those of the text."""
    folder = recordings / "libri_meeting"
    found = whisper.transcribe(folder / "libri_meeting.flac")
    reference = (folder / "libri_meeting.txt").read_text(encoding="utf-8")
    assert word_errors(reference, found.text).rate <= 0.06
    assert found.covered_seconds >= 0.98 * found.speech_seconds
    assert found.language == "en"
    assert found.warnings == ()
    assert max(segment.end - segment.start for segment in found.segments) <= 15

    fence = [word.start for word in found.words if word.text.lower().startswith("fence")]
    assert [22.5 < moment < 27.6 for moment in fence] == [True, True]


@pytest.mark.model
def test_a_damaged_mp3_is_transcribed_to_its_end(
    recordings: Path, whisper: WhisperTranscriber, tmp_path: Path
) -> None:
    path = first_minute(recordings, tmp_path / "torn.mp3", "libmp3lame", 64_000)
    content = bytearray(path.read_bytes())
    for share in (0.1, 0.3, 0.95):
        at = int(len(content) * share)
        content[at : at + 4096] = bytes(range(256)) * 16
    path.write_bytes(content)
    found = whisper.transcribe(path)
    assert found.duration > 55
    assert "the more proposals" in found.text.lower()
    assert any("torn.mp3 is damaged" in warning for warning in found.warnings)


@pytest.mark.model
def test_text_that_a_batch_lost_is_decoded_again(
    recordings: Path, whisper: WhisperTranscriber, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No score of Whisper's shows that text is missing, so the time without words has to."""
    honest = passes.fast

    def losing(
        model: Any, window: Window, stretches: Sequence[Region], language: str
    ) -> Iterator[Piece]:
        """Loses what is said from 3 s to 7.5 s, and stretches the word before over the hole."""
        for piece in honest(model, window, stretches, language):
            before = [word for word in piece.words if word.start < 3]
            stretched = replace(before[-1], end=7.5)
            after = [word for word in piece.words if word.start >= 7.5]
            yield replace(piece, words=(*before[:-1], stretched, *after))

    monkeypatch.setattr(passes, "fast", lambda *given: list(losing(*given)))
    found = whisper.transcribe(recordings / "wcpp_jfk" / "jfk.wav", language="en")
    assert "what your country can do for you" in plain(found.text)
    assert found.warnings == ()


@pytest.mark.model
def test_speech_that_stays_without_words_is_a_warning(
    recordings: Path, whisper: WhisperTranscriber, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = passes.fast
    monkeypatch.setattr(
        passes,
        "fast",
        lambda *given: [replace(one, words=one.words[:8]) for one in honest(*given)],
    )
    monkeypatch.setattr(passes, "accurate", lambda *given: iter(()))
    found = whisper.transcribe(recordings / "wcpp_jfk" / "jfk.wav", language="en")
    assert found.covered_seconds < found.speech_seconds
    assert "sound like speech but gave no words" in found.warnings[0]


@pytest.mark.model
def test_long_recordings_are_cut_without_a_seam(
    recordings: Path,
    whisper: WhisperTranscriber,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    word_errors: Callable[[str, str], Any],
) -> None:
    """Windows of twenty seconds instead of five minutes: the same words, at the same times."""
    path = first_minute(recordings, tmp_path / "minute.flac", "flac")
    whole = whisper.transcribe(path, language="en")
    monkeypatch.setattr(module, "windows", lambda blocks: windows(blocks, length=20.0))
    seen: list[float] = []
    parts = whisper.transcribe(
        path, language="en", progress=lambda done, total, unit: seen.append(done)
    )
    assert word_errors(whole.text, parts.text).rate < 0.1
    ends = [next(w.end for w in found.words if w.text.lower().startswith("credit"))
            for found in (whole, parts)]  # fmt: skip
    assert ends[0] == pytest.approx(ends[1], abs=0.5)
    assert sorted(seen) == seen
    assert len(seen) > 4


@pytest.mark.model
def test_a_cancel_stops_within_a_batch(recordings: Path, whisper: WhisperTranscriber) -> None:
    token = CancelToken()
    seen: list[float] = []

    def stop(done: float, total: float | None, unit: str) -> None:
        seen.append(done)
        token.cancel("enough")

    with pytest.raises(Cancelled, match="enough"):
        whisper.transcribe(
            recordings / "libri_meeting" / "libri_meeting.flac", progress=stop, cancel=token
        )
    assert len(seen) == 1
    assert seen[0] < 100


@pytest.mark.model
def test_the_sound_of_a_film(recordings: Path, whisper: WhisperTranscriber, tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    with (
        av.open(str(recordings / "wcpp_jfk" / "jfk.wav")) as source,
        av.open(str(film), "w") as target,
    ):
        picture: Any = target.add_stream("mpeg4", rate=10, width=64, height=64, pix_fmt="yuv420p")
        sound: Any = target.add_stream("aac", rate=16_000, layout="mono")
        for _ in range(110):
            target.mux(picture.encode(av.VideoFrame(64, 64, "yuv420p")))
        resampler = av.AudioResampler("fltp", "mono", 16_000, 1024)
        for frame in source.decode(audio=0):
            for piece in resampler.resample(frame):
                target.mux(sound.encode(piece))
        target.mux(sound.encode(None))
        target.mux(picture.encode(None))
    found = whisper.transcribe(film)
    assert "what you can do for your country" in found.text
    assert found.warnings == ()


def test_a_model_that_is_not_whole_is_named_before_anything_is_fetched(
    recordings: Path, tmp_path: Path
) -> None:
    """Without its tokenizer, faster-whisper would ask a server for one."""
    (tmp_path / "model.bin").write_bytes(b"weights")
    with pytest.raises(ModelDamaged, match=r"has no tokenizer\.json"):
        WhisperTranscriber(tmp_path, "half").transcribe(recordings / "wcpp_jfk" / "jfk.wav")


def test_weights_that_are_something_else(recordings: Path, tmp_path: Path) -> None:
    for name in ("model.bin", "tokenizer.json", "config.json"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(ModelDamaged, match=r"mine: cannot be loaded") as caught:
        WhisperTranscriber(tmp_path, "mine").transcribe(recordings / "wcpp_jfk" / "jfk.wav")
    assert "agentkit models" in (caught.value.hint or "")


def test_an_unknown_language_is_told_before_anything_is_opened(tmp_path: Path) -> None:
    nowhere = WhisperTranscriber(tmp_path / "no-model", "whisper-base")
    with pytest.raises(UserError, match="knows no language 'klingon'"):
        nowhere.transcribe(tmp_path / "no-recording.mp3", language="klingon")


@pytest.mark.model
def test_an_english_model_refuses_other_languages(
    recordings: Path, model_path: Callable[[str], Path]
) -> None:
    english = WhisperTranscriber(model_path("whisper-tiny.en"), "whisper-tiny.en", device="cpu")
    speech = recordings / "wcpp_jfk" / "jfk.wav"
    with pytest.raises(UserError, match="only knows English"):
        english.transcribe(speech, language="de")
    found = english.transcribe(speech)
    assert found.language == "en"
    assert "your country" in found.text


def test_windows_of_a_recording_are_small(recordings: Path) -> None:
    """What is held at a time does not grow with the recording."""
    with open_recording(recordings / "libri_meeting" / "libri_meeting.flac") as recording:
        found = list(windows(recording.blocks(), length=60.0))
    assert len(found) >= 4
    assert max(len(window.samples) for window in found) <= 60 * 16_000
    assert found[-1].end == pytest.approx(recording.position, abs=0.01)
