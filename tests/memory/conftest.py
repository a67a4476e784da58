"""Collections of their own for each test, closed at its end."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from agentkit.memory import Collection, Embedding

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
