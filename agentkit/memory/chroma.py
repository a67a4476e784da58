"""The library chromadb: one collection of vectors under numbers, in a folder or on a server.

chromadb would read a `.env` file of the current folder, send traces where the environment says so,
and fetch a model of its own for texts that come without vectors.  It is given every setting that
matters here, and nothing but vectors.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

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


@dataclass(frozen=True, slots=True)
class Server:
    """A Chroma server; `token` goes into the header `Authorization`."""

    url: str
    token: str | None = None


class Chroma:
    """An open collection.  Raises `IndexBroken` or `IndexAway`, whatever chromadb raises."""

    def __init__(self, client: Any, collection: Any, path: str = "") -> None:
        self._client = client
        self._collection = collection
        self._path = path

    @classmethod
    def in_folder(cls, folder: Path) -> Chroma:
        """Open, or make, the collection of a folder."""
        chromadb, settings = _library()
        with _opening(folder) as path, _explained():
            client = chromadb.PersistentClient(path, settings)
            return cls(client, _collection(client, NAME), path)

    @classmethod
    def on_server(cls, server: Server, name: str) -> Chroma:
        """Open, or make, a collection on a server."""
        chromadb, settings = _library()
        address = urlsplit(server.url)
        secure = address.scheme == "https"
        with _explained():
            client = chromadb.HttpClient(
                host=address.hostname or "",
                port=address.port or (443 if secure else 80),
                ssl=secure,
                headers={"Authorization": f"Bearer {server.token}"} if server.token else {},
                settings=settings,
            )
            return cls(client, _collection(client, name))

    def nearest(
        self, vector: NDArray[np.float32], limit: int, among: Sequence[int] | None = None
    ) -> Hits:
        """The nearest vectors with their similarity, of all or among some."""
        ids = None if among is None else [str(one) for one in among]
        with _explained():
            found = self._collection.query(
                query_embeddings=[vector], n_results=limit, ids=ids, include=["distances"]
            )
        pairs = zip(found["ids"][0], found["distances"][0], strict=True)
        return [(int(one), 1.0 - float(distance)) for one, distance in pairs]

    def put(self, numbers: Sequence[int], vectors: NDArray[np.float32]) -> None:
        """Add vectors, or replace them."""
        with _explained():
            self._collection.upsert(ids=[str(one) for one in numbers], embeddings=vectors)

    def drop(self, numbers: Sequence[int]) -> None:
        """Take vectors out; those that are not there are no error."""
        with _explained():
            self._collection.delete(ids=[str(one) for one in numbers])

    def count(self) -> int:
        """How many vectors there are."""
        with _explained():
            return int(self._collection.count())

    def destroy(self) -> None:
        """Delete the collection on its server."""
        with _explained():
            self._client.delete_collection(self._collection.name)

    def close(self) -> None:
        """Give memory and files back.  Idempotent."""
        with suppress(Exception):
            self._client.close()
        _paths.discard(self._path)


@contextmanager
def _opening(folder: Path) -> Iterator[str]:
    """A path to a folder that nobody in this process uses.

    chromadb gives all that open one path the same index, as old as the first of them.
    """
    with _paths_guard:
        path = str(folder)
        while path in _paths:
            path += "/."
        _paths.add(path)
    try:
        yield path
    except BaseException:
        _paths.discard(path)
        raise


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


def _collection(client: Any, name: str) -> Any:
    return client.get_or_create_collection(
        name,
        configuration={"hnsw": {"space": "cosine", "sync_threshold": SYNC}},
        embedding_function=None,
    )


@contextmanager
def _explained() -> Iterator[None]:
    """chromadb raises many things, and its core panics over damaged files."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit, MachineError):
        raise
    except BaseException as error:
        said = f"{type(error).__name__}: {error}"
        names = {kind.__module__.partition(".")[0] for kind in type(error).__mro__}
        away = "httpx" in names or isinstance(error, ConnectionError) or "connect" in said
        raise (IndexAway if away else IndexBroken)(said) from None
