"""The shipped tools, called as a workflow calls them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from agentkit.cancel import CancelToken
from agentkit.config import shipped
from agentkit.ports import Transcriber
from agentkit.toolbox import Toolbox

TOOLS = Toolbox([shipped("tools")])


@dataclass
class Context:
    """A `ToolContext` that remembers what was reported."""

    folder: Path
    cancel: CancelToken = field(default_factory=CancelToken)
    warnings: list[str] = field(default_factory=list)
    artifacts: list[Path] = field(default_factory=list)

    @property
    def transcriber(self) -> Transcriber:
        raise AssertionError("no test here transcribes")

    def progress(self, done: float, total: float | None, unit: str) -> None:
        """Nobody looks."""

    def warn(self, text: str) -> None:
        self.warnings.append(text)

    def artifact(self, path: Path) -> None:
        self.artifacts.append(path)


@pytest.fixture
def context(tmp_path: Path) -> Context:
    folder = tmp_path / "run"
    folder.mkdir()
    return Context(folder)


@pytest.fixture
def call(context: Context) -> Callable[..., Any]:
    """`call("write_file", path=..., content=...)`."""

    def run(tool: str, **arguments: Any) -> Any:
        return TOOLS.call(tool, arguments, context)

    return run


@pytest.fixture(scope="session")
def call_anywhere(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """The same for hypothesis, which wants one fixture for all its examples."""
    context = Context(tmp_path_factory.mktemp("run"))

    def run(tool: str, **arguments: Any) -> Any:
        return TOOLS.call(tool, arguments, context)

    return run
