"""All tools by name, from all sources; where two sources have one name, the later source wins.

Two of one name in one source are a mistake: the second is reported.  Whatever is wrong with one
file is reported by its name and stops nothing else.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, ItemsView, Iterable, Iterator, Mapping, Sequence, ValuesView
from dataclasses import field
from pathlib import Path

from agentkit.errors import UnknownName
from agentkit.toolbox.sources import BadTool, FolderSource, Scan, Source
from agentkit.toolbox.tool import Tool
from agentkit.values import dataclass

__all__ = ["BadTool", "Toolbox"]


@dataclass(frozen=True, slots=True)
class _State:
    """What was found; replaced as a whole, so that readers need no lock.

    `scans` are those of the sources that were asked, by their position.
    """

    scans: Mapping[int, Scan] = field(default_factory=dict)
    tools: Mapping[str, Tool] = field(default_factory=dict)
    origins: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    bad: tuple[BadTool, ...] = ()


class Toolbox(Mapping[str, Tool]):
    """Tools by name.  A folder is a source, too.

    Looking for one name asks only the sources that can have it; going through all of them asks
    every server.  May be used from any thread.
    """

    def __init__(self, sources: Sequence[Source | Path]) -> None:
        self._sources: list[Source] = [
            FolderSource(source) if isinstance(source, Path) else source for source in sources
        ]
        self._lock = threading.Lock()
        self._state = _State()
        self._ask(lambda source: not source.prefix)

    def refresh(self) -> None:
        """Look again: files that were edited, added or removed count from now on.

        A call that is being made goes on with the tool that it began with.
        """
        with self._lock:
            self._scan(self._state.scans)

    @property
    def bad(self) -> list[BadTool]:
        """What could not be loaded, of the sources that were asked."""
        return list(self._state.bad)

    def origins(self, name: str) -> tuple[str, ...]:
        """The labels of the sources that have a tool of this name; the last one is used."""
        return self._state.origins[name]

    def find(self, name: str) -> Tool:
        """A tool by name.  Raises `UnknownName`."""
        try:
            return self[name]
        except KeyError:
            raise UnknownName("tool", name, self.names(), hint="agentkit tools list") from None

    def names(self) -> list[str]:
        """All names, sorted."""
        return sorted(self)

    def own(self) -> list[str]:
        """The names for which no server has to be asked, sorted."""
        self._ask(lambda source: not source.far)
        scans = {n: s for n, s in self._state.scans.items() if not self._sources[n].far}
        return sorted(_merged(self._sources, scans).tools)

    def __getitem__(self, name: str) -> Tool:
        self._ask(lambda source: name.startswith(source.prefix))
        return self._state.tools[name]

    def __contains__(self, name: object) -> bool:
        try:
            return bool(self[str(name)])
        except KeyError:
            return False

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def values(self) -> ValuesView[Tool]:
        """All tools as they are now, by name: a refresh changes nothing about these."""
        return self._all().values()

    def items(self) -> ItemsView[str, Tool]:
        """The same with their names."""
        return self._all().items()

    def _all(self) -> dict[str, Tool]:
        self._ask(lambda source: True)
        return dict(sorted(self._state.tools.items()))

    def _ask(self, wanted: Callable[[Source], bool]) -> None:
        """Scan the sources that are wanted and were not asked yet."""
        numbers = [number for number, source in enumerate(self._sources) if wanted(source)]
        if not self._state.scans.keys() >= set(numbers):
            with self._lock:
                self._scan([number for number in numbers if number not in self._state.scans])

    def _scan(self, numbers: Iterable[int]) -> None:
        """Scan some sources, and put what they have between what the others had."""
        new = {number: self._sources[number].scan() for number in numbers}
        self._state = _merged(self._sources, dict(sorted({**self._state.scans, **new}.items())))


def _merged(sources: Sequence[Source], scans: Mapping[int, Scan]) -> _State:
    tools: dict[str, Tool] = {}
    origins: dict[str, tuple[str, ...]] = {}
    bad: list[BadTool] = []
    for number, scan in scans.items():
        bad += scan.bad
        here: dict[str, Tool] = {}
        for tool in scan.tools:
            if tool.name in here:
                reason = f"there is a tool {tool.name!r} already, in {here[tool.name].source.name}"
                bad.append(BadTool(tool.source, reason))
                continue
            here[tool.name] = tool
        for name in here:
            origins[name] = (*origins.get(name, ()), sources[number].label)
        tools |= here
    return _State(scans, tools, origins, tuple(bad))
