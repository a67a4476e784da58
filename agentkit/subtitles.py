"""A transcript as a file: plain text, SRT, WebVTT, JSON, Markdown.  Pure functions on values.

Segments come as sentences of up to fifteen seconds; for subtitles they are cut further, into cues
that can be read while they are on the screen.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from agentkit.transcript import Segment, Transcript, Word

CUE_CHARACTERS = 84
LINE_CHARACTERS = 42
"""Two lines of 42 characters: the custom of subtitlers for what can be read at a glance."""

CUE_SECONDS = 7.0


def to_txt(transcript: Transcript) -> str:
    """One segment on each line."""
    return "".join(f"{segment.text}\n" for segment in transcript.segments)


def to_srt(transcript: Transcript) -> str:
    """SubRip, for video players."""
    return "\n".join(
        f"{number}\n{clock(cue.start, ',')} --> {clock(cue.end, ',')}\n{cue.text}\n"
        for number, cue in enumerate(cues(transcript), start=1)
    )


def to_vtt(transcript: Transcript) -> str:
    """WebVTT, for browsers."""
    blocks = [
        f"{clock(cue.start, '.')} --> {clock(cue.end, '.')}\n{_escaped(cue.text)}\n"
        for cue in cues(transcript)
    ]
    return "\n".join(["WEBVTT\n", *blocks])


def to_json(transcript: Transcript) -> str:
    """Everything: segments, words with times and probabilities, warnings."""
    return json.dumps(transcript.to_dict(), ensure_ascii=False, indent=2) + "\n"


def to_md(transcript: Transcript) -> str:
    """For reading: what it is, what to know about it, each segment with its time."""
    language = transcript.language or "no speech found"
    lines = [
        "# Transcript",
        "",
        f"{clock(transcript.duration, '.')[:8]} · {language} · {transcript.model}",
        "",
    ]
    lines += [f"> **Note:** {warning}\n" for warning in transcript.warnings]
    lines += [
        f"**{clock(segment.start, '.')[:8]}** {segment.text}\n" for segment in transcript.segments
    ]
    return "\n".join(lines).rstrip("\n") + "\n"


FORMATS: Mapping[str, Callable[[Transcript], str]] = {
    "txt": to_txt,
    "srt": to_srt,
    "vtt": to_vtt,
    "json": to_json,
    "md": to_md,
}
"""By file extension."""


@dataclass(frozen=True, slots=True)
class Cue:
    """What stands on the screen at one time: seconds, and one or two lines of text."""

    start: float
    end: float
    text: str


def cues(transcript: Transcript) -> Iterator[Cue]:
    """The segments, cut where they are too long to be read at once."""
    for segment in transcript.segments:
        parts = list(_parts(segment.words)) if segment.words else []
        if len(parts) < 2:
            yield Cue(segment.start, segment.end, _wrapped(segment.text))
            continue
        texts = _texts(segment, parts)
        for part, text in zip(parts, texts, strict=True):
            yield Cue(part[0].start, max(part[0].start, part[-1].end), _wrapped(text))


def _parts(words: Sequence[Word]) -> Iterator[Sequence[Word]]:
    length = sum(len(word.text) + 1 for word in words)
    seconds = words[-1].end - words[0].start
    if len(words) < 2 or (length <= CUE_CHARACTERS and seconds <= CUE_SECONDS):
        yield words
        return
    cut = _best_cut(words, length)
    yield from _parts(words[:cut])
    yield from _parts(words[cut:])


def _best_cut(words: Sequence[Word], length: int) -> int:
    """Near the middle, better behind a comma or in a pause."""

    def cost(at: int) -> float:
        before = words[at - 1]
        offset = abs(2 * sum(len(word.text) + 1 for word in words[:at]) - length) / length
        comma = 0.4 if before.text.endswith((",", ";", ":", "，", "、")) else 0.0
        return offset - comma - min(0.4, max(0.0, words[at].start - before.end))

    return min(range(1, len(words)), key=cost)


def _texts(segment: Segment, parts: Sequence[Sequence[Word]]) -> Iterator[str]:
    """The text of each part, with the spacing of the segment (Japanese has none between words)."""
    at = 0
    for part in parts:
        begin = at
        for word in part:
            found = segment.text.find(word.text, at)
            at = found + len(word.text) if found >= 0 else at
        yield segment.text[begin:at].strip()


def _wrapped(text: str) -> str:
    """Two lines of about equal length if one would be too long."""
    if len(text) <= LINE_CHARACTERS:
        return text
    spaces = [at for at, letter in enumerate(text) if letter == " "]
    if not spaces:
        return text
    middle = min(spaces, key=lambda at: abs(at - len(text) / 2))
    return f"{text[:middle]}\n{text[middle + 1 :]}"


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def clock(seconds: float, point: str) -> str:
    """`00:01:02.500`, with the given decimal point."""
    milliseconds = round(seconds * 1000)
    minutes, milliseconds = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{milliseconds // 1000:02}{point}{milliseconds % 1000:03}"
