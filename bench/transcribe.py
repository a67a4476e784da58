"""agentkit's transcriber beside plain faster-whisper, on one recording with a known text.

    python -m bench.transcribe MODEL_FOLDER [RECORDING REFERENCE_TEXT] [--threads N]

Prints word error rate (both texts normalised, see `bench.english`), real-time factor (seconds of
work for one second of sound, decoding of the file included, loading of the model not) and how much
of the detected speech has words.  All rows use the same model folder, threads and int8 weights.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentkit import machine
from agentkit.audio import WhisperTranscriber, coverage
from agentkit.audio.decode import open_recording
from agentkit.audio.windows import Region, windows
from agentkit.transcript import Word
from bench.english import Errors, word_errors

MEETING = Path(__file__).parent.parent.parent / "shared" / "audio" / "libri_meeting"


@dataclass(frozen=True, slots=True)
class Row:
    """One way to transcribe, measured."""

    name: str
    errors: Errors
    factor: float
    covered: float


def main() -> None:
    """Measure every way once, after a warm-up, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("audio", type=Path, nargs="?", default=MEETING / "libri_meeting.flac")
    parser.add_argument("text", type=Path, nargs="?", default=MEETING / "libri_meeting.txt")
    parser.add_argument("--threads", type=int, default=machine.physical_cores())
    given = parser.parse_args()

    reference = given.text.read_text(encoding="utf-8")
    with open_recording(given.audio) as recording:
        speech = [region for window in windows(recording.blocks()) for region in window.regions]
        duration = recording.position
    rows = []
    for name, transcribe in ways(given.model, given.threads, given.audio):
        transcribe()
        started = time.perf_counter()
        words = transcribe()
        factor = (time.perf_counter() - started) / duration
        text = " ".join(word.text.strip() for word in words)
        rows.append(Row(name, word_errors(reference, text), factor, share(speech, words)))
        print(f"  {name}: done", flush=True)
    show(rows, f"{given.audio.name}, {duration:.0f} s, {given.model.name}, {given.threads} threads")


def ways(model: Path, threads: int, audio: Path) -> list[tuple[str, Callable[[], Sequence[Word]]]]:
    """Ours, and faster-whisper as its README shows it."""
    from faster_whisper import BatchedInferencePipeline, WhisperModel

    ours = WhisperTranscriber(model, model.name, threads=threads, device="cpu")
    plain = WhisperModel(
        str(model), device="cpu", compute_type="int8", cpu_threads=threads, local_files_only=True
    )
    batched = BatchedInferencePipeline(plain)

    def listed(segments: Any) -> Sequence[Word]:
        return [
            Word(word.start, word.end, word.word, word.probability)
            for segment in segments
            for word in segment.words or ()
        ]

    return [
        ("agentkit", lambda: list(ours.transcribe(audio).words)),
        (
            "faster-whisper batched",
            lambda: listed(batched.transcribe(str(audio), batch_size=8, word_timestamps=True)[0]),
        ),
        (
            "faster-whisper sequential",
            lambda: listed(plain.transcribe(str(audio), word_timestamps=True)[0]),
        ),
        (
            "faster-whisper sequential, VAD",
            lambda: listed(plain.transcribe(str(audio), word_timestamps=True, vad_filter=True)[0]),
        ),
    ]


def share(speech: Sequence[Region], words: Sequence[Word]) -> float:
    """The part of the speech that has words."""
    total = sum(region.duration for region in speech)
    missed = sum(gap.duration for gap in coverage.uncovered(speech, words))
    return 1 - missed / total if total else 1.0


def show(rows: Sequence[Row], title: str) -> None:
    """The table, with the first row as the measure of the others."""
    first = rows[0]
    print(f"\n{title}\n")
    print(f"{'':32}   WER  subst. del. ins.    RTF  x time  covered   WER ratio  RTF ratio")
    for row in rows:
        errors = row.errors
        print(
            f"{row.name:32} {errors.rate:5.1%} {errors.substituted:6} {errors.deleted:4} "
            f"{errors.inserted:4}  {row.factor:5.3f} {1 / row.factor:6.1f}x {row.covered:7.1%}  "
            f"{errors.rate / first.errors.rate:9.2f} {row.factor / first.factor:10.2f}"
        )


if __name__ == "__main__":
    main()
