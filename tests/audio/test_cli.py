"""`agentkit transcribe`, with a transcriber that hears what it is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from agentkit.cancel import CancelToken
from agentkit.cli import transcribe as module
from agentkit.errors import BadAudio, UserError
from agentkit.ports import Progress, no_progress
from agentkit.transcript import Segment, Transcript

QUIET = Transcript((), None, 60.0, 0.0, 0.0, "whisper-base")


class Hears:
    """Says the name of each file; `quiet` files have no speech, `broken` ones no sound."""

    name = "hears"

    def transcribe(
        self,
        audio: Path,
        *,
        language: str | None = None,
        progress: Progress = no_progress,
        cancel: CancelToken | None = None,
    ) -> Transcript:
        progress(1.0, 2.0, "s")
        if audio.stem == "broken":
            raise BadAudio(audio, "holds text, not sound", hint="convert it")
        if audio.stem == "quiet":
            return QUIET
        said = Segment(0.0, 1.0, f"This is {audio.stem}.")
        warnings = ("half is missing",) if audio.stem == "half" else ()
        return Transcript((said,), language or "en", 2.0, 1.0, 1.0, self.name, warnings)

    def close(self) -> None:
        pass


class FakeRuntime:
    """Stands in for the composition root and remembers which model was asked for."""

    asked: list[str | None]

    def __init__(self) -> None:
        FakeRuntime.asked = []

    def __enter__(self) -> FakeRuntime:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def transcriber(self, name: str | None = None) -> Hears:
        FakeRuntime.asked.append(name)
        return Hears()


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    monkeypatch.setattr(module, "Runtime", FakeRuntime)
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(module.transcribe, arguments)

    return run


def test_one_file_is_printed(call: Any, tmp_path: Path) -> None:
    result = call("talk.mp3")
    assert (result.stdout, result.stderr, result.exit_code) == ("This is talk.\n", "", 0)
    assert list(tmp_path.iterdir()) == []


def test_several_formats_are_written_beside_the_recording(call: Any, tmp_path: Path) -> None:
    result = call("sub/talk.mp3", "--format", "srt, json,txt,srt")
    folder = Path("sub")
    assert result.stdout.splitlines() == [
        str(folder / "talk.srt"), str(folder / "talk.json"), str(folder / "talk.txt"),
    ]  # fmt: skip
    assert json.loads((tmp_path / "sub" / "talk.json").read_text())["text"] == "This is talk."


def test_several_files_go_to_a_folder(call: Any, tmp_path: Path) -> None:
    result = call("a.mp3", "b.wav", "-o", "texts", "-l", "de", "-m", "whisper-tiny")
    assert result.exit_code == 0
    assert (tmp_path / "texts" / "b.txt").read_text() == "This is b.\n"
    assert FakeRuntime.asked == ["whisper-tiny"]


def test_two_recordings_of_one_name_do_not_overwrite_each_other(call: Any, tmp_path: Path) -> None:
    call("a.mp3", "a.wav", "b.wav", "-o", ".")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "a.mp3.txt", "a.wav.txt", "b.txt",
    ]  # fmt: skip


def test_one_bad_file_does_not_stop_the_others(call: Any, tmp_path: Path) -> None:
    result = call("a.mp3", "broken.mp3", "b.mp3")
    assert result.exit_code == 1
    assert "broken.mp3: holds text, not sound" in result.stderr
    assert "convert it" in result.stderr
    assert (tmp_path / "b.txt").exists()


def test_a_single_bad_file_is_an_error(call: Any) -> None:
    assert isinstance(call("broken.mp3").exception, BadAudio)


def test_no_speech_is_said_and_is_no_error(call: Any) -> None:
    result = call("quiet.wav")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "quiet.wav: no speech found\n"


def test_warnings_are_shown(call: Any) -> None:
    assert "warning: half is missing" in call("half.wav").stderr


@pytest.mark.parametrize(
    ("formats", "says"), [("str", 'did you mean "srt"'), ("", "--format is empty"), ("pdf", "pdf")]
)
def test_an_unknown_format_is_refused_before_any_work(call: Any, formats: str, says: str) -> None:
    error = call("a.mp3", "--format", formats).exception
    assert isinstance(error, UserError)
    assert says in str(error)
    assert "srt" in (error.hint or "")


def test_a_folder_that_cannot_be_written(call: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    error = call("a.mp3", "-o", "file/below").exception
    assert isinstance(error, UserError)
    assert "cannot write to" in str(error)
