"""All tools by name, from all sources; where two sources have one name, the later source wins.

Two of one name in one source are a mistake: the second is reported.  Whatever is wrong with one
file is reported by its name and stops nothing else.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from agentkit.errors import UnknownName
from agentkit.toolbox.sources import BadTool, FolderSource, Source
from agentkit.toolbox.tool import Tool

__all__ = ["BadTool", "Toolbox"]


@dataclass(frozen=True, slots=True)
class _State:
    """What was found; replaced as a whole, so that readers need no lock."""

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
        self._asked = {id(source) for source in self._sources if not source.prefix}
        self._lock = threading.Lock()
        self._state = _State()
        self.refresh()

    def refresh(self) -> None:
        """Look again: files that were edited, added or removed count from now on.

        A call that is being made goes on with the tool that it began with.
        """
        with self._lock:
            asked = [source for source in self._sources if id(source) in self._asked]
            tools: dict[str, Tool] = {}
            origins: dict[str, tuple[str, ...]] = {}
            bad: list[BadTool] = []
            for source in asked:
                scan = source.scan()
                bad += scan.bad
                here: dict[str, Tool] = {}
                for tool in scan.tools:
                    if tool.name in here:
                        first = here[tool.name].source.name
                        reason = f"there is a tool {tool.name!r} already, in {first}"
                        bad.append(BadTool(tool.source, reason))
                        continue
                    here[tool.name] = tool
                for name in here:
                    origins[name] = (*origins.get(name, ()), source.label)
                tools |= here
            self._state = _State(tools, origins, tuple(bad))

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

    def __getitem__(self, name: str) -> Tool:
        self._ask(lambda source: name.startswith(source.prefix))
        return self._state.tools[name]

    def __contains__(self, name: object) -> bool:
        try:
            return bool(self[str(name)])
        except KeyError:
            return False

    def __iter__(self) -> Iterator[str]:
        self._ask(lambda source: True)
        return iter(sorted(self._state.tools))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _ask(self, wanted: Callable[[Source], bool]) -> None:
        """Scan the sources that are wanted and were not asked yet."""
        new = [s for s in self._sources if id(s) not in self._asked and wanted(s)]
        if new:
            self._asked |= {id(source) for source in new}
            self.refresh()
