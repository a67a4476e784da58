"""Make the demo meeting: examples/meeting.flac, from examples/meeting.truth.yaml.

The truth file says who says what. This script lets flite, a small speech
synthesiser, read it aloud with a voice per person, puts pauses between the
turns and a very soft room tone under them, writes the FLAC file, and notes in
the truth file when each turn starts and ends. Nothing else there is changed.

Both files are committed, so this is needed only after an edit of the words:

    apt-get install flite
    pip install av numpy ruamel.yaml
    python examples/make_meeting.py

The same words give the same recording, however often it runs.
"""

from __future__ import annotations

import subprocess
import tempfile
import wave
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from ruamel.yaml import YAML

HERE = Path(__file__).resolve().parent
TRUTH = HERE / "meeting.truth.yaml"
AUDIO = HERE / "meeting.flac"

RATE = 16_000  # what the flite voices speak at, and what speech recognition wants
SPEECH_DB = -26.0  # loudness of every turn; full scale is 0
ROOM_DB = -72.0  # loudness of the room tone, which nobody should notice
BITS = 13  # resolution of the samples; finer ones would store only noise, in half as much again
PAUSE_S = (0.6, 0.8)  # shortest and longest pause between two turns
MARGIN_S = 0.5  # quiet before the first turn and after the last
SEED = 2025

Samples = NDArray[np.float64]


def speak(text: str, voice: str) -> Samples:
    """Have flite say `text`, without the silence around it, all voices equally loud."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "turn.wav"
        subprocess.run(["flite", "-voice", voice, "-t", text, "-o", str(path)], check=True)
        with wave.open(str(path), "rb") as file:
            if (file.getframerate(), file.getnchannels(), file.getsampwidth()) != (RATE, 1, 2):
                raise ValueError(f"flite voice {voice!r} is not 16-bit mono at {RATE} Hz")
            samples = np.frombuffer(file.readframes(file.getnframes()), "<i2") / 2**15

    heard = np.flatnonzero(np.abs(samples) > 0.01 * np.abs(samples).max())
    edge = RATE // 20
    return at_loudness(samples[max(0, heard[0] - edge) : heard[-1] + edge], SPEECH_DB)


def room_tone(length: int, rng: np.random.Generator) -> Samples:
    """Make the faint, dull noise of a quiet room."""
    noise = np.convolve(rng.standard_normal(length), np.hanning(16), mode="same")
    return at_loudness(noise, ROOM_DB)


def at_loudness(samples: Samples, db: float) -> Samples:
    """Scale `samples` until their root mean square is at `db` decibels of full scale."""
    gain: float = 10 ** (db / 20) / np.sqrt(np.mean(samples**2))
    return np.multiply(samples, gain)


def record(turns: list[dict[str, Any]]) -> Samples:
    """Record the turns one after the other, and write into each when it was."""
    rng = np.random.default_rng(SEED)
    clips = [speak(turn["text"], turn["voice"]) for turn in turns]
    pauses = (rng.uniform(*PAUSE_S, len(clips)) * RATE).astype(int)
    margin = int(MARGIN_S * RATE)

    length = 2 * margin + sum(map(len, clips)) + int(pauses[:-1].sum())
    meeting = room_tone(length, rng)
    start = margin
    for turn, clip, pause in zip(turns, clips, pauses, strict=True):
        end = start + len(clip)
        meeting[start:end] += clip
        turn["start"], turn["end"] = round(start / RATE, 2), round(end / RATE, 2)
        start = end + int(pause)
    return meeting


def write_flac(samples: Samples, path: Path) -> None:
    """Write `samples` as 16-bit mono FLAC, with no trace of when or by what version."""
    steps = 2 ** (BITS - 1)
    coarse = np.clip(np.round(samples * steps), -steps, steps - 1)
    pcm = (coarse * (2**15 // steps)).astype(np.int16)
    frame = av.AudioFrame.from_ndarray(pcm[np.newaxis], format="s16", layout="mono")
    frame.sample_rate = RATE
    with av.open(str(path), "w", format="flac", options={"fflags": "+bitexact"}) as file:
        stream = file.add_stream("flac", rate=RATE, layout="mono", format="s16")
        stream.codec_context.options = {"compression_level": "12", "flags": "+bitexact"}
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))


def main() -> None:
    """Read the truth, make the recording, and write both."""
    yaml = YAML()
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.width = 1000
    yaml.preserve_quotes = True
    truth = yaml.load(TRUTH)
    meeting = record(truth["turns"])
    write_flac(meeting, AUDIO)
    yaml.dump(truth, TRUTH)
    print(f"{AUDIO.name}: {len(meeting) / RATE:.1f} s, {AUDIO.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
