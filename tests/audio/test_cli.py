"""`agentkit transcribe`, with a transcriber that hears what it is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from agentkit.cancel import CancelToken
from agentkit.cli import transcribe as module
from agentkit.config import Settings
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
        self.settings = Settings.load()

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

    def run(*arguments: str, there: bool = True) -> Result:
        for name in arguments:
            if there and name.endswith((".mp3", ".wav")):
                file = tmp_path / name
                file.parent.mkdir(parents=True, exist_ok=True)
                file.touch()
        return CliRunner().invoke(module.transcribe, arguments)

    return run


def test_a_file_that_is_not_there_is_told_before_a_model_is_asked_for(call: Any) -> None:
    FakeRuntime.asked = []
    error = call("talk.mp3", "b.wav", there=False).exception
    assert str(error).startswith("talk.mp3: there is no such file"), error
    assert FakeRuntime.asked == []


def test_one_file_is_printed(call: Any, tmp_path: Path) -> None:
    result = call("talk.mp3")
    assert (result.stdout, result.stderr, result.exit_code) == ("This is talk.\n", "", 0)
    assert [path.name for path in tmp_path.iterdir()] == ["talk.mp3"]


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
    made = sorted(path.name for path in tmp_path.glob("*.txt"))
    assert made == ["a.mp3.txt", "a.wav.txt", "b.txt"]


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


# -- where the results go --------------------------------------------------------------------------


def written(result: Result) -> dict[str, str]:
    """What was said to be written, and what is in it."""
    assert result.exit_code == 0, result.exception
    return {line: Path(line).read_text() for line in result.stdout.splitlines()}


def test_recordings_of_one_name_in_two_folders_keep_a_file_each(call: Any) -> None:
    said = written(call("a/talk.mp3", "b/talk.mp3", "-o", "out", "-f", "txt,json"))
    assert sorted(said) == [
        "out/a-talk.mp3.json", "out/a-talk.mp3.txt", "out/b-talk.mp3.json", "out/b-talk.mp3.txt",
    ]  # fmt: skip


def test_names_stay_short_where_folders_keep_them_apart(call: Any) -> None:
    assert sorted(written(call("a/talk.mp3", "b/talk.mp3"))) == ["a/talk.txt", "b/talk.txt"]


def test_a_longer_name_does_not_hit_somebody_elses(call: Any) -> None:
    said = written(call("talk.mp3", "talk.wav", "Talk.mp3.wav", "-o", "out"))
    assert len({name.casefold() for name in said}) == 3


def test_names_that_only_differ_in_where_the_folders_end(call: Any) -> None:
    said = written(call("a-b/c/t.mp3", "a/b-c/t.mp3", "a/b/c/t.mp3", "-o", "out"))
    assert len(said) == 3


def test_a_recording_named_twice_is_heard_once(call: Any, tmp_path: Path) -> None:
    assert call("talk.mp3", str(tmp_path / "talk.mp3")).stdout == "This is talk.\n"


def test_nothing_that_is_there_is_replaced_without_force(call: Any, tmp_path: Path) -> None:
    FakeRuntime.asked = ["not started"]
    (tmp_path / "talk.md").write_text("my own notes")
    (tmp_path / "b.txt").write_text("of yesterday")

    error = call("talk.mp3", "b.wav", "-f", "md,txt").exception

    assert isinstance(error, UserError)
    assert str(error) == "talk.md, b.txt are there already"
    assert "--force" in (error.hint or "")
    assert (tmp_path / "talk.md").read_text() == "my own notes"
    assert not (tmp_path / "talk.txt").exists()
    assert FakeRuntime.asked == ["not started"]
    assert "This is talk." in written(call("talk.mp3", "-f", "md,txt", "--force"))["talk.md"]


def test_force_does_not_replace_a_recording(call: Any, tmp_path: Path) -> None:
    (tmp_path / "talk.txt").write_text("a recording with an odd name")
    error = call("talk.txt", "-f", "txt,md", "--force").exception
    assert isinstance(error, UserError)
    assert "would replace a recording: talk.txt" in str(error)


def test_a_write_that_fails_leaves_the_file_before(
    call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "talk.txt").write_text("before")

    def full(path: Path, text: str, **how: str) -> None:
        path.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    error = call("talk.mp3", "-o", ".", "--force").exception
    assert isinstance(error, UserError)
    assert "No space left" in str(error)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["talk.mp3", "talk.txt"]
    assert (tmp_path / "talk.txt").read_text() == "before"


def test_a_folder_that_cannot_be_written_is_told_before_the_work(call: Any, tmp_path: Path) -> None:
    FakeRuntime.asked = ["not started"]
    (tmp_path / "file").write_text("in the way")
    assert isinstance(call("a.mp3", "-o", "file/below").exception, UserError)
    assert FakeRuntime.asked == ["not started"]
