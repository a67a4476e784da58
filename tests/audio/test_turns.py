"""Whisper computes in turns: one for each batch and each piece, and none while it reads a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agentkit.audio import WhisperTranscriber, passes
from agentkit.audio.hallucination import Piece
from agentkit.audio.windows import Region, Window
from agentkit.compute import Compute


class Watched(Compute):
    """Knows whether somebody has a turn, and counts them."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        self.taken = False

    @contextmanager
    def turn(self) -> Iterator[None]:
        with super().turn():
            self.count += 1
            self.taken = True
            yield
            self.taken = False


@pytest.mark.model
def test_everything_that_spreads_over_all_cores_is_done_in_a_turn(
    recordings: Path, model_path: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fast pass is made to lose words, so that the careful one has to do its part."""
    compute = Watched()
    fast, accurate = passes.fast, passes.accurate
    inside: list[tuple[str, bool]] = []

    def losing(
        model: Any, window: Window, stretches: Sequence[Region], language: str
    ) -> list[Piece]:
        inside.append(("fast", compute.taken))
        return [
            replace(one, words=one.words[:2]) for one in fast(model, window, stretches, language)
        ]

    def careful(model: Any, window: Window, stretch: Region, language: str) -> Iterator[Piece]:
        for piece in accurate(model, window, stretch, language):
            inside.append(("accurate", compute.taken))
            yield piece

    monkeypatch.setattr(passes, "fast", losing)
    monkeypatch.setattr(passes, "accurate", careful)
    path = model_path("whisper-tiny.en")
    model = WhisperTranscriber(path, "whisper-tiny.en", device="cpu", compute=compute)

    found = model.transcribe(
        recordings / "wcpp_jfk" / "jfk.wav",
        progress=lambda done, total, unit: inside.append(("progress", not compute.taken)),
    )

    assert "your country" in found.text
    assert {kind for kind, _ in inside} == {"fast", "accurate", "progress"}
    assert all(right for _, right in inside)
    assert compute.count >= 3
