"""The shipped tools, called as a workflow calls them: real files, the real sandbox."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from agentkit.cancel import CancelToken
from agentkit.config import shipped
from agentkit.errors import ApprovalNeeded, ToolError, UserError
from agentkit.ports import (
    Files,
    HttpRequest,
    HttpResponse,
    Options,
    Recollection,
    Sandbox,
    Transcriber,
)
from agentkit.testing import ScriptedTranscriber
from agentkit.toolbox import Toolbox
from agentkit.toolbox.files import GrantedFiles
from agentkit.toolbox.grants import Grants
from agentkit.toolbox.output import FOLDER

TOOLS = Toolbox([shipped("tools")])
LONGEST = 1000
"""Characters of a note in the memory of these tests."""


@dataclass
class Shelf:
    """A `Memory` that finds texts by the words they share with the query."""

    entries: list[tuple[str, str]] = field(default_factory=list)

    def search(
        self, query: str, *, limit: int = 5, where: Sequence[Any] = ()
    ) -> list[Recollection]:
        asked = set(query.lower().split())
        found = [
            Recollection(f"m{n}", text, source, len(asked & set(text.lower().split())) / len(asked))
            for n, (text, source) in enumerate(self.entries)
        ]
        near = sorted(found, key=lambda entry: entry.score, reverse=True)
        return [entry for entry in near if entry.score][:limit]

    def save(self, text: str, *, source: str, metadata: Mapping[str, Any] | None = None) -> str:
        if len(text) > LONGEST:
            raise UserError(f"the text is too long for a note: {LONGEST} characters at most")
        texts = [kept for kept, _ in self.entries]
        if text not in texts:
            self.entries.append((text, source))
            return f"m{len(texts)}"
        return f"m{texts.index(text)}"

    def forget(self, where: Sequence[Any]) -> int:
        raise AssertionError("no tool forgets")


@dataclass
class Pages:
    """An `Http` that gives the answers that a test wrote, by URL, and remembers what was sent."""

    answers: dict[str, HttpResponse | ToolError] = field(default_factory=dict)
    sent: list[HttpRequest] = field(default_factory=list)

    def fetch(self, request: HttpRequest, cancel: CancelToken | None = None) -> HttpResponse:
        self.sent.append(request)
        answer = self.answers.get(request.url)
        if answer is None:
            raise AssertionError(f"no answer for {request.url}, only for {[*self.answers]}")
        if isinstance(answer, ToolError):
            raise answer
        return answer


@dataclass
class Context:
    """A `ToolContext` that remembers what was reported.

    Its folder may be read and written, and `granted` be read.  `says` are the answers of the
    person, in their order; without one, nobody is there.
    """

    folder: Path
    granted: Path
    settings: dict[str, Any] = field(default_factory=dict)
    says: list[str] = field(default_factory=list)
    asked: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    memory: Shelf = field(default_factory=Shelf)
    http: Pages = field(default_factory=Pages)
    transcriber: Transcriber = field(default_factory=lambda: ScriptedTranscriber({}))
    cancel: CancelToken = field(default_factory=CancelToken)
    warnings: list[str] = field(default_factory=list)
    artifacts: list[Path] = field(default_factory=list)

    @property
    def outputs(self) -> Path:
        return self.folder / FOLDER

    @property
    def files(self) -> Files:
        grants = Grants(read=(self.granted,), own_write=(self.folder,))
        return GrantedFiles(self.folder, grants, self.artifact)

    @property
    def sandbox(self) -> Sandbox:
        from agentkit.sandbox import BubblewrapSandbox  # most tests here run no program

        return BubblewrapSandbox()

    def options(self, model: type[Options]) -> Options:
        return model.model_validate(self.settings)

    def ask(self, question: str, choices: Sequence[str] = ()) -> str:
        self.asked.append((question, tuple(choices)))
        if not self.says:
            raise ApprovalNeeded("abc234", f"a person has to answer: {question}")
        return self.says.pop(0)

    def progress(self, done: float, total: float | None, unit: str) -> None:
        self.cancel.check()

    def warn(self, text: str) -> None:
        self.warnings.append(text)

    def artifact(self, path: Path) -> None:
        self.artifacts.append(path)


@pytest.fixture
def context(tmp_path: Path) -> Context:
    for name in ("run", "granted", "elsewhere"):
        (tmp_path / name).mkdir()
    return Context(tmp_path / "run", tmp_path / "granted")


@pytest.fixture
def elsewhere(tmp_path: Path, context: Context) -> Path:
    """A folder that was not granted, with a secret in it."""
    folder = tmp_path / "elsewhere"
    (folder / "secret.txt").write_text("the secret\n")
    return folder


def _calling(context: Context) -> Callable[..., Any]:
    def run(tool: str, **arguments: Any) -> Any:
        found = TOOLS.find(tool)
        return found.run(found.bind(arguments), context)

    return run


@pytest.fixture
def call(context: Context) -> Callable[..., Any]:
    """`call("write_file", path=..., content=...)`."""
    return _calling(context)


@pytest.fixture(scope="session")
def anywhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of `call_anywhere`."""
    return tmp_path_factory.mktemp("anywhere")


@pytest.fixture(scope="session")
def call_anywhere(anywhere: Path) -> Callable[..., Any]:
    """The same for hypothesis, which wants one fixture for all its examples."""
    return _calling(Context(anywhere, anywhere))
