"""Settings to memory: the collections of this agentkit, each opened when it is first asked for.

    <home>/memory/<collection>/

The work on a collection (`take_in`, `export`, …) is handed on from here, for the faces.
"""

from __future__ import annotations

import hashlib
import os
import re
import threading
from collections.abc import Callable

from agentkit.config import Settings
from agentkit.errors import UnknownName, UserError
from agentkit.memory import (
    Collection,
    Embedding,
    Entry,
    Repaired,
    Server,
    Status,
    export,
    import_,
    reembed,
    repair,
    take_in,
)
from agentkit.models import ModelStore
from agentkit.ports import Embedder
from agentkit.runtime.offers import Notice

__all__ = [
    "Collection",
    "Entry",
    "Memories",
    "Repaired",
    "Status",
    "export",
    "import_",
    "reembed",
    "repair",
    "take_in",
]


_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")


class Memories:
    """The collections by name.  May be used from any thread."""

    def __init__(
        self,
        settings: Settings,
        store: Callable[[], ModelStore],
        embedder: Callable[[], Embedder],
        notice: Notice,
    ) -> None:
        self._settings = settings
        self._store = store
        self._embedder = embedder
        self._notice = notice
        self._guard = threading.Lock()
        self._open: dict[str, Collection] = {}

    def names(self) -> list[str]:
        """The collections in which something was kept."""
        found = self._settings.memory_folder.glob("*/memory.sqlite")
        return sorted(file.parent.name for file in found)

    def collection(self, name: str | None = None, *, must_exist: bool = False) -> Collection:
        """A collection, None: the one of the settings.  It is made when something is saved.

        Raises `UserError` for what cannot be a name, `UnknownName` if it must exist and does not.
        """
        chosen = name or self._settings.memory.collection
        if not _NAME.fullmatch(chosen):
            raise UserError(
                f"{chosen!r} is no name: lower-case letters, digits, '.', '_' and '-' only"
            )
        if must_exist and name and name not in self.names():
            raise UnknownName("memory", name, self.names(), hint="agentkit memory status")
        with self._guard:
            if chosen not in self._open:
                self._open[chosen] = self._opened(chosen)
            return self._open[chosen]

    # for a face that loads this room only where something is remembered
    take_in = staticmethod(take_in)
    import_ = staticmethod(import_)
    reembed = staticmethod(reembed)

    def close(self) -> None:
        """Close all.  Idempotent."""
        with self._guard:
            for collection in self._open.values():
                collection.close()
            self._open.clear()

    def _opened(self, name: str) -> Collection:
        memory = self._settings.memory
        return Collection(
            self._settings.memory_folder / name,
            name,
            self._embedding,
            server=Server(memory.server, self._token()) if memory.server else None,
            same_meaning=memory.same_meaning,
            notice=self._notice,
        )

    def _embedding(self) -> Embedding:
        """The embedder of the settings; its digest is that of all its files."""
        manifest = self._store().manifest(self._settings.roles.embed)
        digests = "\n".join(sorted(file.digest for file in manifest.files))
        return Embedding(self._embedder(), hashlib.sha256(digests.encode()).hexdigest())

    def _token(self) -> str | None:
        variable = self._settings.memory.token_env
        if not variable:
            return None
        token = os.environ.get(variable)
        if not token:
            raise UserError(
                f"the variable {variable} with the token of the Chroma server is not set",
                hint=f"export {variable}=…, or correct memory.token_env in settings",
            )
        return token
