"""From a recording to words with times: decode, find speech, ask Whisper, check what it gave."""

from __future__ import annotations

from agentkit.audio.whisper import WhisperTranscriber

__all__ = ["WhisperTranscriber"]
