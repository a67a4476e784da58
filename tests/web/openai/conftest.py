"""A service with models that need no weights: scripted ones, and real ones of half a megabyte."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from agentkit.runtime import Runtime
from agentkit.testing import ScriptedModel, ScriptedTranscriber
from agentkit.transcript import Transcript
from tests.engine.tiny_models import write_model
from tests.web.conftest import LIMIT, SECRET, Served, servers

SPEECH = "Good morning.\nLet us begin with the budget."

Script = Callable[..., ScriptedModel]


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


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A running service; `tiny` answers nonsense, and `tiny-embed` makes vectors of it."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AGENTKIT_HOME", str(home))
        patch.setenv("AGENTKIT_ROLES__CHAT", "tiny")
        patch.setenv("AGENTKIT_ROLES__EMBED", "tiny-embed")
        patch.setenv("AGENTKIT_ENGINE__CONTEXT_TOKENS", "512")
        gguf = write_model(home / "tiny.gguf", "attention")
        with Runtime() as runtime:
            runtime.store.add(gguf)
            runtime.store.add(gguf, "tiny-embed", "embed")
        with servers(home) as start:
            yield start(rate=100_000)


@pytest.fixture
def script(place: Served, monkeypatch: pytest.MonkeyPatch) -> Script:
    """`script("Hello.")`: the model `scripted` gives these answers; all others are themselves."""
    runtime = place.service.runtime

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
def ears(place: Served, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ears]:
    """`ears("Hello.")`: what every recording says."""

    def listen(*said: Any) -> Ears:
        found = Ears(*said)
        monkeypatch.setattr(
            place.service.runtime, "transcriber", lambda name=None: found, raising=False
        )
        return found

    return listen


@pytest.fixture(scope="module")
def client(place: Served) -> Iterator[openai.OpenAI]:
    """The official client, as its users have it."""
    with openai.OpenAI(
        api_key=SECRET, base_url=f"{place.url}/v1", timeout=LIMIT, max_retries=0
    ) as found:
        yield found


@pytest.fixture
def asynchronous(place: Served) -> openai.AsyncOpenAI:
    """The same for programs with a loop."""
    return openai.AsyncOpenAI(
        api_key=SECRET, base_url=f"{place.url}/v1", timeout=LIMIT, max_retries=0
    )
