"""chromadb in a folder: one collection of vectors under numbers.

The library would read a `.env` file of the current folder, send traces where the environment says
so, and fetch a model of its own for texts that come without vectors.  It is given every setting
that matters here, and nothing but vectors.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from agentkit.errors import MachineError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from agentkit.memory.spaces import Hits

SYNC = 1000
"""Vectors after which chromadb writes its graph to disk; those since then it reads from its log
whenever it is opened."""

NAME = "vectors"
"""In a folder there is one collection."""

_paths: set[str] = set()
_paths_guard = threading.Lock()


class IndexBroken(Exception):
    """The index cannot be used as it is, and has to be made anew."""


class IndexAway(Exception):
    """The index cannot be reached now: it may be whole."""


class Index(Protocol):
    """Vectors under numbers.  Raises `IndexBroken` or `IndexAway`, and nothing else."""

    def nearest(
        self, vector: NDArray[np.float32], limit: int, among: Sequence[int] | None = None
    ) -> Hits:
        """The nearest vectors with their similarity, of all or among some."""

    def put(self, numbers: Sequence[int], vectors: NDArray[np.float32]) -> None:
        """Add vectors, or replace them."""

    def drop(self, numbers: Sequence[int]) -> None:
        """Take vectors out; those that are not there are no error."""

    def count(self) -> int:
        """How many vectors there are."""

    def close(self) -> None:
        """Give memory, files and connections back.  Idempotent."""


class FolderIndex:
    """An `Index` that this process has loaded: it does not see what others write meanwhile."""

    def __init__(self, folder: Path) -> None:
        chromadb, settings = _library()
        path = _own_path(folder)
        with _explained():
            self._client = chromadb.PersistentClient(path, settings)
            self._collection = self._client.get_or_create_collection(
                NAME,
                configuration={"hnsw": {"space": "cosine", "sync_threshold": SYNC}},
                embedding_function=None,
            )

    def nearest(
        self, vector: NDArray[np.float32], limit: int, among: Sequence[int] | None = None
    ) -> Hits:
        """See `Index`."""
        ids = None if among is None else [str(one) for one in among]
        with _explained():
            found = self._collection.query(
                query_embeddings=[vector], n_results=limit, ids=ids, include=["distances"]
            )
        return hits(found)

    def put(self, numbers: Sequence[int], vectors: NDArray[np.float32]) -> None:
        """See `Index`."""
        with _explained():
            self._collection.upsert(ids=[str(one) for one in numbers], embeddings=vectors)

    def drop(self, numbers: Sequence[int]) -> None:
        """See `Index`."""
        with _explained():
            self._collection.delete(ids=[str(one) for one in numbers])

    def count(self) -> int:
        """See `Index`."""
        with _explained():
            return int(self._collection.count())

    def close(self) -> None:
        """See `Index`."""
        with suppress(Exception):
            self._client.close()


def hits(found: Any) -> Hits:
    """The answer to a query about one vector; chromadb tells distances."""
    pairs = zip(found["ids"][0], found["distances"][0], strict=True)
    return [(int(one), 1.0 - float(distance)) for one, distance in pairs]


def _own_path(folder: Path) -> str:
    """A path to a folder that nobody in this process has used before.

    chromadb gives all that open one path the same index, as old as the first of them, and as broken
    where that could not be opened.
    """
    with _paths_guard:
        path = str(folder)
        while path in _paths:
            path += "/."
        _paths.add(path)
    return path


def _library() -> tuple[Any, Any]:
    """chromadb, and settings that leave nothing to the environment."""
    try:
        import chromadb
        from chromadb.config import Settings
    except ImportError as error:
        raise MachineError(
            f"memory needs chromadb, which cannot be imported: {error}", hint="pip install chromadb"
        ) from None
    return chromadb, Settings(
        _env_file=None,
        anonymized_telemetry=False,
        chroma_otel_collection_endpoint="",
        chroma_otel_granularity="none",
        chroma_otel_collection_headers={},
        allow_reset=False,
    )


@contextmanager
def _explained() -> Iterator[None]:
    """chromadb raises many things, and its core panics over damaged files."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        raise IndexBroken(f"{type(error).__name__}: {error}") from None
