"""Models that a user has as files already: what they are, and how they come into the store."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from agentkit.cancel import CancelToken
from agentkit.errors import ModelDamaged, UserError
from agentkit.models.blobs import CHUNK, Blobs, Expected, NotAsExpected, ensure_room
from agentkit.models.catalog import NAME, CatalogEntry, Role
from agentkit.models.gguf import Gguf, NotGguf, read_gguf
from agentkit.models.manifest import Manifest, StoredFile
from agentkit.ports import Progress

ROLE_MARKS: tuple[tuple[str, Role], ...] = (
    ("model.bin", "transcribe"),
    ("model.safetensors", "embed"),
    ("config_sentence_transformers.json", "embed"),
)
"""A file that tells what a folder is: CTranslate2's Whisper, or sentence-transformers."""


MODELS = (
    "a model is a GGUF file (such as NAME-q4_k_m.gguf), or a folder with model.bin (Whisper for "
    "CTranslate2) or model.safetensors (sentence-transformers)"
)
BROKEN = "get the file again, and compare its size with that at its source"


@dataclass(frozen=True, slots=True)
class Offer:
    """A model outside the store, looked at and found good."""

    name: str
    role: Role
    licence: str
    summary: str
    origin: Path
    files: tuple[tuple[str, Path, Expected], ...]
    """Path in the model, place on disk, what is known of it."""

    def manifest(self, files: Sequence[StoredFile]) -> Manifest:
        """What the store will say of it."""
        return Manifest(
            name=self.name,
            role=self.role,
            licence=self.licence,
            summary=self.summary,
            source=f"file:{self.origin}",
            files=tuple(files),
        )


def choose_name(path: Path, name: str | None) -> str:
    """The name wanted, or one made of the file's own.  Raises `UserError` for an impossible one."""
    chosen = name or re.sub(r"[^a-z0-9._-]+", "-", path.name.lower().removesuffix(".gguf"))
    if not NAME.fullmatch(chosen):
        raise UserError(
            f"{chosen!r} cannot name a model",
            hint="up to 100 lower-case letters, digits, '.', '_' and '-': --name my-model",
        )
    return chosen


def inspect(path: Path, name: str, role: Role | None, entry: CatalogEntry | None) -> Offer:
    """See what lies at a path; `entry` is the catalog's own model of that name, if it has one.

    Raises `UserError`, `ModelDamaged`.
    """
    if path.is_dir():
        places = _files_of(path)
        found = role or _role_of(path, places)
    elif path.is_file():
        header = _whole_gguf(path)
        places = {path.name: path}
        found = role or ("embed" if header.pooling else "chat")
    else:
        raise UserError(f"{path}: no such file or folder")
    if entry is not None:
        return _as_catalogued(path, name, places, entry)
    files = tuple(
        (inside, place, Expected(size=place.stat().st_size, address=f"add {uuid.uuid4().hex}"))
        for inside, place in places.items()
    )
    licence = read_gguf(path).licence if path.is_file() else ""
    summary = f"added from {path.name}"
    return Offer(name, found, licence or "unknown", summary, path.absolute(), files)


def _whole_gguf(path: Path) -> Gguf:
    """The header of a file that can be loaded as it is."""
    try:
        header = read_gguf(path)
        header.check_complete(path.name)
    except NotGguf:
        raise UserError(f"{path} is not a GGUF file", hint=MODELS) from None
    except ModelDamaged as damaged:
        damaged.hint = BROKEN
        raise
    if header.parts > 1:
        raise UserError(
            f"{path} is one of the {header.parts} files of a split model",
            hint=f"join them: llama-gguf-split --merge {path.name} whole.gguf",
        )
    return header


def _files_of(folder: Path) -> dict[str, Path]:
    """All files below a folder; what starts with a dot is not part of a model."""
    found = {}
    for place in sorted(folder.rglob("*")):
        inside = place.relative_to(folder)
        if place.is_file() and not any(part.startswith(".") for part in inside.parts):
            found[inside.as_posix()] = place
    return found


def _role_of(folder: Path, places: dict[str, Path]) -> Role:
    for mark, role in ROLE_MARKS:
        if mark in places:
            return role
    ggufs = [inside for inside in places if inside.endswith(".gguf")]
    if len(ggufs) == 1:
        raise UserError(
            f"{folder} is a folder with a GGUF file in it",
            hint=f"add the file itself: agentkit models add {folder / ggufs[0]}",
        )
    if ggufs:
        raise UserError(
            f"{folder} holds {len(ggufs)} GGUF files",
            hint="add one of them; llama-gguf-split --merge joins the parts of a split model",
        )
    raise UserError(
        f"{folder} is no model that agentkit knows: neither model.bin nor model.safetensors",
        hint="say what it is for with --role, if it is one all the same",
    )


def _as_catalogued(path: Path, name: str, places: dict[str, Path], entry: CatalogEntry) -> Offer:
    """A model of the catalog that was brought by hand: exactly its files, by digest."""
    if path.is_file() and len(entry.files) == 1:
        places = {entry.files[0].path: path}
    files = []
    for file in entry.files:
        place = places.get(file.path)
        if place is None:
            raise UserError(
                f"{path} is not the model {name!r} of the catalog: it has no {file.path}",
                hint="give it another --name",
            )
        size = place.stat().st_size
        if file.size not in (None, size):
            raise UserError(
                f"{place} is not the {file.path} of {name!r}: {size} bytes, expected {file.size}",
                hint="give it another --name, or bring the right file",
            )
        address = f"add {uuid.uuid4().hex}"
        files.append((file.path, place, Expected(size=size, sha256=file.sha256, address=address)))
    return Offer(name, entry.role, entry.licence, entry.summary, path.absolute(), tuple(files))


def copy_in(
    offer: Offer, blobs: Blobs, progress: Progress, cancel: CancelToken
) -> tuple[StoredFile, ...]:
    """Copy the files of an offer, taking their digests on the way.

    Raises `DiskFull`, `Cancelled`, `ModelDamaged` for a file that is not the catalog's.
    """
    total = sum(expected.size or 0 for _, _, expected in offer.files)
    ensure_room(blobs.folder, total, f"the model {offer.name!r}")
    stored, before = [], 0
    for inside, place, expected in offer.files:

        def report(size: int, before: int = before) -> None:
            progress(before + size, total, "B")

        with blobs.lock(expected.key, cancel=cancel):
            digest = _copy(place, expected, blobs, report, cancel)
        status = blobs.path(digest).stat()
        stored.append(
            StoredFile(path=inside, digest=digest, size=status.st_size, mtime_ns=status.st_mtime_ns)
        )
        before += status.st_size
    return tuple(stored)


def _copy(
    place: Path,
    expected: Expected,
    blobs: Blobs,
    report: Callable[[int], None],
    cancel: CancelToken,
) -> str:
    with blobs.partial(expected, report=report, cancel=cancel) as partial:
        try:
            partial.restart()
            with place.open("rb", buffering=0) as original:
                while chunk := original.read(CHUNK):
                    partial.write(chunk)
            return partial.finish()
        except NotAsExpected as fault:
            partial.discard()
            raise ModelDamaged(str(place), str(fault), hint="bring the file again") from None
        except BaseException:
            partial.discard()
            raise
