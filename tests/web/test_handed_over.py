"""`agentkit transcribe` and `agentkit memory` while a service is up: the same words, its models."""

from __future__ import annotations

import io
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agentkit.cancel import CancelToken
from agentkit.cli import main
from agentkit.config import Settings
from agentkit.errors import BadAudio, Cancelled
from agentkit.runtime import Runtime
from agentkit.testing import ScriptedTranscriber
from agentkit.transcript import Transcript
from agentkit.whereabouts import alone, said
from tests.engine.tiny_models import write_model

from .conftest import LIMIT, SECRET, Served, Start

SPEECH = "Good morning.\nLet us begin with the budget."


class Ears(ScriptedTranscriber):
    """Hears the same in every recording but `bad.wav`, and waits in `long.wav`."""

    def __init__(self) -> None:
        super().__init__({"talk.wav": SPEECH, "other.wav": "Yes.", "quiet.wav": ""})
        self.begun = threading.Event()
        self.ended = threading.Event()

    def transcribe(self, audio: Path, **how: Any) -> Transcript:
        if audio.name == "bad.wav":
            raise BadAudio(audio, "it is not audio", hint="convert it")
        if audio.name == "long.wav":
            self._wait(how["cancel"])
        return super().transcribe(audio, **how)

    def _wait(self, cancel: CancelToken) -> None:
        self.begun.set()
        try:
            cancel.wait(LIMIT)
        except Cancelled:
            self.ended.set()
            raise


@dataclass(frozen=True)
class Told:
    code: int
    stdout: str
    stderr: str


Run = Callable[..., Told]


