"""What a person says to a run that is under way, from another terminal maybe."""

from __future__ import annotations

from typing import Literal

from agentkit.values import dataclass

LetterKind = Literal["note", "add", "drop", "order", "pause", "cancel"]
"""A note is for the model; a task is added, dropped, or all are ordered; pause parks the run."""


@dataclass(frozen=True, slots=True)
class Letter:
    """One thing said; `text` is the note, the task, its id, or ids with commas between them."""

    kind: LetterKind
    text: str = ""
