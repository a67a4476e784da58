"""Texts that are remembered: looked for, kept, forgotten."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from fastapi import APIRouter, Response
from pydantic import Field

from agentkit.cancel import CancelToken
from agentkit.ports import Condition, Imported, Progress, Recollection, Scalar, Taken
from agentkit.web.api.bodies import Body, Place
from agentkit.web.api.told import told
from agentkit.web.service import Here, Who

router = APIRouter(prefix="/api/memory", tags=["memory"])


class Where(Body):
    """Something that has to hold of an entry."""

    key: str
    operator: Literal["=", "!=", "<", "<=", ">", ">=", "~"] = "="
    value: Scalar


class Query(Body):
    """What is looked for."""

    query: str
    limit: int = Field(5, ge=1, le=1000)
    where: list[Where] = Field(default_factory=list)


class Note(Body):
    """A text to be kept."""

    text: str
    source: str = "api"
    metadata: dict[str, Scalar] = Field(default_factory=dict)


class Documents(Body):
    """Files and folders to be taken in."""

    paths: list[Place] = Field(min_length=1)
    metadata: dict[str, Scalar] = Field(default_factory=dict)
    forget_gone: bool = False
    """Forget what was taken in from there and is no longer there."""


class Export(Body):
    """A file that `agentkit memory export` wrote."""

    path: Place


class Kept(Body):
    """An entry by its id."""

    id: str


@router.get("")
def names(here: Here) -> list[str]:
    """The collections in which something was kept."""
    return here.runtime.memories.names()


@router.post("/{collection}/search")
def search(collection: str, wanted: Query, here: Here) -> list[Recollection]:
    """The entries that fit a query, best first."""
    found = here.runtime.memories.collection(collection, must_exist=True)
    return found.search(wanted.query, limit=wanted.limit, where=_conditions(wanted.where))


@router.post("/{collection}", status_code=201)
def keep(collection: str, note: Note, here: Here, who: Who) -> Kept:
    """Keep a text; the id of an old entry, if that says the same.

    Of another token than the owner's the source says which, and the collection has to be there.
    """
    found = here.runtime.memories.collection(collection, must_exist=not who.owner)
    source = note.source if who.owner else f"token {who.name}: {note.source}"
    return Kept(id=found.save(note.text, source=source, metadata=note.metadata))


@router.post("/{collection}/documents", response_class=Response)
def documents(collection: str, wanted: Documents, here: Here) -> Response:
    """Bring a collection up to files, and to all files in folders.

    Server-sent events: `progress`, and at the end `done` with what was taken in, or `error`.
    """
    found = here.runtime.memories.collection(collection)

    def take(progress: Progress, cancel: CancelToken) -> Taken:
        return here.runtime.memories.take_in(
            found,
            [Path(path) for path in wanted.paths],
            metadata=wanted.metadata,
            forget_gone=wanted.forget_gone,
            progress=progress,
            cancel=cancel,
        )

    return told(take)


@router.post("/{collection}/import", response_class=Response)
def import_(collection: str, wanted: Export, here: Here) -> Response:
    """Add what was exported; entries that are here already are left alone.

    Server-sent events: `progress`, and at the end `done` with how many were added, or `error`.
    """
    memories = here.runtime.memories
    found = memories.collection(collection)

    def take(progress: Progress, cancel: CancelToken) -> Imported:
        return memories.import_(found, Path(wanted.path), progress=progress, cancel=cancel)

    return told(take)


@router.post("/{collection}/reembed", response_class=Response)
def reembed(collection: str, here: Here) -> Response:
    """Make all vectors anew, if the embedder has changed; the old ones serve until then.

    Server-sent events: `progress`, and at the end `done` with how many entries were read again, or
    `error`.
    """
    memories = here.runtime.memories
    found = memories.collection(collection, must_exist=True)

    def make(progress: Progress, cancel: CancelToken) -> int:
        return memories.reembed(found, progress=progress, cancel=cancel)

    return told(make)


@router.post("/{collection}/forget")
def forget(collection: str, where: list[Where], here: Here) -> int:
    """Forget the entries of which all conditions hold; how many.  No condition forgets none."""
    found = here.runtime.memories.collection(collection, must_exist=True)
    return found.forget(_conditions(where))


def _conditions(where: list[Where]) -> list[Condition]:
    return [Condition(one.key, one.operator, one.value) for one in where]
