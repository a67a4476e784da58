"""The catalog: which models there are, their files with digests, and the places that have them.

Two YAML files of one form are read: the one that ships with agentkit, and the user's own, whose
entries replace shipped ones of the same name.  This module knows the form and nothing else: no
network, no store.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from agentkit.errors import InvalidFile, Problem
from agentkit.ports import ModelRole
from agentkit.validation import problems_from
from agentkit.yamlfile import Document, load_file

Role = ModelRole

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
"""Names of models: they become file names and words on the command line."""

SHIPPED = Path(__file__).parent / "catalog.yaml"


def _relative(path: str) -> str:
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or "\\" in path or ".." in parts or "\0" in path:
        raise ValueError("must be a path inside the model's folder, without '..'")
    return path


def _model_name(name: str) -> str:
    if not NAME.fullmatch(name):
        raise ValueError(
            f"{name!r} cannot name a model: lower-case letters, digits, '.', '_' and '-' only"
        )
    return name


RelativePath = Annotated[str, AfterValidator(_relative)]
ModelName = Annotated[str, AfterValidator(_model_name)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelFile(_Strict):
    """One file of a model: its path in the model's folder, its size in bytes, its digest."""

    path: RelativePath
    size: int | None = Field(None, ge=0)
    sha256: Sha256 | None = None


_NUMBER = re.compile(r"\{n(?::0([1-9]))?\}")


def _numbered(template: str, number: int) -> str:
    """Put a number where `{n}` or `{n:02}` stands.  Not str.format: the text is not ours."""
    return _NUMBER.sub(lambda found: str(number).zfill(int(found.group(1) or 0)), template)


class WheelSet(_Strict):
    """One package, or a numbered row of them, whose wheels carry parts of a model as plain files.

    `members` maps a file of the model to its place in the wheel; several wheels may name the same
    file, whose parts are then joined in that order.  `folder` says instead that the wheel has a
    folder with all the files of the model in it.  `{n}` counts from 1 to `count`.
    """

    package: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._{}:-]*$")
    version: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.+!_-]*$")
    count: int | None = Field(None, ge=1, le=9999)
    members: dict[RelativePath, RelativePath] = Field(default_factory=dict)
    folder: RelativePath | None = None

    @model_validator(mode="after")
    def _one_way(self) -> WheelSet:
        if bool(self.members) == (self.folder is not None):
            raise ValueError("give either 'members' or 'folder'")
        if self.count is not None and not _NUMBER.search(self.package):
            raise ValueError("'count' needs a {n} in 'package'")
        return self

    def wheels(self) -> Iterator[tuple[str, dict[str, str] | str]]:
        """Each wheel in order: its pinned requirement, and its members or its folder."""
        for number in range(1, (self.count or 1) + 1):
            package = _numbered(self.package, number) if self.count else self.package
            members = {file: _numbered(place, number) for file, place in self.members.items()}
            yield f"{package}=={self.version}", self.folder or members

    def __str__(self) -> str:
        package = _NUMBER.sub(f"1..{self.count}", self.package) if self.count else self.package
        return f"{package}=={self.version}"


class Source(_Strict):
    """A place that has the files of a model: exactly one of `hf`, `pypi`, `url`, `file`."""

    hf: str | None = Field(None, pattern=r"^[\w.-]+/[\w.-]+(@[\w./-]+)?$")
    """A repository on the Hugging Face hub, `owner/name` or `owner/name@revision`."""
    pypi: tuple[WheelSet, ...] | None = Field(None, min_length=1)
    """Wheels that carry the files."""
    url: str | None = Field(None, pattern=r"^https?://[^\s/]+/\S*$")
    """The address of the file, or of a folder (ending in `/`) that has them all."""
    file: str | None = Field(None, pattern=r"^[/~]")
    """The absolute path of the file, or of the folder that has them all."""

    @model_validator(mode="after")
    def _exactly_one(self) -> Source:
        if sum(value is not None for value in (self.hf, self.pypi, self.url, self.file)) != 1:
            raise ValueError("a source is exactly one of 'hf', 'pypi', 'url' and 'file'")
        return self

    def __str__(self) -> str:
        if self.pypi is not None:
            return "pypi:" + " + ".join(str(wheels) for wheels in self.pypi)
        kind = "hf" if self.hf else "url" if self.url else "file"
        return f"{kind}:{getattr(self, kind)}"


class CatalogEntry(_Strict):
    """One model: what it is for, its licence, its files, and its sources in order."""

    role: Role
    summary: str = ""
    licence: str = "unknown"
    files: tuple[ModelFile, ...] = Field(min_length=1)
    sources: tuple[Source, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _consistent(self) -> CatalogEntry:
        paths = [file.path for file in self.files]
        if len(set(paths)) < len(paths):
            raise ValueError("two files have the same path")
        carried = {
            path
            for source in self.sources
            for wheels in source.pypi or ()
            for path in wheels.members
        }
        if stray := carried - set(paths):
            raise ValueError(f"a wheel carries {min(stray)!r}, which is not in 'files'")
        return self

    @property
    def size(self) -> int | None:
        """Bytes of all files together; None while one of them is not known."""
        sizes = [file.size for file in self.files]
        return None if None in sizes else sum(size or 0 for size in sizes)


class Catalog(_Strict):
    """All models that can be pulled, by name."""

    models: dict[ModelName, CatalogEntry] = Field(default_factory=dict)

    def merged_with(self, other: Catalog) -> Catalog:
        """The entries of both; those of `other` win."""
        return Catalog(models={**self.models, **other.models})


def load_catalog(user_file: Path | None = None) -> Catalog:
    """The shipped catalog, with the entries of a user's own file (if it exists) over it.

    Raises `InvalidFile` with line and column of everything that is wrong.
    """
    shipped = read_catalog(SHIPPED)
    if user_file is None or not user_file.exists():
        return shipped
    return shipped.merged_with(read_catalog(user_file))


def read_catalog(path: Path) -> Catalog:
    """One catalog file.  Raises `UserError` if it cannot be read, `InvalidFile` for its faults."""
    document = load_file(path)
    try:
        return Catalog.model_validate(document.data or {})
    except ValidationError as error:
        raise InvalidFile(_problems(error, document)) from None


def _problems(error: ValidationError, document: Document) -> list[Problem]:
    return problems_from(error, document, Catalog, hints={"license": "licence", "sha": "sha256"})
