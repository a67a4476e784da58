"""The models on this machine: pull, add, find, check, remove.  The face of this room.

    <folder>/blobs/       files by digest (blobs.py)
    <folder>/manifests/   which files make up a model (manifest.py)
    <folder>/views/       for models of several files: folders of links with the right names
    <folder>/locks/       one process at a time
    <folder>/scratch/     wheels and the like, while a pull runs

Digests are checked when files arrive, and again when size or time of a blob differ from what they
were then: reading a gigabyte takes 0.7 s, too long for every start.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from agentkit import machine
from agentkit.cancel import CancelToken
from agentkit.errors import MachineError, ModelDamaged, ModelMissing, UnknownName, UserError
from agentkit.models import add
from agentkit.models.blobs import Blobs, digest_of, make_folder
from agentkit.models.catalog import Catalog, CatalogEntry, Role
from agentkit.models.fit import MemoryNeed, estimate, usual_contexts
from agentkit.models.gguf import Gguf, read_gguf
from agentkit.models.manifest import Manifest, Manifests, StoredFile
from agentkit.models.pull import Pull
from agentkit.ports import Progress, no_progress


def _silent(text: str) -> None:
    """For callers that do not want to know."""


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """One line of the list of models; `size` in bytes, None while it is not known.

    `fault` says what is wrong with the manifest of a model that can be listed but not used.
    """

    name: str
    role: Role | None
    summary: str
    licence: str
    size: int | None
    installed: bool
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Description:
    """All that can be told about a model without loading it.

    `path`, `files` and `gguf` are there once it is installed; `needs` then says what it takes with
    some contexts, next to the bytes of memory that are free now (on the GPUs: all together).
    """

    entry: ModelEntry
    sources: tuple[str, ...]
    path: Path | None
    files: tuple[StoredFile, ...]
    gguf: Gguf | None
    needs: tuple[MemoryNeed, ...]
    memory_free: int
    gpu_memory_free: int
    remark: str = ""
    """What to know about the context that was asked for."""


def _remark(entry: ModelEntry, gguf: Gguf | None, context_tokens: int) -> str:
    if not entry.installed:
        return f"its memory can be told once it is here: agentkit models pull {entry.name}"
    if gguf is None:
        return "its memory cannot be told: it is not a GGUF file, and has no such context"
    if 0 < gguf.context_length < context_tokens:
        return (
            f"it was trained for {gguf.context_length} tokens; with a context of {context_tokens} "
            "it will not answer well"
        )
    return ""


class ModelStore:
    """The models in one folder, and the catalog of those that could be there."""

    def __init__(self, folder: Path, catalog: Catalog) -> None:
        self.folder = folder
        self.catalog = catalog
        self._blobs = Blobs(folder)
        self._manifests = Manifests(folder)

    # -- what there is -----------------------------------------------------------------------------

    def names(self) -> list[str]:
        """All models that are in the catalog or were added, sorted by name."""
        return sorted({*self.catalog.models, *self._manifests.names()})

    def entries(self) -> list[ModelEntry]:
        """All models: those of the catalog in its order, then those that were added."""
        added = [name for name in self._manifests.names() if name not in self.catalog.models]
        return [self.entry(name) for name in (*self.catalog.models, *added)]

    def entry(self, name: str) -> ModelEntry:
        """One model.  Raises `UnknownName`."""
        self._check_known(name)
        known = self.catalog.models.get(name)
        try:
            here, fault = self._manifests.find(name), ""
        except ModelDamaged as damaged:
            here, fault = None, damaged.message
        told = known or here
        return ModelEntry(
            name,
            role=told.role if told else None,
            summary=told.summary if told else "",
            licence=told.licence if told else "unknown",
            size=here.size if here else told.size if told else None,
            installed=bool(here or fault),
            fault=fault,
        )

    def manifest(self, name: str) -> Manifest:
        """Of an installed model.  Raises `UnknownName`, `ModelMissing`, `ModelDamaged`."""
        self._check_known(name)
        manifest = self._manifests.find(name)
        if manifest is None:
            raise ModelMissing(name)
        return manifest

    def _check_known(self, name: str) -> None:
        if name not in (known := self.names()):
            raise UnknownName("model", name, known, hint="agentkit models list")

    def describe(self, name: str, context_tokens: int | None = None) -> Description:
        """Everything about a model, and its memory need at `context_tokens` or at usual contexts.

        Raises `UnknownName`, `ModelDamaged`.
        """
        entry = self.entry(name)
        known = self.catalog.models.get(name)
        path = self.resolve(name) if entry.installed else None
        gguf = read_gguf(path) if path and self._is_gguf(name) else None
        contexts = (context_tokens,) if context_tokens else usual_contexts(gguf) if gguf else ()
        return Description(
            entry=entry,
            sources=tuple(str(source) for source in known.sources) if known else (),
            path=path,
            files=self.manifest(name).files if entry.installed else (),
            gguf=gguf,
            needs=tuple(estimate(gguf, size) for size in contexts) if gguf else (),
            memory_free=machine.memory()[1],
            gpu_memory_free=sum(gpu.memory_free for gpu in machine.gpus()),
            remark=_remark(entry, gguf, context_tokens) if context_tokens else "",
        )

    def _is_gguf(self, name: str) -> bool:
        files = self.manifest(name).files
        return len(files) == 1 and files[0].path.endswith(".gguf")

    # -- bringing models here ----------------------------------------------------------------------

    def pull(
        self,
        name: str,
        progress: Progress = no_progress,
        cancel: CancelToken | None = None,
        note: Callable[[str], None] = _silent,
    ) -> Manifest:
        """Bring a model of the catalog here: continue what was interrupted, repair what is broken.

        Progress counts bytes; `note` gets a sentence when a source fails or another process is
        waited for.  Raises `UnknownName`, `PullFailed`, `DiskFull`, `Cancelled`.
        """
        entry = self.catalog.models.get(name)
        if entry is None:
            return self._pull_added(name)
        token = cancel or CancelToken()
        self._blobs.sweep()

        def waiting() -> None:
            note(f"another process is pulling {name}; waiting for it")

        with self._blobs.lock(f"model-{name}", cancel=token, waiting=waiting):
            while True:
                kept = self._intact(name, entry, token)
                pull = Pull(name, entry, self._blobs, progress, token, note)
                scratch = make_folder(self.folder / "scratch" / name)
                try:
                    files = pull.run(kept, scratch)
                finally:
                    shutil.rmtree(scratch, ignore_errors=True)
                manifest = self._commit(name, entry, files, pull.used)
                if manifest is not None:
                    return manifest

    def _pull_added(self, name: str) -> Manifest:
        manifest = self.manifest(name)
        self.resolve(name)
        return manifest

    def _intact(self, name: str, entry: CatalogEntry, cancel: CancelToken) -> dict[str, StoredFile]:
        """The files of a model that need not be fetched (again)."""
        try:
            manifest = self._manifests.find(name)
        except ModelDamaged:
            return {}
        wanted = {file.path: file for file in entry.files}
        kept = {}
        for file in manifest.files if manifest else ():
            catalogued = wanted.get(file.path)
            if catalogued is None or catalogued.sha256 not in (None, file.digest):
                continue
            try:
                kept[file.path] = self._checked(name, file, cancel=cancel)
            except ModelDamaged:
                self._blobs.path(file.digest).unlink(missing_ok=True)
        return kept

    def _commit(
        self, name: str, entry: CatalogEntry, files: tuple[StoredFile, ...], used: list[str]
    ) -> Manifest | None:
        """Write the manifest, unless a `remove` has just taken one of its blobs away."""
        with self._blobs.lock("store"):
            if not all(self._blobs.path(file.digest).exists() for file in files):
                return None
            before = None
            with suppress(ModelDamaged):
                before = self._manifests.find(name)
            source = ", ".join(used) or (before.source if before else "already in the store")
            manifest = Manifest(
                name=name,
                role=entry.role,
                licence=entry.licence,
                summary=entry.summary,
                source=source,
                files=files,
            )
            if manifest != before:
                self._manifests.write(manifest)
                self._drop_unused(before, manifest)
            self._prepare(manifest)
            return manifest

    def _drop_unused(self, before: Manifest | None, now: Manifest) -> None:
        """Delete what only the version before needed.  A process that has it open keeps it."""
        if before is None:
            return
        with suppress(ModelDamaged):  # a manifest that cannot be read may need anything
            needed = self._manifests.digests_in_use(besides="")
            for digest in {file.digest for file in before.files} - needed:
                self._blobs.discard(digest)
            self._delete_views(now.name, besides=now.fingerprint)

    def _prepare(self, manifest: Manifest) -> Path:
        """The path to load a model from; makes the view, so that readers need not write."""
        if len(manifest.files) == 1:
            return self._blobs.path(manifest.files[0].digest)
        return self._view(manifest)

    def add(
        self,
        path: Path,
        name: str | None = None,
        role: Role | None = None,
        progress: Progress = no_progress,
        cancel: CancelToken | None = None,
    ) -> Manifest:
        """Copy a GGUF file, or a folder with a model, into the store.

        Without a name it is named after the file; without a role, by what it is.  Under a name of
        the catalog only the very files of the catalog are taken.  Progress counts bytes.
        Raises `UserError` for something that is no model or a name that is taken, `ModelDamaged`
        for a broken file, `DiskFull`, `Cancelled`.
        """
        token = cancel or CancelToken()
        chosen = add.choose_name(path, name)
        offer = add.inspect(path, chosen, role, self.catalog.models.get(chosen))
        self._blobs.sweep()
        with self._blobs.lock(f"model-{chosen}", cancel=token):
            files = add.copy_in(offer, self._blobs, progress, token)
            with self._blobs.lock("store"):
                taken = self._manifests.find(chosen)
                if taken and [f.digest for f in taken.files] != [f.digest for f in files]:
                    raise UserError(
                        f"there is another model named {chosen!r} already",
                        hint=f"choose another --name, or: agentkit models remove {chosen}",
                    )
                manifest = offer.manifest(files)
                self._manifests.write(manifest)
                self._prepare(manifest)
        return manifest

    # -- using them --------------------------------------------------------------------------------

    def resolve(self, name: str, *, role: Role | None = None) -> Path:
        """The path to load a model from: its file, or a folder with its files under their names.

        A blob that has another size or time than when it was checked is checked again.
        Raises `UnknownName`, `ModelMissing`, `ModelDamaged`, and `UserError` for a model that is
        not for `role`.
        """
        if role is not None:
            self._check_role(name, role)
        manifest = self.manifest(name)
        checked = tuple(self._checked(name, file) for file in manifest.files)
        if checked != manifest.files:
            self._note_times(manifest, checked)
        return self._prepare(manifest)

    def _check_role(self, name: str, role: Role) -> None:
        found = self.entry(name).role
        if found in (None, role):  # None: a manifest that cannot be read, which is told later
            return
        article = "an" if found == "embed" else "a"
        raise UserError(
            f"{name} is {article} {found} model, not one for {role}", hint="agentkit models list"
        )

    def _note_times(self, manifest: Manifest, checked: tuple[StoredFile, ...]) -> None:
        """Keep the times of blobs just checked; a store that is read-only does without."""
        with suppress(MachineError, OSError), self._blobs.lock("store"):
            if self._manifests.find(manifest.name) == manifest:
                self._manifests.write(manifest.model_copy(update={"files": checked}))

    def verify(
        self, name: str, progress: Progress = no_progress, cancel: CancelToken | None = None
    ) -> None:
        """Read all files of a model and compare their digests; progress counts bytes.

        Raises what `resolve` does, and `Cancelled`.
        """
        manifest = self.manifest(name)
        done = 0
        for file in manifest.files:
            progress(done, manifest.size, "B")
            self._checked(name, file, cancel=cancel, thorough=True)
            done += file.size
        progress(done, manifest.size, "B")

    def _checked(
        self,
        name: str,
        file: StoredFile,
        *,
        cancel: CancelToken | None = None,
        thorough: bool = False,
    ) -> StoredFile:
        """The file, with the time of its blob now.  Raises `ModelDamaged`."""
        hint = self._repair(name)
        blob = self._blobs.path(file.digest)
        try:
            status = blob.stat()
        except OSError:
            raise ModelDamaged(name, f"{file.path} is gone from the store", hint=hint) from None
        if status.st_size != file.size:
            fault = f"{file.path} has {status.st_size} bytes instead of {file.size}"
            raise ModelDamaged(name, fault, hint=hint)
        if status.st_mtime_ns == file.mtime_ns and not thorough:
            return file
        found = digest_of(blob, cancel)
        if found != file.digest:
            fault = f"{file.path} was altered: digest is {found[:12]}…, not {file.digest[:12]}…"
            raise ModelDamaged(name, fault, hint=hint)
        return file.model_copy(update={"mtime_ns": status.st_mtime_ns})

    def _repair(self, name: str) -> str:
        if name in self.catalog.models:
            return f"agentkit models pull {name}"
        return f"agentkit models remove {name} && agentkit models add FILE --name {name}"

    def _view(self, manifest: Manifest) -> Path:
        """A folder of links; made aside and renamed, so that nobody sees it half made."""
        views = self.folder / "views"
        view = views / f"{manifest.name}-{manifest.fingerprint}"
        if view.is_dir():
            return view
        aside = make_folder(views / f".{uuid.uuid4().hex}")
        for file in manifest.files:
            link = aside / file.path
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(os.path.relpath(self._blobs.path(file.digest), link.parent))
        try:
            aside.rename(view)
        except OSError:
            shutil.rmtree(aside)
            if not view.is_dir():
                raise
        return view

    # -- removing them -----------------------------------------------------------------------------

    def remove(self, name: str) -> int:
        """Take a model away, with what had arrived of it; returns the bytes freed.

        Files that another model names stay.  Raises `UnknownName`, `UserError` if nothing of it is
        here or another process is pulling it.
        """
        self._check_known(name)
        self._blobs.sweep()
        try:
            with self._blobs.lock(f"model-{name}", patience=0), self._blobs.lock("store"):
                return self._remove(name)
        except TimeoutError:
            raise UserError(f"{name} is being pulled by another process right now") from None

    def _remove(self, name: str) -> int:
        installed = self._manifests.path(name).exists()
        digests = self._digests(name)
        spare = digests - self._manifests.digests_in_use(besides=name)
        self._manifests.delete(name)
        self._delete_views(name)
        freed = sum(self._blobs.discard(digest) for digest in sorted(spare))
        freed += self._blobs.discard_unpinned(name)
        if not installed and not freed:
            raise UserError(f"the model {name!r} is not installed: nothing to remove")
        return freed

    def _delete_views(self, name: str, besides: str = "") -> None:
        for view in (self.folder / "views").glob(f"{name}-????????"):
            if view.name != f"{name}-{besides}":
                shutil.rmtree(view, ignore_errors=True)

    def _digests(self, name: str) -> set[str]:
        """All blobs that belong, or are to belong, to a model."""
        entry = self.catalog.models.get(name)
        digests = {file.sha256 for file in entry.files if file.sha256} if entry else set()
        with suppress(ModelDamaged):
            manifest = self._manifests.find(name)
            digests |= {file.digest for file in manifest.files} if manifest else set()
        return digests
