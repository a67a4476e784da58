"""Recordings on this machine, written down: for the command line, which has files and no uploads.

Whoever has only a recording, or another token than the owner's, sends it to
`/v1/audio/transcriptions`.
"""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter, Response

from agentkit.cancel import CancelToken
from agentkit.ports import Progress
from agentkit.transcript import Transcript
from agentkit.web.api.bodies import Body, Place
from agentkit.web.api.told import told
from agentkit.web.service import Here

router = APIRouter(prefix="/api/transcripts", tags=["transcripts"])


class Recording(Body):
    """A file with sound in it."""

    path: Place
    language: str | None = None
    """An ISO 639-1 code; left out: detected."""
    model: str | None = None
    """Left out: that of the role."""


@router.post("", response_class=Response)
def transcribe(wanted: Recording, here: Here) -> Response:
    """Server-sent events: `progress`, and at the end `done` with a transcript, or `error`."""
    ears = here.runtime.transcriber(wanted.model)

    def listen(progress: Progress, cancel: CancelToken) -> Transcript:
        return ears.transcribe(
            Path(wanted.path), language=wanted.language, progress=progress, cancel=cancel
        )

    return told(listen)
