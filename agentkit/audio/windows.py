"""Where somebody speaks, and how a long recording is cut there into pieces that fit in memory.

`find_speech` asks the voice detector; everything else is arithmetic on stretches of time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from agentkit.audio.decode import SAMPLE_RATE
from agentkit.audio.mixdown import Samples, audible

WINDOW_SECONDS = 300.0
"""Long enough that cuts are rare, short enough that three hours need no more memory than one."""

THRESHOLD = 0.35
END_THRESHOLD = 0.2
"""The detector's own 0.5 loses a fifth of what is said over an 8 kHz telephone line (word error
rate 22.7 % against 12.4 %); no noise, hum or music that we tried reaches either."""

MIN_SILENCE_SECONDS = 0.5
PADDING_SECONDS = 0.2
LONGEST_REGION_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Region:
    """A stretch of time, in seconds."""

    start: float
    end: float

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return self.end - self.start

    def shifted(self, by: float) -> Region:
        """The same stretch on a clock that is `by` seconds ahead."""
        return Region(self.start + by, self.end + by)


@dataclass(frozen=True, slots=True)
class Window:
    """Some minutes of a recording: where they begin, the samples, and the speech in them.

    The times of `regions` are those of the whole recording.
    """

    start: float
    samples: Samples
    regions: tuple[Region, ...]

    @property
    def end(self) -> float:
        """Where the window ends in the recording, in seconds."""
        return self.start + len(self.samples) / SAMPLE_RATE

    def cut(self, region: Region) -> Samples:
        """The samples of one stretch of the recording."""
        first = max(0, round((region.start - self.start) * SAMPLE_RATE))
        return self.samples[first : max(first, round((region.end - self.start) * SAMPLE_RATE))]


def find_speech(samples: Samples) -> tuple[Region, ...]:
    """Stretches with speech, in order, none longer than `LONGEST_REGION_SECONDS`."""
    from faster_whisper.vad import VadOptions, get_speech_timestamps

    options = VadOptions(
        threshold=THRESHOLD,
        neg_threshold=END_THRESHOLD,
        min_silence_duration_ms=round(MIN_SILENCE_SECONDS * 1000),
        speech_pad_ms=round(PADDING_SECONDS * 1000),
        max_speech_duration_s=LONGEST_REGION_SECONDS,
    )
    found = get_speech_timestamps(samples, options, sampling_rate=SAMPLE_RATE)
    return tuple(Region(one["start"] / SAMPLE_RATE, one["end"] / SAMPLE_RATE) for one in found)


def windows(blocks: Iterable[Samples], length: float = WINDOW_SECONDS) -> Iterator[Window]:
    """Collect blocks into windows of at most `length` seconds, cut where nobody speaks."""
    held: list[Samples] = []
    count = 0
    start = 0.0
    for block in blocks:
        held.append(block)
        count += len(block)
        while count >= length * SAMPLE_RATE:
            samples = np.concatenate(held)
            regions = find_speech(audible(samples[: round(length * SAMPLE_RATE)]))
            cut = cut_point(regions, length)
            first = round(cut * SAMPLE_RATE)
            yield _window(start, samples[:first], [r for r in regions if r.end <= cut])
            start += first / SAMPLE_RATE
            held, count = [samples[first:]], len(samples) - first
    if count:
        samples = np.concatenate(held)
        yield _window(start, samples, find_speech(audible(samples)))


def _window(start: float, samples: Samples, regions: Iterable[Region]) -> Window:
    return Window(start, audible(samples), tuple(region.shifted(start) for region in regions))


def cut_point(regions: Sequence[Region], length: float) -> float:
    """Where to cut a window: in the longest pause of its last two fifths."""
    pauses = [
        Region(before.end, after.start)
        for before, after in pairwise(regions)
        if before.end >= 0.6 * length
    ]
    if not regions or regions[-1].end <= length - MIN_SILENCE_SECONDS:
        return length
    if not pauses:
        return regions[-1].start if regions[-1].start >= 0.6 * length else length
    widest = max(pauses, key=lambda pause: pause.duration)
    return (widest.start + widest.end) / 2


def pack(regions: Sequence[Region], longest: float, widest_pause: float) -> tuple[Region, ...]:
    """Join neighbours into stretches of at most `longest` seconds without long pauses in them.

    A single region that is longer stays as it is.
    """
    packed: list[Region] = []
    for region in regions:
        last = packed[-1] if packed else None
        if (
            last is not None
            and region.end - last.start <= longest
            and region.start - last.end <= widest_pause
        ):
            packed[-1] = Region(last.start, region.end)
        else:
            packed.append(region)
    return tuple(packed)
