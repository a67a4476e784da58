"""Cut a transcript into numbered lines and into windows that fit a prompt.

A line is a sentence or a breath, with its time; crumbs ("Agreed.") join the line they introduce.
A window is a run of lines short enough to be the shared prefix of many questions.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from agentkit import tool

CRUMB_WORDS = 3
CRUMB_PAUSE = 0.8


class Segment(BaseModel):
    """A stretch of speech; seconds.  `words` have start, end and text."""

    start: float
    end: float
    text: str
    words: list[dict[str, Any]] = []


@tool
def number_lines(segments: list[Segment], window_chars: int = 6000) -> dict[str, Any]:
    """Number the lines of a transcript and group them into windows.

    Args:
        segments: What `transcribe` returns: start and end in seconds, text, maybe words.
        window_chars: How long the text of a window may become.
    """
    lines = _joined(segments)
    windows: list[dict[str, Any]] = []
    for number, line in enumerate(lines, start=1):
        text = line["text"]
        if not windows or len(windows[-1]["text"]) + len(text) > window_chars:
            windows.append({"window": len(windows), "text": text, "start": line["start"]})
        else:
            windows[-1]["text"] += "\n" + text
        windows[-1]["end"] = line["end"]
        line |= {"number": number, "window": windows[-1]["window"]}
    return {"lines": lines, "windows": windows}


def _joined(segments: list[Segment]) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = []
    for segment in segments:
        line = segment.model_dump()
        crumb = bool(lines) and len(lines[-1]["text"].split()) <= CRUMB_WORDS
        if crumb and line["start"] - lines[-1]["end"] < CRUMB_PAUSE:
            lines[-1]["text"] += " " + line["text"]
            lines[-1]["words"] += line["words"]
            lines[-1]["end"] = line["end"]
        else:
            lines.append(line)
    return lines
