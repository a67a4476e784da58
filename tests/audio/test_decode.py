"""Files into samples: whole ones, damaged ones, and things that are no recordings."""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Callable
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from agentkit.audio.decode import SAMPLE_RATE, open_recording, riff_seconds
from agentkit.errors import BadAudio

Samples = NDArray[np.float32]
Tone = Callable[[float], Samples]
WriteWav = Callable[..., Path]


def read(path: Path) -> tuple[Samples, tuple[str, ...]]:
    with open_recording(path) as recording:
        samples = np.concatenate(list(recording.blocks()))
        assert recording.position == pytest.approx(len(samples) / SAMPLE_RATE)
        return samples, recording.warnings


def fault(path: Path) -> BadAudio:
    with pytest.raises(BadAudio) as caught:
        read(path)
    assert str(path) in str(caught.value)
    assert caught.value.hint
    return caught.value


def encode(path: Path, samples: Samples, codec: str, start: float = 0.0) -> Path:
    """Write samples at 16 kHz with a codec; the container follows from the name."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=SAMPLE_RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
        frame.sample_rate = SAMPLE_RATE
        resampler = av.AudioResampler(
            stream.codec_context.format, "mono", stream.codec_context.rate, 1024
        )
        at = round(start * stream.codec_context.rate)
        for piece in [*resampler.resample(frame), *resampler.resample(None)]:
            piece.pts, piece.time_base = at, Fraction(1, stream.codec_context.rate)
            at += piece.samples
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))
    return path


def test_wav_comes_back_as_it_was(write_wav: WriteWav, tone: Tone) -> None:
    samples, warnings = read(write_wav("a.wav", tone(3)[None]))
    assert np.abs(samples - tone(3)).max() < 1e-3
    assert warnings == ()


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.mp3", "libmp3lame"),
        ("a.flac", "flac"),
        ("a.ogg", "libopus"),
        ("a.opus", "libopus"),
        ("a.m4a", "aac"),
        ("a.aac", "aac"),
        ("a.webm", "libopus"),
        ("a.mp4", "aac"),
        ("a.mkv", "flac"),
        ("a.aiff", "pcm_s16be"),
    ],
)
def test_common_formats_are_read_whole_and_without_complaint(
    tmp_path: Path, tone: Tone, name: str, codec: str
) -> None:
    samples, warnings = read(encode(tmp_path / name, tone(5), codec))
    assert len(samples) / SAMPLE_RATE == pytest.approx(5, abs=0.15)
    assert warnings == ()


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000, 96_000])
def test_every_rate_becomes_16_kilohertz(write_wav: WriteWav, rate: int) -> None:
    at = np.arange(rate * 2) / rate
    planes = np.sin(2 * np.pi * 300 * at).astype(np.float32)[None] * 0.5
    samples, _ = read(write_wav("a.wav", planes, rate))
    assert len(samples) == pytest.approx(2 * SAMPLE_RATE, abs=40)
    assert np.abs(np.fft.rfft(samples)).argmax() / 2 == pytest.approx(300, abs=1)


@pytest.mark.parametrize("channels", [2, 3, 4, 6, 8, 10])
def test_any_number_of_channels(write_wav: WriteWav, tone: Tone, channels: int) -> None:
    samples, warnings = read(write_wav("a.wav", np.repeat(tone(1)[None], channels, axis=0)))
    assert np.abs(samples - tone(1)).max() < 1e-2
    assert warnings == ()


def test_channels_that_cancel_each_other_are_still_heard(write_wav: WriteWav, tone: Tone) -> None:
    samples, _ = read(write_wav("a.wav", np.stack([tone(25), -tone(25)])))
    assert np.abs(samples).max() == pytest.approx(0.5, abs=0.01)


def test_long_recordings_come_in_blocks(write_wav: WriteWav, tone: Tone) -> None:
    with open_recording(write_wav("a.wav", tone(65)[None])) as recording:
        lengths = [len(block) / SAMPLE_RATE for block in recording.blocks()]
    assert max(lengths) < 12
    assert sum(lengths) == pytest.approx(65)


def test_a_damaged_spot_costs_that_spot_and_is_reported(tmp_path: Path, tone: Tone) -> None:
    path = encode(tmp_path / "torn.mp3", tone(60), "libmp3lame")
    content = bytearray(path.read_bytes())
    noise = np.random.default_rng(3)
    for share in (0.2, 0.5, 0.8):
        at = int(len(content) * share)
        content[at : at + 4096] = noise.bytes(4096)
    path.write_bytes(content)
    samples, warnings = read(path)
    assert len(samples) / SAMPLE_RATE > 54
    assert np.abs(samples[-5 * SAMPLE_RATE :]).max() > 0.3
    assert "torn.mp3 is damaged" in warnings[0]


def test_a_file_that_breaks_off_says_how_much_is_missing(write_wav: WriteWav, tone: Tone) -> None:
    path = write_wav("half.wav", tone(10)[None])
    path.write_bytes(path.read_bytes()[:160_044])
    samples, warnings = read(path)
    assert len(samples) == 80_000
    assert warnings == ("half.wav: the file says 10 s, 5 s could be read (5 s are missing)",)


def test_a_flac_that_breaks_off_says_how_much_is_missing(tmp_path: Path, tone: Tone) -> None:
    noise = np.random.default_rng(3).standard_normal(20 * SAMPLE_RATE).astype(np.float32) * 0.1
    path = encode(tmp_path / "half.flac", noise, "flac")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    samples, warnings = read(path)
    assert 8 < len(samples) / SAMPLE_RATE < 11
    assert "the file says 20 s" in warnings[-1]


def test_garbage_behind_a_header_never_raises_anything_but_bad_audio(
    tmp_path: Path, tone: Tone
) -> None:
    """Whatever the damage: samples with a warning, or an error that names the file."""
    noise = np.random.default_rng(5)
    for name, codec in (("a.mp3", "libmp3lame"), ("a.ogg", "libopus"), ("a.m4a", "aac"),
                        ("a.flac", "flac"), ("a.webm", "libopus")):  # fmt: skip
        whole = encode(tmp_path / name, tone(5), codec).read_bytes()
        for number in range(6):
            content = bytearray(whole)
            for _ in range(1 + 4 * number):
                at = int(noise.integers(0, len(content)))
                content[at : at + 200] = noise.bytes(min(200, len(content) - at))
            path = tmp_path / f"{number}-{name}"
            path.write_bytes(content)
            with suppress(BadAudio):
                samples, _ = read(path)
                assert np.isfinite(samples).all()
                assert np.abs(samples).max(initial=0) <= 1


def test_sound_that_begins_later_than_the_picture_keeps_its_place(
    tmp_path: Path, tone: Tone
) -> None:
    path = tmp_path / "late.mkv"
    with av.open(str(path), "w") as container:
        picture = container.add_stream("mpeg4", rate=10, width=64, height=64, pix_fmt="yuv420p")
        sound = container.add_stream("pcm_s16le", rate=SAMPLE_RATE, layout="mono")
        for number in range(50):
            frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8))
            frame.pts, frame.time_base = number, Fraction(1, 10)
            container.mux(picture.encode(frame))
        block = (tone(3) * 32767).astype(np.int16)
        heard = av.AudioFrame.from_ndarray(block[None], format="s16", layout="mono")
        heard.sample_rate, heard.pts = SAMPLE_RATE, 2 * SAMPLE_RATE
        heard.time_base = Fraction(1, SAMPLE_RATE)
        container.mux(sound.encode(heard))
        container.mux(sound.encode(None))
        container.mux(picture.encode(None))
    with open_recording(path) as recording:
        recording.claimed = 5.0  # Matroska states one length for picture and sound together
        samples = np.concatenate(list(recording.blocks()))
    assert len(samples) / SAMPLE_RATE == pytest.approx(5, abs=0.05)
    assert not samples[: int(1.9 * SAMPLE_RATE)].any()
    assert np.abs(samples[int(2.1 * SAMPLE_RATE) :]).max() > 0.4


def test_a_film_without_sound(tmp_path: Path) -> None:
    path = tmp_path / "silent.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10, width=64, height=64, pix_fmt="yuv420p")
        for _ in range(5):
            container.mux(
                stream.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8)))
            )
        container.mux(stream.encode(None))
    assert fault(path).fault == "has no sound in it (it holds: video)"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty (0 bytes)"),
        (b"this is not audio\n" * 50, "holds text, not sound"),
        (os.urandom(2000), "is not a sound or video file"),
        (b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\1\0\1\0\x80\x3e\0\0\0\x7d\0\0\2\0\x10\0data\0\0\0\0",
         "has a header, but no sound behind it"),
    ],
    ids=["empty", "text", "noise", "header only"],
)  # fmt: skip
def test_what_is_no_recording_is_named_with_its_fault(
    tmp_path: Path, content: bytes, says: str
) -> None:
    path = tmp_path / "talk.mp3"
    path.write_bytes(content)
    assert says in fault(path).fault


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    assert fault(tmp_path / "nothing.wav").fault == "there is no such file"
    assert fault(tmp_path).fault == "is a folder, not a recording"


def test_a_pipe_is_refused_instead_of_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "pipe.wav"
    os.mkfifo(path)
    assert fault(path).fault == "is not an ordinary file"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    path = tmp_path / "mine.wav"
    path.write_bytes(b"RIFF")
    path.chmod(0)
    assert fault(path).fault == "may not be read by you"


@pytest.mark.parametrize("name", ["12:30 talk.wav", "http:talk.wav", "-i.wav", "50% é.wav"])
def test_odd_names_are_names(write_wav: WriteWav, tone: Tone, name: str) -> None:
    samples, _ = read(write_wav(name, tone(1)[None]))
    assert len(samples) == SAMPLE_RATE


def test_a_playlist_does_not_reach_out(tmp_path: Path) -> None:
    path = tmp_path / "list.m3u8"
    path.write_text("#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n")
    fault(path)


def test_samples_that_are_not_numbers_become_silence(tmp_path: Path) -> None:
    body = np.array([0.1, np.nan, np.inf, -np.inf] * 8000, "<f4").tobytes()
    form = struct.pack("<HHIIHH", 3, 1, 16_000, 64_000, 4, 32)
    path = tmp_path / "nan.wav"
    path.write_bytes(
        b"RIFF" + struct.pack("<I", 36 + len(body)) + b"WAVEfmt " + struct.pack("<I", 16) + form
        + b"data" + struct.pack("<I", len(body)) + body
    )  # fmt: skip
    samples, _ = read(path)
    assert np.isfinite(samples).all()


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF])
def test_a_wav_of_unknown_length_makes_no_claim(size: int) -> None:
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, 16_000, 32_000, 2, 16)
    header = b"RIFF\xff\xff\xff\xffWAVE" + form + b"data" + struct.pack("<I", size)
    assert riff_seconds(io.BytesIO(header)) is None


def test_a_wav_beyond_four_gigabytes_states_its_length() -> None:
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, 16_000, 32_000, 2, 16)
    long = b"ds64" + struct.pack("<IQQQI", 28, 0, 32_000 * 200_000, 0, 0)
    header = b"RF64\xff\xff\xff\xffWAVE" + long + form + b"data" + b"\xff\xff\xff\xff"
    assert riff_seconds(io.BytesIO(header)) == 200_000


@pytest.mark.parametrize("content", [b"", b"RIFF", b"ID3", b"RIFF\0\0\0\0WAVEfmt \x10"])
def test_a_broken_wav_header_makes_no_claim(content: bytes) -> None:
    assert riff_seconds(io.BytesIO(content)) is None
