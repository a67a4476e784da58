"""A service in this process, on a real port, in a home of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
import uvicorn

from agentkit.client import Client
from agentkit.config import Settings
from agentkit.runtime import Runtime, keeper
from agentkit.web.app import application
from agentkit.web.connections import Connection
from agentkit.web.service import Service

SECRET = "s" * 43
LIMIT = 20.0
"""Seconds until a test gives up."""

TOOLS = '''
from agentkit import ToolContext, tool

@tool
def say(text: str) -> str:
    """Say a text."""
    return text

@tool
def hold(context: ToolContext) -> str:
    """Wait until somebody lets go."""
    (context.folder / "held").touch()
    while not (context.folder.parent.parent / "go").exists():
        context.cancel.wait(0.02)
    return "done"
'''

WORKFLOWS = {
    "greet": """
inputs: {who: {default: world}}
steps:
  - {id: hello, uses: say, with: {text: "hello ${{ inputs.who }}"}}
outputs: {said: "${{ steps.hello.outputs }}"}
""",
    "hold": """
steps:
  - {id: first, uses: say, with: {text: one}}
  - {id: wait, uses: hold}
outputs: {said: "${{ steps.wait.outputs }}"}
""",
    "file": """
steps:
  - {id: write, uses: write_file, with: {path: notes/a.md, content: "# A"}}
""",
    "ask": """
steps:
  - {id: q, approve: Go on?}
outputs: {said: "${{ steps.q.outputs.answer }}"}
""",
    "hurry": """
steps:
  - {id: q, approve: {text: Go on?, timeout: 300ms, on_timeout: approve}}
outputs: {said: "${{ steps.q.outputs.answer }}"}
""",
    "nightly": """
triggers: [{cron: 0 3 * * *, timezone: UTC}]
steps:
  - {id: a, uses: say, with: {text: good night}}
""",
    "wrong": """
steps:
  - {id: x, run: exit 3}
""",
    "reads": """
inputs: {file: {type: file}}
steps:
  - {id: r, uses: read_file, with: {path: "${{ inputs.file }}"}}
""",
}


@dataclass(frozen=True)
class Served:
    """What a test talks to."""

    url: str
    port: int
    home: Path
    service: Service

    def http(self, token: str = SECRET, **headers: str) -> httpx.Client:
        about = {"Authorization": f"Bearer {token}", **headers}
        return httpx.Client(base_url=self.url, headers=about, timeout=LIMIT, trust_env=False)

    def client(self, token: str = SECRET) -> Client:
        return Client(self.url, token)


@pytest.fixture
def home(isolated_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With tools and workflows that need no model; the service is in an empty folder."""
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    (isolated_home / "tools").mkdir(parents=True)
    (isolated_home / "tools" / "trials.py").write_text(TOOLS)
    (isolated_home / "workflows").mkdir()
    for name, text in WORKFLOWS.items():
        (isolated_home / "workflows" / f"{name}.yaml").write_text(f"name: {name}\n{text}")
    return isolated_home


Start = Callable[..., Served]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs that could go on are looked for all the time."""
    monkeypatch.setattr(keeper, "EVERY", 0.05)
    monkeypatch.setattr(keeper, "HIMSELF", timedelta(0))


@pytest.fixture
def serve(home: Path) -> Iterator[Start]:
    """`serve(runs=2)`: a service with these settings of its own."""
    with servers(home) as start:
        yield start


@pytest.fixture
def served(serve: Start) -> Served:
    return serve()


@contextmanager
def servers(home: Path) -> Iterator[Start]:
    ends: list[Callable[[], None]] = []

    def start(**own: object) -> Served:
        settings = Settings.load()
        settings.service = settings.service.model_copy(update=own)
        runtime = Runtime(settings)
        service = Service.of(runtime)
        listening = uvicorn.Config("", port=0).bind_socket()
        port = listening.getsockname()[1]
        config = uvicorn.Config(
            application(service, secret=SECRET, port=port),
            http=Connection,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=1,
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        service.start()

        def end() -> None:
            server.should_exit = True
            thread.join(LIMIT)
            service.stop()
            listening.close()
            runtime.close()

        ends.append(end)
        found = Served(f"http://127.0.0.1:{port}", port, home, service)
        with found.client() as client:
            while not client.up():
                pass
        return found

    try:
        yield start
    finally:
        for end in ends:
            end()
