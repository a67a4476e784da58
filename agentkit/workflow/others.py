"""Other workflows, by name: in folders, or as a run keeps them.

A run keeps the text of every workflow that it uses, and of those that these use, from its beginning
on: what is edited meanwhile is for the next run.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, field
from functools import cached_property
from pathlib import Path

from pydantic import ValidationError

from agentkit.errors import UnknownName, UserError
from agentkit.values import dataclass
from agentkit.workflow import prompt_files
from agentkit.workflow.agents import as_workflow
from agentkit.workflow.spec import Workflow
from agentkit.workflow.spec.steps import WORKFLOW
from agentkit.yamlfile import Document, load, load_file

SUFFIXES = (".yaml", ".yml")


def find(name: str, folders: Iterable[Path]) -> Path:
    """A workflow by path, or by name in the folders.  Raises `UnknownName`."""
    path = Path(name).expanduser()
    if path.suffix in SUFFIXES or path.is_file():
        return path
    found = known(folders)
    if name not in found:
        here = ", ".join(sorted(found)) or "none"
        raise UnknownName("workflow", name, found, hint=f"the ones here: {here}")
    return found[name]


def known(folders: Iterable[Path]) -> dict[str, Path]:
    """The workflows in some folders by name; where two have one name, the first folder wins."""
    found: dict[str, Path] = {}
    for folder in folders:
        for path in sorted(folder.glob("*")):
            if path.suffix in SUFFIXES:
                found.setdefault(path.stem, path)
    return found


def words(document: Document) -> Workflow:
    """What a file says, without a look at what it names.

    Raises `UserError` for what is none of this version's.
    """
    try:
        return Workflow.model_validate(as_workflow(document).data)
    except ValidationError:
        raise UserError(f"{document.name} is no workflow that can be read") from None


@dataclass(frozen=True, slots=True)
class Kept:
    """A workflow as it was when a run began that uses it; `files` are the prompts that it names."""

    text: str
    source: str
    files: Mapping[str, str]

    @classmethod
    def among(cls, files: Mapping[str, str], name: str) -> Kept | None:
        """The one of this name among the files of a run, if it is there."""
        said = files.get(WORKFLOW + name)
        return None if said is None else cls(**json.loads(said))


@dataclass
class Folders(Mapping[str, "Workflow | None"]):
    """The workflows of some folders, each read when it is first asked for; see `check.Others`.

    Those among `files`, which a run keeps, stand for the ones of the same name.
    """

    folders: Iterable[Path]
    files: Mapping[str, str] = field(default_factory=dict)
    _read: dict[str, tuple[Kept, Workflow] | None] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Workflow | None:
        """Its words; None where it cannot be read."""
        found = self._found(name)
        return found and found[1]

    def __iter__(self) -> Iterator[str]:
        """Their names."""
        kept = (name.removeprefix(WORKFLOW) for name in self.files if name.startswith(WORKFLOW))
        return iter({**self._paths, **dict.fromkeys(kept)})

    def __len__(self) -> int:
        """How many there are."""
        return len(list(iter(self)))

    def used(self, spec: Workflow) -> dict[str, str]:
        """Those that a workflow uses, and those that they use, as a run keeps them."""
        found: dict[str, str] = {}
        left = [spec]
        while left:
            named = {step.workflow for step in left.pop().every_step() if step.workflow}
            for name in sorted(named):
                one = self._found(name) if name in self else None
                if one is not None and WORKFLOW + name not in found:
                    found[WORKFLOW + name] = json.dumps(asdict(one[0]))
                    left.append(one[1])
        return found

    @cached_property
    def _paths(self) -> Mapping[str, Path]:
        return known(self.folders)

    def _found(self, name: str) -> tuple[Kept, Workflow] | None:
        if name not in self._read:
            kept = Kept.among(self.files, name)
            path = Path(kept.source) if kept else self._paths[name]
            try:
                document = load(kept.text, kept.source) if kept else load_file(path)
                spec = words(document)
            except UserError:
                self._read[name] = None
            else:
                files = kept.files if kept else prompt_files.named(spec, path.parent)
                self._read[name] = Kept(document.text, str(path), files), spec
        return self._read[name]