@pytest.fixture
def run(
    home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Run:
    """`run("transcribe", "talk.wav")`: a command in this process, in a folder outside of `home`."""
    folder = tmp_path / "here"
    assert not folder.is_relative_to(home)
    folder.mkdir()
    monkeypatch.chdir(folder)
    for name in ("talk.wav", "other.wav", "quiet.wav", "bad.wav", "long.wav"):
        (folder / name).touch()

    def call(*arguments: str) -> Told:
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main(list(arguments))
        return Told(int(end.value.code or 0), *capsys.readouterr())

    return call


@pytest.fixture
def up(home: Path, serve: Start) -> Iterator[Served]:
    """A service that the command line finds, whose embedder has half a megabyte."""
    (home / "settings.yaml").write_text("roles: {embed: tiny-embed}\n")
    with Runtime() as runtime:
        runtime.store.add(write_model(home / "tiny.gguf", "attention"), "tiny-embed", "embed")
    settings = Settings.load()
    settings.service_token.write_text(SECRET)
    settings.service_token.chmod(0o600)
    served = serve()
    with alone(settings), said(settings, served.url):
        yield served


@pytest.fixture
def there(up: Served, monkeypatch: pytest.MonkeyPatch) -> Ears:
    """What the service hears with."""
    found = Ears()
    monkeypatch.setattr(up.service.runtime, "transcriber", lambda name=None: found, raising=False)
    return found


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Ears:
    """What the command hears with."""
    found = Ears()
    monkeypatch.setattr(Runtime, "transcriber", lambda self, name=None: found)
    return found


@pytest.mark.parametrize(
    "arguments",
    [
        ["talk.wav"],
        ["talk.wav", "-f", "json", "-l", "de"],
        ["quiet.wav"],
        ["bad.wav"],
        ["talk.wav", "bad.wav", "other.wav", "-f", "srt,md", "-o", "out", "--force"],
        ["talk.wav", "-f", "pdf"],
    ],
    ids=" ".join,
)
def test_a_transcript_of_the_service_is_that_of_this_process(
    run: Run, here: Ears, there: Ears, tmp_path: Path, arguments: list[str]
) -> None:
    handed = run("transcribe", *arguments)
    files = {file.name: file.read_text() for file in (tmp_path / "here").glob("out/*")}
    heard = len(there.heard)
    assert here.heard == []
    local = run("transcribe", *arguments, "--local")
    assert handed == local
    assert files == {file.name: file.read_text() for file in (tmp_path / "here").glob("out/*")}
    assert (len(there.heard), len(here.heard)) == (heard, heard)
    assert all(file.is_absolute() for file in there.heard)


def test_what_only_this_process_can_open_is_heard_here(run: Run, here: Ears, there: Ears) -> None:
    with pytest.raises(AssertionError, match="no transcript for"):
        main(["transcribe", f"/dev/fd/{sys.__stderr__.fileno() if sys.__stderr__ else 2}"])
    assert len(here.heard) == 1
    assert there.heard == []


def test_ctrl_c_ends_the_work_in_the_service(run: Run, there: Ears) -> None:
    def interrupt() -> None:
        assert there.begun.wait(LIMIT)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    ended = run("transcribe", "long.wav")
    thread.join()
    assert (ended.code, "error: interrupted" in ended.stderr) == (130, True)
    assert there.ended.wait(LIMIT)


@pytest.mark.usefixtures("up")
def test_a_model_that_there_is_not_is_refused_in_the_same_words(run: Run) -> None:
    handed = run("transcribe", "talk.wav", "-m", "whisper-tinny")
    assert handed == run("transcribe", "talk.wav", "-m", "whisper-tinny", "--local")
    assert (handed.code, "whisper-tinny" in handed.stderr) == (2, True)


def test_progress_reaches_the_client(up: Served, there: Ears) -> None:
    steps: list[tuple[float, float | None, str]] = []
    with up.client() as client:
        found = client.transcribe(
            Path("talk.wav"), progress=lambda done, total, unit: steps.append((done, total, unit))
        )
    assert found == ScriptedTranscriber({"talk.wav": SPEECH}).transcribe(Path("talk.wav"))
    assert steps[-1] == (found.duration, found.duration, "s")
    assert len(there.heard) == 1


def test_only_the_owner_names_files(up: Served) -> None:
    secret = up.service.tokens.make("guest", ["run", "inference"])
    with up.http(secret) as guest, up.http() as owner:
        wishes = {
            "/api/transcripts": {"path": "/etc/passwd"},
            "/api/memory/notes/documents": {"paths": ["/etc/passwd"]},
            "/api/memory/notes/import": {"path": "/etc/passwd"},
        }
        for place, body in wishes.items():
            assert guest.post(place, json=body).status_code == 403
        assert owner.post("/api/transcripts", json={"path": "talk.wav"}).status_code == 400


def loaded(up: Served) -> list[str]:
    with up.client() as client:
        return [one.key for one in client.loaded()]


def test_memory_is_asked_in_the_service(
    run: Run, up: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "here"
    (folder / "hall.md").write_text("# Hall\n\nThe hall costs 80 euros a day.\n")
    (folder / "blob.md").write_bytes(b"\0\1\2")
    assert run("memory", "search", "hall").stderr.startswith("nothing is remembered in 'notes'")
    assert loaded(up) == []

    monkeypatch.setattr("sys.stdin", io.StringIO("Milk is out."))
    added = run("memory", "add", "The gardener comes.", "-", "hall.md", "blob.md", "--source", "me",
                "--meta", "year=2026")  # fmt: skip
    assert added.code == 0, added.stderr
    assert added.stdout.splitlines()[2:] == ["files: 1 added, 1 refused; 1 passages"]
    assert "blob.md" in added.stderr
    assert loaded(up)
    again = run("memory", "add", "the gardener comes.", "hall.md")
    assert again.stdout.splitlines() == [
        f"{added.stdout.splitlines()[0]}  (was here already)",
        "files: 1 unchanged",
    ]
    with up.client() as client:
        client.unload()
        assert client.collections() == ["notes"]

    for arguments in (
        ["gardener", "--json"],
        ["hall", "-n", "1", "--full"],
        ["milk", "--where", "year>=2026", "--json"],
        ["milk", "--where", "year<2026"],
        ["milk", "--where", "time<soon"],
        ["milk", "--where", "year"],
        ["milk", "-c", "nots"],
        ["", "--json"],
        ["half a \udc80 character", "--json"],
    ):
        asked = run("memory", "search", *arguments)
        assert asked == run("memory", "search", *arguments, "--local"), arguments
    found = json.loads(run("memory", "search", "The gardener comes.", "-n1", "--json").stdout)
    assert (found[0]["source"], found[0]["metadata"]) == ("me", {"year": 2026})
    assert loaded(up)

    (folder / "hall.md").unlink()
    gone = run("memory", "add", str(folder), "--forget-gone").stdout
    assert gone == "files: 1 forgotten, 1 refused, 5 of other kinds left out\n"


def test_a_memory_is_moved_in_the_service(run: Run, up: Served, tmp_path: Path) -> None:
    run("memory", "add", "The gardener comes.", "--local")
    run("memory", "export", "notes.jsonl")
    assert loaded(up) == []
    moved = run("memory", "import", "notes.jsonl", "-c", "copy")
    assert (moved.code, moved.stdout) == (0, "1 added, 0 were here already\n"), moved.stderr
    assert loaded(up)  # by whom the vector was made
    assert run("memory", "import", "notes.jsonl", "-c", "copy", "--local").stdout.startswith("0 ")
    for arguments in (["-c", "copy"], ["-c", "cop"]):
        told = run("memory", "reembed", *arguments)
        assert told == run("memory", "reembed", *arguments, "--local")
    (tmp_path / "here" / "broken.jsonl").write_text("{}\n")
    wrong = ("memory", "import", "broken.jsonl")
    assert (run(*wrong).code, run(*wrong)) == (2, run(*wrong, "--local"))


def test_local_leaves_the_service_alone(run: Run, up: Served) -> None:
    assert run("memory", "add", "The gardener comes.", "--local").code == 0
    assert "gardener" in run("memory", "search", "gardener", "--local").stdout
    assert loaded(up) == []


def test_a_service_with_other_settings_is_left_alone(
    run: Run, up: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENTKIT_LEASE", "31")
    told = run("memory", "add", "The gardener comes.")
    assert (told.code, "this runs here: the service has other settings" in told.stderr) == (0, True)
    assert loaded(up) == []
