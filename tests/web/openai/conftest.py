"""Services whose models need no weights: scripted ones, and real ones of half a megabyte.

A test talks to a process of `agentkit serve`, with a token for inference, as any client does.
Where it scripts what a model says, the service is in this process instead.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from agentkit.runtime import Runtime
from agentkit.testing import ScriptedModel, ScriptedTranscriber
from agentkit.transcript import Transcript
from tests.engine.tiny_models import GAP_MARKERS, MARKERS, TEMPLATE, write_model
from tests.remote.player import Player
from tests.web.conftest import LIMIT, SECRET, Served, servers

ROOT = Path(__file__).parents[3]
AGENTKIT = [sys.executable, "-m", "agentkit"]
REASONS = (
    f"{TEMPLATE}{{% if enable_thinking is defined and not enable_thinking %}}"
    "<think>\n\n</think>\n\n{% endif %}"
)
SPEECH = "Good morning.\nLet us begin with the budget."

Script = Callable[..., ScriptedModel]


@dataclass(frozen=True)
class Place:
    """Where the API is, and the token that clients send; the one of the owner."""

    url: str
    token: str
    owner: str
    home: Path

    def http(self, token: str | None = None) -> httpx.Client:
        about = {"Authorization": f"Bearer {token or self.token}"}
        return httpx.Client(base_url=self.url, headers=about, timeout=LIMIT, trust_env=False)


class Ears(ScriptedTranscriber):
    """Hears the same in every upload, whatever the file is called by then."""

    languages: list[str | None]

    def transcribe(self, audio: Path, **how: Any) -> Transcript:
        assert audio.is_file()
        self.uploads.append(audio)
        self.languages.append(how.get("language"))
        return super().transcribe(Path("talk.wav"), **how)

    def __init__(self, *said: Any) -> None:
        super().__init__({"talk.wav": said[0] if said else SPEECH})
        self.uploads: list[Path] = []
        self.languages = []


def furnish(home: Path, more: str = "") -> None:
    """A home in which `tiny` answers nonsense, and `tiny-embed` makes vectors of it.

    `tiny-coder` has the markers of code models, and a template that knows of reasoning.
    """
    (home / "settings.yaml").write_text(
        "roles: {chat: tiny, embed: tiny-embed}\n"
        "engine: {context_tokens: 512}\n"
        f"service: {{port: 0, rate: 100000}}\n{more}"
    )
    gguf = write_model(home / "tiny.gguf", "attention")
    coder = write_model(
        home / "tiny-coder.gguf", "attention", markers=(*MARKERS, *GAP_MARKERS), template=REASONS
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AGENTKIT_HOME", str(home))
        with Runtime() as runtime:
            runtime.store.add(gguf)
            runtime.store.add(gguf, "tiny-embed", "embed")
            runtime.store.add(coder)


@pytest.fixture(scope="session")
def afar() -> Iterator[Player]:
    """The server behind `far`, a remote of the process: it gives the answers that are laid down."""
    with Player() as playing:
        threading.Thread(target=playing.serve_forever, args=(0.02,), daemon=True).start()
        yield playing
        playing.shutdown()


@pytest.fixture(scope="session")
def process(tmp_path_factory: pytest.TempPathFactory, afar: Player) -> Iterator[Place]:
    """The process, with models that need no weights."""
    home = tmp_path_factory.mktemp("process")
    furnish(home, f"remotes: {{far: {{url: {afar.url}, context_tokens: 8192}}}}\n")
    with serving(home) as place:
        yield place


@contextmanager
def serving(home: Path, **more: str) -> Iterator[Place]:
    """`agentkit serve` in a home, and a token of `agentkit tokens create`."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    environment = {**kept, "AGENTKIT_HOME": str(home), "PYTHONPATH": str(ROOT), **more}
    token = subprocess.run(
        [*AGENTKIT, "tokens", "create", "chat", "--scope", "inference"],
        env=environment, cwd=home, stdout=subprocess.PIPE, text=True, check=True, timeout=LIMIT,
    ).stdout.strip()  # fmt: skip
    with subprocess.Popen(
        [*AGENTKIT, "serve"], env=environment, cwd=home, stderr=subprocess.PIPE, text=True
    ) as serving:
        try:
            assert serving.stderr is not None
            line = serving.stderr.readline()
            assert line.startswith("serving on http://127.0.0.1:"), line + serving.stderr.read()
            url = line.removeprefix("serving on ").partition(";")[0]
            yield Place(url, token, (home / "service-token").read_text().strip(), home)
        finally:
            serving.terminate()
            serving.communicate(timeout=LIMIT)


@pytest.fixture(scope="session")
def inside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The same in this process, where tests can say what a model answers."""
    home = tmp_path_factory.mktemp("inside")
    furnish(home)
    with servers(home) as start:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("AGENTKIT_HOME", str(home))
            served = start(rate=100_000)
        yield served


def _is_scripted(request: pytest.FixtureRequest) -> bool:
    return not {"script", "ears"}.isdisjoint(request.fixturenames)


@pytest.fixture
def place(request: pytest.FixtureRequest) -> Place:
    """Where this test finds its service."""
    if _is_scripted(request):
        inside: Served = request.getfixturevalue("inside")
        return Place(inside.url, SECRET, SECRET, inside.home)
    found: Place = request.getfixturevalue("process")
    return found


@pytest.fixture
def script(inside: Served, monkeypatch: pytest.MonkeyPatch) -> Script:
    """`script("Hello.")`: the model `scripted` gives these answers; all others are themselves."""
    runtime = inside.service.runtime

    def write(*answers: Any, **about: Any) -> ScriptedModel:
        model, real = ScriptedModel(*answers, **about), Runtime.chat
        monkeypatch.setattr(
            runtime,
            "chat",
            lambda name=None: model if name == "scripted" else real(runtime, name),
            raising=False,
        )
        return model

    return write


@pytest.fixture
def ears(inside: Served, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ears]:
    """`ears("Hello.")`: what every recording says."""

    def listen(*said: Any) -> Ears:
        found = Ears(*said)
        monkeypatch.setattr(
            inside.service.runtime, "transcriber", lambda name=None: found, raising=False
        )
        return found

    return listen


@pytest.fixture(scope="session")
def clients() -> Iterator[Callable[[Place], openai.OpenAI]]:
    """The official client, as its users have it; one for each service."""
    made: dict[str, openai.OpenAI] = {}

    def client(place: Place) -> openai.OpenAI:
        if place.url not in made:
            made[place.url] = openai.OpenAI(
                api_key=place.token, base_url=f"{place.url}/v1", timeout=LIMIT, max_retries=0
            )
        return made[place.url]

    yield client
    for one in made.values():
        one.close()


@pytest.fixture
def client(place: Place, clients: Callable[[Place], openai.OpenAI]) -> openai.OpenAI:
    return clients(place)


@pytest.fixture
def asynchronous(place: Place) -> openai.AsyncOpenAI:
    """The same for programs with a loop."""
    return openai.AsyncOpenAI(
        api_key=place.token, base_url=f"{place.url}/v1", timeout=LIMIT, max_retries=0
    )
