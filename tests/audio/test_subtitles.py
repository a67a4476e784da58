"""Transcripts as files."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentkit.subtitles import FORMATS, clock, cues, to_json, to_md, to_srt, to_txt, to_vtt
from agentkit.transcript import Segment, Transcript, Word

SHORT = Segment(1.25, 2.5, "Tear <b>down & out", ())


def transcript(*segments: Segment, warnings: tuple[str, ...] = ()) -> Transcript:
    return Transcript(segments, "en", 3725.0, 3.0, 3.0, "whisper-base", warnings)


def segment(text: str, start: float = 0.0, step: float = 0.5) -> Segment:
    words = tuple(
        Word(start + at * step, start + (at + 1) * step, word, 0.9)
        for at, word in enumerate(text.split())
    )
    return Segment(start, words[-1].end, text, words)


def test_srt() -> None:
    assert to_srt(transcript(SHORT, segment("Yes.", 3600.0))) == (
        "1\n00:00:01,250 --> 00:00:02,500\nTear <b>down & out\n\n"
        "2\n01:00:00,000 --> 01:00:00,500\nYes.\n"
    )


def test_vtt_escapes_what_would_be_markup() -> None:
    assert to_vtt(transcript(SHORT)) == (
        "WEBVTT\n\n00:00:01.250 --> 00:00:02.500\nTear &lt;b&gt;down &amp; out\n"
    )


def test_txt_has_one_segment_on_each_line() -> None:
    assert to_txt(transcript(SHORT, segment("Yes."))) == "Tear <b>down & out\nYes.\n"


def test_json_has_everything() -> None:
    data = json.loads(to_json(transcript(segment("Grüße."), warnings=("half is missing",))))
    assert data["text"] == "Grüße."
    assert data["segments"][0]["words"][0] == {
        "start": 0.0, "end": 0.5, "text": "Grüße.", "probability": 0.9,
    }  # fmt: skip
    assert data["warnings"] == ["half is missing"]


def test_md_is_for_reading() -> None:
    text = to_md(transcript(segment("Yes.", 3600.0), warnings=("half is missing",)))
    assert "01:02:05 · en · whisper-base" in text
    assert "> **Note:** half is missing" in text
    assert "**01:00:00** Yes." in text


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_a_recording_without_speech_gives_a_valid_file(name: str) -> None:
    empty = Transcript((), None, 60.0, 0.0, 0.0, "whisper-base")
    text = FORMATS[name](empty)
    assert text in ("", "WEBVTT\n") or "no speech found" in text or json.loads(text)["text"] == ""


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "00:00:00.000"), (59.9996, "00:01:00.000"), (3661.5, "01:01:01.500"),
     (360_000, "100:00:00.000")],
)  # fmt: skip
def test_clock(seconds: float, shown: str) -> None:
    assert clock(seconds, ".") == shown


def test_a_long_segment_becomes_cues_that_can_be_read() -> None:
    text = "They swarmed up in front of the palings, as thick as they could jam together, and " * 2
    found = list(cues(transcript(segment(text.strip()))))
    assert len(found) > 2
    assert all(len(line) <= 60 for cue in found for line in cue.text.split("\n"))
    assert " ".join(cue.text.replace("\n", " ") for cue in found) == text.strip()


def test_cues_of_a_language_without_spaces_have_none() -> None:
    words = tuple(Word(at, at + 1, "今日は", 0.9) for at in range(20))
    joined = Segment(0, 20, "今日は" * 20, words)
    found = list(cues(transcript(joined)))
    assert len(found) > 1
    assert "".join(cue.text for cue in found) == joined.text


@given(
    st.lists(
        st.tuples(
            st.floats(0, 5),
            st.lists(st.sampled_from(["a", "be,", "see?"]), min_size=1, max_size=40),
        ),
        max_size=8,
    )
)
def test_cues_follow_each_other_and_lose_no_word(spoken: list[tuple[float, list[str]]]) -> None:
    segments, at = [], 0.0
    for pause, words in spoken:
        segments.append(segment(" ".join(words), at + pause, 0.4))
        at = segments[-1].end
    srt = to_srt(transcript(*segments))
    times = [
        tuple(map(int, re.findall(r"\d+", line))) for line in srt.splitlines() if "-->" in line
    ]
    flat = [moment for one in times for moment in (one[:4], one[4:])]
    assert flat == sorted(flat)
    shown = " ".join(cue.text for cue in cues(transcript(*segments))).split()
    assert shown == [word for _, words in spoken for word in words]
