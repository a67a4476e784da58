"""A home with tools and workflows that need no model, and ways to talk to a server in it."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

from agentkit.config import Settings
from agentkit.runtime import Runtime, settle

T = TypeVar("T")

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
AGENTKIT = [sys.executable, "-m", "agentkit"]
LIMIT = 40.0
"""Seconds until a test gives up."""


@dataclass(frozen=True)
class Home:
    """A home, and agentkit in it."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        return {**kept, "AGENTKIT_HOME": str(self.folder), "PYTHONPATH": str(ROOT)}

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*AGENTKIT, *arguments],
            env=self.environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=LIMIT,
        )

    def runtime(self) -> Runtime:
        """To look at what is there; the variable that each test has would win over an argument."""
        return Runtime(Settings().model_copy(update={"home": self.folder}))

    def start(self, *arguments: str, **more: Any) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*AGENTKIT, "mcp", *arguments],
            env=self.environment,
            cwd=self.folder,
            text=True,
            **more,
        )


@dataclass(frozen=True)
class Served:
    """A server that runs: over HTTP if it has a URL, else one is started over pipes."""

    home: Home
    url: str = ""

    @property
    def token(self) -> str:
        return (self.home.folder / "mcp-token").read_text().strip()

    @asynccontextmanager
    async def client(self, *arguments: str, **more: Any) -> AsyncIterator[Client]:
        """The SDK's client, connected."""
        if not self.url:
            program = StdioServerParameters(
                command=AGENTKIT[0],
                args=[*AGENTKIT[1:], "mcp", *arguments],
                env=self.home.environment,
                cwd=self.home.folder,
            )
            async with Client(program, **more) as client:
                yield client
            return
        headers = {"Authorization": f"Bearer {self.token}"}
        async with (
            httpx2.AsyncClient(headers=headers, timeout=LIMIT, trust_env=False) as http,
            Client(streamable_http_client(self.url, http_client=http), **more) as client,
        ):
            yield client


def finish(work: Awaitable[T]) -> T:
    """Run something to its end, in time."""

    async def bounded() -> T:
        async with asyncio.timeout(LIMIT):
            return await work

    return asyncio.run(bounded())


def words(result: Any) -> str:
    """The texts of a result."""
    return "\n".join(block.text for block in result.content)


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    folder = tmp_path_factory.mktemp("mcp") / "home"
    for kind in ("tools", "workflows"):
        (folder / kind).mkdir(parents=True)
        for path in (HERE / "home" / kind).iterdir():
            if path.is_file():
                (folder / kind / path.name).write_bytes(path.read_bytes())
    return Home(folder)


@pytest.fixture(scope="session")
def over_http(home: Home) -> Iterator[Served]:
    """One server for all tests; what it says first names the port."""
    process = home.start("--http", "--port", "0", stderr=subprocess.PIPE)
    assert process.stderr is not None
    try:
        said = process.stderr.readline()
        found = re.search(r"serving on (http://127\.0\.0\.1:\d+/mcp); token in (.*)", said)
        assert found, said + process.stderr.read()
        assert Path(found[2]) == home.folder / "mcp-token"
        yield Served(home, found[1])
    finally:
        process.terminate()
        process.wait(LIMIT)
        process.stderr.close()


@pytest.fixture(params=["pipes", "http"])
def served(request: pytest.FixtureRequest, home: Home) -> Served:
    if request.param == "pipes":
        return Served(home)
    found: Served = request.getfixturevalue("over_http")
    return found


Approve = Callable[[str], None]


@pytest.fixture
def approve(home: Home) -> Approve:
    """Allow what an error says that it waits for."""

    def run(said: str) -> None:
        named = re.search(r"`agentkit approvals approve (\w+)`", said)
        assert named, said
        with home.runtime() as runtime:
            desk = runtime.journal.desk
            settle(desk, desk.find(named[1]), "once")

    return run
