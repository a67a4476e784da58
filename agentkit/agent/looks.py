"""What an agent looks at before it is asked anything: what there is, in one call or a few."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from agentkit.agent.folder import FEW_BYTES, TABLES, TEST, URL, Folder
from agentkit.agent.known import ALL_LINES, LOOK, READ, SEARCH, SEARCH_SITE, SHELL
from agentkit.agent.tasks import Kind

VERY_FEW_BYTES = 800
"""Of files that are read as a whole for a question, to which a few lines are the answer."""

WORD = re.compile(r"[\w@-]+")


@dataclass(frozen=True, slots=True)
class FirstLooks:
    """Calls of the `tools` there are."""

    folder: Folder
    tools: Sequence[str]

    def at(self, task: str, kind: Callable[[], Kind]) -> list[tuple[str, dict[str, Any]]]:
        """What is in the folder of the run: all lines if they are few, the files that the task
        names, lines that have to do with it, or names and beginnings.  Where nothing is: lines of
        the site that it names.
        """
        paths = (self.folder.root / path for path in self.folder.paths())
        files = [path for path in paths if path.is_file()]  # no link that leads nowhere
        if not files:
            return self._elsewhere(task)
        size = sum(path.stat().st_size for path in files)
        asked = kind()
        apart = asked == "compute" and len(files) > 1  # files, or what is in some, to be counted
        test = self.test(task) if asked == "change" else None
        few = FEW_BYTES if asked == "change" else VERY_FEW_BYTES
        if SEARCH in self.tools and size <= few and not apart:
            return [(SEARCH, ALL_LINES)]
        named = self.folder.named(task)
        if READ in self.tools and named:
            return [*((READ, {"path": path}) for path in named), *([test] if test else ())]
        tables = self.folder.computes and any(path.suffix in TABLES for path in files)
        one = asked == "compute" and len(files) == 1  # to count in, not to find some lines of
        if SEARCH in self.tools and asked != "change" and not tables and not one:
            return [(SEARCH, {"pattern": " ".join(WORD.findall(task))})]
        if LOOK in self.tools:
            return [(LOOK, {"recursive": True, "first_lines": True})]
        return []

    def test(self, task: str) -> tuple[str, dict[str, Any]] | None:
        """The call that runs the test which a task names: it is done when that passes."""
        named = [path for path in self.folder.mentioned(task) if TEST.search(path)]
        if SHELL not in self.tools or len(named) != 1:
            return None
        runs = "python3 -B" if named[0].endswith(".py") else "sh"
        return SHELL, {"command": f"{runs} {shlex.quote(named[0])}"}

    def _elsewhere(self, task: str) -> list[tuple[str, dict[str, Any]]]:
        """What the site of an address in a task has to do with it."""
        address, asked = URL.search(task), " ".join(URL.sub(" ", task).split())
        if address is None or not asked or SEARCH_SITE not in self.tools:
            return []
        return [(SEARCH_SITE, {"url": address[0], "question": asked})]
