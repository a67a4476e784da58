"""Every file of ../shared/audio/edge_cases: the right text, no speech, or a fault with its name."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentkit.audio import WhisperTranscriber
from agentkit.audio.hallucination import plain
from agentkit.errors import BadAudio

pytestmark = pytest.mark.model

SPOKEN = {
    "jfk_8ch.wav": "ask not what your country can do for you",
    "jfk_antiphase_stereo.flac": "ask not what your country can do for you",
    "jfk_right_channel_only.flac": "ask not what your country can do for you",
    "jfk_very_quiet.flac": "ask not what your country can do for you",
    "jfk_silence_jfk.flac": "ask not what your country can do for you",
    "libri_meeting_phone8k.wav": "turned her skirt back put her feet on the fender",
    "libri_meeting_snr05.ogg": "tear down the fence",
    "truncated_60pct.flac": "and so my fellow americans ask not what your country",
    "truncated_60pct.wav": "and so my fellow americans ask not what your country",
}
SILENT = {
    "clicks_60s.flac",
    "hum_50hz_60s.flac",
    "room_noise_60s.flac",
    "silence_60s.flac",
    "too_short_50ms.wav",
}
BROKEN = {
    "header_only.wav": "has a header, but no sound behind it",
    "text_named.mp3": "holds text, not sound",
    "zero_bytes.wav": "is empty (0 bytes)",
}
TRUNCATED = {
    "truncated_60pct.flac": "truncated_60pct.flac: the file says 11 s, 6 s could be read "
    "(5 s are missing)",
    "truncated_60pct.wav": "truncated_60pct.wav: the file says 11 s, 7 s could be read "
    "(4 s are missing)",
}


def test_every_file_has_its_expectation(recordings: Path) -> None:
    files = {path.name for path in (recordings / "edge_cases").iterdir()} - {"SOURCE.txt"}
    assert files == SPOKEN.keys() | SILENT | BROKEN.keys()


@pytest.mark.parametrize("name", sorted(SPOKEN))
def test_speech_is_written_down(recordings: Path, whisper: WhisperTranscriber, name: str) -> None:
    found = whisper.transcribe(recordings / "edge_cases" / name)
    assert found.language == "en"
    assert SPOKEN[name] in plain(found.text)
    assert found.covered_seconds >= 0.95 * found.speech_seconds
    if name in TRUNCATED:
        assert TRUNCATED[name] in found.warnings
    else:
        assert found.warnings == ()


@pytest.mark.parametrize("name", sorted(SILENT))
def test_nothing_is_made_up(recordings: Path, whisper: WhisperTranscriber, name: str) -> None:
    found = whisper.transcribe(recordings / "edge_cases" / name)
    assert (found.text, found.segments, found.language) == ("", (), None)
    assert found.covered_seconds == 0


@pytest.mark.parametrize("name", sorted(BROKEN))
def test_what_is_no_recording_is_named(
    recordings: Path, whisper: WhisperTranscriber, name: str
) -> None:
    path = recordings / "edge_cases" / name
    with pytest.raises(BadAudio) as caught:
        whisper.transcribe(path)
    assert str(caught.value) == f"{path}: {BROKEN[name]}"
    assert caught.value.hint


def test_a_minute_of_silence_does_not_shift_what_follows(
    recordings: Path, whisper: WhisperTranscriber
) -> None:
    found = whisper.transcribe(recordings / "edge_cases" / "jfk_silence_jfk.flac")
    asks = [word.start for word in found.words if word.text.lower().startswith("ask")]
    assert len(asks) == 4
    assert asks[2] - asks[0] == pytest.approx(101, abs=1)
