"""A Chroma server: one collection of vectors under numbers, over its HTTP API (version 2).

Not over chromadb's own client, which waits for ever, leaves its connections open, and takes a
second to import.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx

from agentkit.memory.chroma import IndexAway, IndexBroken, hits

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from agentkit.memory.spaces import Hits

DATABASE = "/api/v2/tenants/default_tenant/databases/default_database"

TIMEOUT = 30.0
"""Seconds that the server may be silent."""

PAGE = 100


@dataclass(frozen=True, slots=True)
class Server:
    """Where it is; `token` is sent as it is common (`Authorization: Bearer`)."""

    url: str
    token: str | None = None


class ServerIndex:
    """An `Index` that many processes may use at once."""

    def __init__(self, server: Server, name: str) -> None:
        self._client = httpx.Client(
            base_url=server.url.rstrip("/") + DATABASE,
            headers={"Authorization": f"Bearer {server.token}"} if server.token else {},
            timeout=TIMEOUT,
            trust_env=False,
        )
        try:
            made = self._ask(
                "POST",
                "/collections",
                {
                    "name": name,
                    "get_or_create": True,
                    "configuration": {"hnsw": {"space": "cosine"}},
                },
            )
        except BaseException:
            self.close()
            raise
        self._at = f"/collections/{made['id']}"

    def nearest(
        self, vector: NDArray[np.float32], limit: int, among: Sequence[int] | None = None
    ) -> Hits:
        """See `Index`."""
        question: dict[str, Any] = {
            "query_embeddings": [vector.tolist()], "n_results": limit, "include": ["distances"]
        }  # fmt: skip
        if among is not None:
            question["ids"] = [str(one) for one in among]
        return hits(self._ask("POST", f"{self._at}/query", question))

    def put(self, numbers: Sequence[int], vectors: NDArray[np.float32]) -> None:
        """See `Index`."""
        ids = [str(one) for one in numbers]
        self._ask("POST", f"{self._at}/upsert", {"ids": ids, "embeddings": vectors.tolist()})

    def drop(self, numbers: Sequence[int]) -> None:
        """See `Index`."""
        self._ask("POST", f"{self._at}/delete", {"ids": [str(one) for one in numbers]})

    def count(self) -> int:
        """See `Index`."""
        return int(self._ask("GET", f"{self._at}/count"))

    def drop_others(self, prefix: str, names: Collection[str]) -> None:
        """Delete the collections of the server that begin alike, but for some."""
        found: list[str] = []
        while page := self._ask("GET", f"/collections?limit={PAGE}&offset={len(found)}"):
            found += [one["name"] for one in page]
        for name in found:
            if name.startswith(prefix) and name not in names:
                self._ask("DELETE", f"/collections/{name}")

    def close(self) -> None:
        """See `Index`."""
        self._client.close()

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        try:
            answer = self._client.request(method, path, json=body)
        except httpx.HTTPError as error:
            raise IndexAway(f"{self._client.base_url.host}: {error}") from None
        if answer.status_code in (404, 400):  # deleted there, or of another shape
            raise IndexBroken(f"the server says: {answer.text[:200]}")
        if answer.is_error:
            raise IndexAway(f"the server says {answer.status_code}: {answer.text[:200]}")
        return answer.json() if answer.content else None
