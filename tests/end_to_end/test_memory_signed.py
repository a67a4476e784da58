"""Where entries are from that somebody typed, without an embedder behind the command."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from agentkit.cli import main, memory
from agentkit.testing import ScriptedMemory


class Shelf(ScriptedMemory):
    """A memory that is counted."""

    def count(self) -> int:
        return len(self.entries)


@pytest.fixture
def shelf(monkeypatch: pytest.MonkeyPatch) -> Shelf:
    """What the command writes into."""
    kept = Shelf()

    class Scripted:
        memories = SimpleNamespace(collection=lambda name: kept)

        def __init__(self, **_: Any) -> None:
            """No settings are read."""

        def __enter__(self) -> Scripted:
            return self

        def __exit__(self, *_: object) -> None:
            """Nothing is held."""

    monkeypatch.setattr(memory, "Runtime", Scripted)
    return kept


@pytest.mark.parametrize(
    ("options", "source"), [([], "command line"), (["--source", "offer.pdf"], "offer.pdf")]
)
def test_each_entry_has_a_source_and_a_time(
    shelf: Shelf, options: list[str], source: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main(["memory", "add", "The hall is blue.", "--local", *options])

    assert not end.value.code, capsys.readouterr().err
    (entry,) = shelf.entries.values()
    assert (entry.text, entry.source) == ("The hall is blue.", source)
    assert entry.time is not None
