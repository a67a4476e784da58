"""The commands and the program of the page work, on real models, with the client as it ships."""

from __future__ import annotations

import json
import re
import subprocess
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.web.conftest import SECRET, Served, servers

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "openai-api.md").read_text(encoding="utf-8")
LIMIT = 120.0

pytestmark = pytest.mark.model


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory, models_folder: Path) -> Iterator[Served]:
    """A service with the models of this machine; its token is where the page says."""
    home = tmp_path_factory.mktemp("home")
    (home / "service-token").write_text(f"{SECRET}\n")
    (home / "service-token").chmod(0o600)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AGENTKIT_HOME", str(home))
        patch.setenv("AGENTKIT_MODELS_DIR", str(models_folder))
        patch.setenv("AGENTKIT_ENGINE__CONTEXT_TOKENS", "1024")
        with servers(home) as start:
            yield start()


@pytest.fixture(scope="module")
def client(real: Served) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(api_key=SECRET, base_url=f"{real.url}/v1", timeout=LIMIT) as found:
        yield found


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The beginning of the meeting: what comes later takes as long as it is."""
    from faster_whisper.audio import decode_audio

    samples = decode_audio(str(ROOT / "examples" / "meeting.flac"))[: 16_000 * 12]
    path = tmp_path_factory.mktemp("talk") / "talk.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes((samples * 32_767).astype("<i2").tobytes())
    return path


def as_here(text: str, real: Served) -> str:
    return text.replace("localhost:8374", f"localhost:{real.port}").replace(
        "~/.agentkit", str(real.home)
    )


def test_the_program_of_the_page(real: Served, capsys: pytest.CaptureFixture[str]) -> None:
    (program,) = blocks("python")
    space: dict[str, openai.OpenAI] = {}
    exec(compile(as_here(program, real), "openai-api.md", "exec"), space)
    space["client"].close()
    assert capsys.readouterr().out.strip()


def test_the_commands_of_the_page(real: Served, talk: Path) -> None:
    script = as_here("\n".join(blocks("bash")), real).replace("curl -s", "curl -sS")
    script = script.replace("curl -sS", "echo; echo NEXT; curl -sS")
    script = script.replace("examples/meeting.flac", str(talk))
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        capture_output=True,
        text=True,
        timeout=LIMIT,
        cwd=ROOT,
    )
    assert (done.returncode, done.stderr) == (0, "")
    answers = [one.strip() for one in done.stdout.split("NEXT")[1:]]
    stream = answers.pop(2)
    models, chat, schema, tool, text, vectors, response, words, tokens, back, score = map(
        json.loads, answers
    )
    assert "qwen2.5-coder-0.5b" in [one["id"] for one in models["data"]]
    assert chat["choices"][0]["message"]["content"]
    assert stream.endswith("data: [DONE]")
    town = json.loads(schema["choices"][0]["message"]["content"])
    assert set(town) == {"town", "inhabitants"}
    (call,) = tool["choices"][0]["message"]["tool_calls"]
    assert json.loads(call["function"]["arguments"])["town"] in ("Rome", "Paris")
    assert "a + b" in text["choices"][0]["text"]
    assert len(vectors["data"][0]["embedding"]) == 384
    assert response["output"][0]["content"][0]["text"]
    assert words["words"][0]["start"] >= 0
    assert tokens["count"] == 4
    assert back["prompt"] == "How many"
    yes, no = (one["score"] for one in score["data"])
    assert yes > no


def test_what_a_model_wrote_is_not_read_again(client: openai.OpenAI) -> None:
    messages: list[Any] = [{"role": "user", "content": "Tell me about bread, at length."}]
    first = client.chat.completions.create(
        model="qwen2.5-coder-0.5b",
        messages=messages,
        max_tokens=24,
    )
    messages += [
        {"role": "assistant", "content": first.choices[0].message.content or ""},
        {"role": "user", "content": "Go on."},
    ]
    second = client.chat.completions.create(
        model="qwen2.5-coder-0.5b",
        messages=messages,
        max_tokens=4,
    )
    assert first.usage is not None
    assert second.usage is not None
    assert second.usage.prompt_tokens_details is not None
    assert (second.usage.prompt_tokens_details.cached_tokens or 0) >= first.usage.prompt_tokens


def test_vectors_of_one_meaning_are_nearer(client: openai.OpenAI) -> None:
    found = client.embeddings.create(
        model="all-minilm-l6-v2", input=["a cat on a mat", "a kitten on a rug", "interest rates"]
    )
    cat, kitten, rates = (one.embedding for one in found.data)
    assert sum(map(float.__mul__, cat, kitten)) > sum(map(float.__mul__, cat, rates)) + 0.3


def test_a_recording_streams_its_text(client: openai.OpenAI, talk: Path) -> None:
    with talk.open("rb") as file:
        events = list(
            client.audio.transcriptions.create(model="whisper-tiny.en", file=file, stream=True)
        )
    assert events[-1].type == "transcript.text.done"
    said = "".join(one.delta for one in events if one.type == "transcript.text.delta")
    assert said == events[-1].text
    assert "morning" in said.lower()
