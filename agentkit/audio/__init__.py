"""From a recording to words with times: decoding, finding speech, Whisper, checking what it gave.

The adapter behind the `Transcriber` port is `agentkit.audio.whisper.WhisperTranscriber`.
"""
