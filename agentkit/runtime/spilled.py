"""What is too large for the journal becomes a file of its run, by digest, and is read back when it
is asked for (docs/decisions/0010-large-outputs.md).

A script of the run may write into the same folder: what was changed since is told from what it was.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from agentkit import events as ev
from agentkit.errors import MachineError, ToolError
from agentkit.records import STORED, Stored
from agentkit.toolbox.files import GrantedFiles
from agentkit.toolbox.grants import Grants
from agentkit.toolbox.paths import real_path

LARGE = 1_000_000
"""Characters of a result, about, from which on it is a file."""


class Spill:
    """Those of all runs in one folder."""

    def __init__(self, runs: Path) -> None:
        self._runs = runs

    def kept(self, event: ev.Event) -> list[ev.Event]:
        """An event as the journal is told of it, behind the files that were made for it.

        Raises `MachineError` if one cannot be written.
        """
        made: list[ev.Event] = []
        match event:
            case ev.StepFinished():
                event = replace(event, outputs=self._shrunk(event.outputs, event, made))
            case ev.ToolReturned():
                event = replace(event, outcome=self._shrunk(event.outcome, event, made))
            case ev.RunFinished():
                outputs = {
                    name: self._shrunk(value, event, made) for name, value in event.outputs.items()
                }
                event = replace(event, outputs=outputs)
        return [*made, event]

    def restored(self, value: Any, run: str, step: str = "STEP") -> Any:
        """The value again.  Raises `MachineError` if it is gone, or was changed."""
        if not isinstance(value, Stored):
            return value
        path = self._runs / run / value["file"]
        try:
            content = self._files(run).read(path, limit=value["size"])
        except ToolError:
            content = b""
        if hashlib.sha256(content).hexdigest() != value["sha256"]:
            raise MachineError(
                f"what {step} gave was in {path}, and is not there any more as it was",
                hint=f"agentkit runs retry {run} --from {step}",
            )
        return json.loads(content)

    def _shrunk(self, value: Any, event: ev.Event, made: list[ev.Event]) -> Any:
        if not _large(value):
            return value
        content = json.dumps(value).encode()
        digest = hashlib.sha256(content).hexdigest()
        stored = Stored(file=f"{STORED}/{digest}.json", size=len(content), sha256=digest)
        try:
            self._files(event.run).write(self._runs / event.run / stored["file"], content)
        except ToolError as fault:
            raise MachineError(f"a large result cannot be kept: {fault}") from None
        place = {name: getattr(event, name) for name in ("step", "item", "name")
                 if isinstance(event, ev.StepEvent)}  # fmt: skip
        about = {"path": stored["file"], "size": stored["size"], "sha256": digest}
        made.append(ev.ArtifactMade(run=event.run, **{"step": "", **place, **about}))
        return stored

    def _files(self, run: str) -> GrantedFiles:
        """The run's own folder, and nothing that a link in it leads to."""
        own = (real_path(self._runs / run),)
        return GrantedFiles(own[0], Grants(own=own, own_write=own), lambda path: None)


def _large(value: Any) -> bool:
    """Counted piece by piece, and no further than it has to be."""
    left, pieces = LARGE, [value]
    while pieces and left > 0:
        piece = pieces.pop()
        left -= 4 + (len(piece) if isinstance(piece, str) else 0)
        if isinstance(piece, Mapping):
            pieces += [*piece, *piece.values()]
        elif isinstance(piece, Sequence) and not isinstance(piece, str):
            pieces += piece
    return left <= 0
