"""The other half of the store: for each model on this machine, one JSON file that names its blobs.

A model is here when its manifest is; a blob may be named by several.  Manifests are written last
and removed first, under one lock, so that no manifest ever names a blob that was deleted.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from agentkit.errors import ModelDamaged, UnknownName
from agentkit.models.blobs import write_atomically
from agentkit.models.catalog import NAME, ModelName, RelativePath, Role, Sha256


class StoredFile(BaseModel):
    """One file of a model, and its blob; `mtime_ns` as it was when the digest was last checked."""

    model_config = ConfigDict(frozen=True)

    path: RelativePath
    digest: Sha256
    size: int
    mtime_ns: int


class Manifest(BaseModel):
    """One model on this machine."""

    model_config = ConfigDict(frozen=True)

    schema_version: Literal[1] = 1
    name: ModelName
    role: Role
    licence: str
    summary: str
    source: str
    """Where its files came from."""
    files: tuple[StoredFile, ...]

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(file.size for file in self.files)

    @property
    def fingerprint(self) -> str:
        """Eight hex digits that change when any file does."""
        listing = "\n".join(f"{file.digest} {file.path}" for file in self.files)
        return hashlib.sha256(listing.encode()).hexdigest()[:8]


class Manifests:
    """The manifests of one store."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "manifests"

    def path(self, name: str) -> Path:
        """Where the manifest of a model lies, or would lie.

        Raises `UnknownName` for what cannot name a model, such as a path out of this folder.
        """
        if not NAME.fullmatch(name):
            raise UnknownName("model", name, self.names(), hint="agentkit models list")
        return self.folder / f"{name}.json"

    def names(self) -> list[str]:
        """The models on this machine, sorted."""
        found = (path.name.removesuffix(".json") for path in self.folder.glob("*.json"))
        return sorted(name for name in found if NAME.fullmatch(name))

    def find(self, name: str) -> Manifest | None:
        """The manifest of a model, None if it is not here.

        Raises `ModelDamaged`, `UnknownName`.
        """
        try:
            text = self.path(name).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise ModelDamaged(name, f"its manifest cannot be read: {error}") from None
        try:
            manifest = Manifest.model_validate_json(text)
        except ValidationError as error:
            fault = error.errors()[0]
            raise ModelDamaged(name, f"its manifest is broken: {fault['msg']}") from None
        if manifest.name != name:
            raise ModelDamaged(name, f"its manifest is that of {manifest.name!r}")
        return manifest

    def write(self, manifest: Manifest) -> None:
        """Replace the manifest of a model in one rename."""
        text = json.dumps(manifest.model_dump(mode="json"), indent=2, ensure_ascii=False)
        write_atomically(self.path(manifest.name), text + "\n")

    def delete(self, name: str) -> None:
        """Remove a manifest, if it is there."""
        self.path(name).unlink(missing_ok=True)

    def digests_in_use(self, *, besides: str) -> set[str]:
        """What all other models need.  Raises `ModelDamaged` if one of them cannot be read."""
        others = (self.find(name) for name in self.names() if name != besides)
        return {file.digest for other in others if other for file in other.files}
