"""Write down what is said in a recording: words with times, in sentences.

Takes any sound or video file, finds out the language by itself, and says in `warnings` what a
reader should know (a damaged file, a stretch that stayed unclear).
"""

from __future__ import annotations

from typing import Any

from agentkit import ToolContext, tool
from agentkit.permissions import ReadPath


@tool(effects=("reads",), roles=("transcribe",))
def transcribe(
    audio: ReadPath, *, language: str | None = None, words: bool = False, context: ToolContext
) -> dict[str, Any]:
    """Write down what is said in a sound or video file.

    Args:
        audio: The recording.
        language: ISO 639-1 code such as "en" or "de"; left out, it is detected.
        words: Whether to list every word with its times, too.
    """
    place = context.files.locate(audio)
    transcript = context.transcriber.transcribe(
        place, language=language, progress=context.progress, cancel=context.cancel
    )
    for warning in transcript.warnings:
        context.warn(warning)
    result = transcript.to_dict()
    if not words:
        for segment in result["segments"]:
            del segment["words"]
    return {
        "text": result["text"],
        "language": result["language"],
        "duration": result["duration"],
        "segments": list(result["segments"]),
        "warnings": list(result["warnings"]),
    }
