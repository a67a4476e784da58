"""What was played, one line of JSON each: a long run can be stopped and goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from agentkit.errors import UserError


@dataclass(frozen=True, slots=True)
class Record:
    """What came of one objective; `wrong` says why it counts as wrong, and is empty if it is right.

    `player` has the parts in it that were left out.
    """

    player: str
    model: str
    objective: str
    family: str
    wrong: str
    answer: str
    seconds: float
    steps: int
    tool_calls: int
    tokens_read: int
    tokens_cached: int
    tokens_written: int
    stop: str
    error: str

    @property
    def key(self) -> tuple[str, str, str]:
        """What is played once."""
        return self.player, self.model, self.objective


class Records:
    """All that was played, in a file if there is one."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._records = {record.key: record for record in _read(path)} if path else {}

    def __iter__(self) -> Iterator[Record]:
        return iter(self._records.values())

    def __contains__(self, key: object) -> bool:
        return key in self._records

    def add(self, record: Record) -> None:
        """Keep a record, on disk before this returns."""
        self._records[record.key] = record
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(record), ensure_ascii=False) + "\n")


def _read(path: Path) -> Iterator[Record]:
    """The records of a file; a last line that was not written to its end is taken out of it."""
    if not path.exists():
        return
    text = path.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        path.write_text(whole, encoding="utf-8")
    for number, line in enumerate(whole.splitlines(), 1):
        try:
            yield Record(**json.loads(line))
        except (ValueError, TypeError) as error:
            raise UserError(f"{path}:{number} is no record of this benchmark: {error}") from None
