"""Collections of their own for each test, closed at its end."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from agentkit.memory import Collection, Embedding, Entry, ledger, spaces
from agentkit.ports import Scalar

from .tiny import tiny

Opened = Callable[..., Collection]


@pytest.fixture
def notices() -> list[str]:
    """What collections said to a person."""
    return []


@pytest.fixture
def opened(tmp_path: Path, notices: list[str]) -> Iterator[Opened]:
    """`opened("notes")`: again and again the same folder, each time as another process would."""
    made: list[Collection] = []

    def open_it(name: str = "notes", embedding: Embedding | None = None, **more: Any) -> Collection:
        chosen = embedding or tiny()
        collection = Collection(
            tmp_path / "memory" / name, name, lambda: chosen, notice=notices.append, **more
        )
        made.append(collection)
        return collection

    yield open_it
    for collection in made:
        collection.close()


@pytest.fixture
def collection(opened: Opened) -> Collection:
    """One, with an embedder that a test can foresee."""
    return opened()


def keep(
    collection: Collection,
    texts: Sequence[str],
    source: Callable[[int], str] = lambda number: "",
    metadata: Callable[[int], dict[str, Scalar]] = lambda number: {},
) -> None:
    """Notes in one transaction, as an import keeps them: one by one, each asks for the disk."""
    (made, now) = collection.embedding.embedder.embed(texts), datetime.now(UTC)
    with collection.database.write() as connection:
        space = collection.writable(connection, made.shape[1])
        for number, (text, vector) in enumerate(zip(texts, made, strict=True)):
            entry = Entry(ledger.new_id(), text, source(number), now, metadata(number))
            spaces.put(connection, space.id, ledger.add(connection, entry), vector[np.newaxis])
    collection.tend()


@pytest.fixture(scope="session")
def chroma_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real server on the loopback, and its address."""
    folder = tmp_path_factory.mktemp("chroma")
    port = free_port()
    program = Path(sys.executable).with_name("chroma")
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(
            [program, "run", "--path", folder / "data", "--host", "127.0.0.1", "--port", str(port)],
            stdout=log,
            stderr=log,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(300):
            with suppress(httpx.HTTPError):
                httpx.get(f"{url}/api/v2/heartbeat").raise_for_status()
                break
            assert server.poll() is None, (folder / "log").read_text()
            time.sleep(0.1)
        yield url
    finally:
        server.terminate()
        server.wait()


def free_port() -> int:
    """Free a moment ago, at least: the server cannot choose one itself."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
