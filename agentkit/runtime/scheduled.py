"""The files that say what starts by itself: they are the truth, and a broken one changes nothing.

A file that was edited is read anew; one that is wrong is told of, and what it said when it was last
right counts on, also after a restart, for that is in the journal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from agentkit.errors import AgentkitError, InvalidFile
from agentkit.records import ScheduleRecord

if TYPE_CHECKING:
    from agentkit.workflow.load import LoadedWorkflow

WORD = "triggers"
"""A file without it has none, and is not looked at any further."""

GONE = 1.0
"""Seconds for which a file may be missing: some programs save by removing and writing anew."""

Load = Callable[[str], "LoadedWorkflow"]
Reload = Callable[[str, str, Mapping[str, str]], "LoadedWorkflow"]
Signature = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Scheduled:
    """A workflow with triggers: as its file was when it was last right; None: it never was."""

    name: str
    path: Path
    workflow: LoadedWorkflow | None
    problem: str = ""
    """Why its file does not count as it is now."""


class ScheduledFiles:
    """Those of some folders.

    `load` reads a file, `reload` makes a workflow of what one said before.
    """

    def __init__(self, folders: Sequence[Path], load: Load, reload: Reload) -> None:
        self._folders = folders
        self._load = load
        self._reload = reload
        self._read: dict[Path, tuple[Signature | None, Scheduled | None]] = {}
        self._missing: dict[Path, float] = {}

    def look(self, known: Mapping[str, ScheduleRecord], now: float) -> dict[str, Scheduled]:
        """All that there are, by name; `known` is what is on record of them.

        `now` is in seconds by a clock that nobody sets.
        """
        from agentkit.workflow.others import known as named

        there = named(self._folders)
        for name, path in there.items():
            signature = _signature(path)
            before, scheduled = self._read.get(path, (None, None))
            if path not in self._read or signature != before:
                scheduled = self._one(name, path, scheduled, known.get(name))
            self._read[path] = (signature, scheduled)
        self._forget_gone(set(there.values()), now)
        found = [one for _, one in self._read.values() if one is not None]
        return {one.name: one for one in found}

    @property
    def unsure(self) -> bool:
        """Whether something has to be looked at again soon."""
        return bool(self._missing)

    def _forget_gone(self, there: Iterable[Path], now: float) -> None:
        self._missing = {
            path: self._missing.get(path, now) for path in self._read.keys() - set(there)
        }
        for path, since in list(self._missing.items()):
            if now - since >= GONE:
                del self._read[path], self._missing[path]

    def _one(
        self, name: str, path: Path, before: Scheduled | None, record: ScheduleRecord | None
    ) -> Scheduled | None:
        """What a file says now, or what it said when it was last right."""
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            return self._last_good(name, path, before, record, f"{path}: {reason}")
        had = before is not None or (record is not None and bool(record.definition))
        if WORD not in text and not had:
            return None
        try:
            workflow = self._load(str(path))
        except AgentkitError as error:
            return self._last_good(name, path, before, record, _first(error))
        return Scheduled(name, path, workflow) if workflow.spec.triggers else None

    def _last_good(
        self,
        name: str,
        path: Path,
        before: Scheduled | None,
        record: ScheduleRecord | None,
        problem: str,
    ) -> Scheduled:
        workflow = None if before is None else before.workflow
        if workflow is None and record is not None and record.definition:
            try:
                workflow = self._reload(record.definition, record.source, record.files)
            except AgentkitError:
                workflow = None  # not even that counts any more: its tools are gone
        return Scheduled(name, path, workflow, problem)


def _signature(path: Path) -> Signature | None:
    try:
        about = path.stat()
    except OSError:
        return None
    return about.st_mtime_ns, about.st_size, about.st_ino


def _first(error: AgentkitError) -> str:
    """The first problem of a file, in one line."""
    if isinstance(error, InvalidFile):
        more = len(error.problems) - 1
        also = f" (and {more} more)" if more else ""
        return error.problems[0].headline() + also
    return str(error).splitlines()[0]
