"""The main job on the real recording with the real models, against what is true about it."""

from __future__ import annotations

import json
import re
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from agentkit import events as ev
from agentkit.config import Settings
from agentkit.runtime import Runtime

EXAMPLES = Path(__file__).parent.parent.parent / "examples"


def plain(text: str) -> str:
    """Lower case words without punctuation."""
    return " ".join(re.findall(r"\w+", text.lower()))


@pytest.fixture(scope="module")
def truth() -> dict[str, Any]:
    loaded: dict[str, Any] = YAML(typ="safe").load(EXAMPLES / "meeting.truth.yaml")
    return loaded


@pytest.fixture(scope="module")
def events() -> list[ev.Event]:
    return []


@pytest.fixture(scope="module")
def minutes(
    events: list[ev.Event], models_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Any]]:
    """One run for all tests of this file: it takes a minute or two."""
    home = tmp_path_factory.mktemp("home")
    with Runtime(Settings(home=home, models_dir=models_folder)) as runtime:
        workflow = runtime.workflow("meeting-notes")
        given = {"audio": str(EXAMPLES / "meeting.flac")}
        runtime.run(workflow, given, subscribers=(events.append,))
        folder = home / "runs" / events[0].run
        found = json.loads((folder / "minutes.json").read_text())
        yield found | {"page": (folder / "minutes.md").read_text()}


def is_about(note: dict[str, Any], fact: dict[str, Any]) -> bool:
    return all(str(keyword).lower() in plain(note["what"] + " " + note["quote"])
               for keyword in fact["keywords"])  # fmt: skip


@pytest.mark.model
def test_at_least_four_of_five_action_items_are_found_with_their_owner(
    minutes: dict[str, Any], truth: dict[str, Any]
) -> None:
    found = [
        fact["task"]
        for fact in truth["action_items"]
        if any(
            is_about(note, fact) and note["who"] == fact["owner"]
            for note in minutes["action_items"]
        )
    ]
    assert len(found) >= 0.8 * len(truth["action_items"]), minutes["action_items"]


@pytest.mark.model
def test_dates_of_the_action_items_are_those_that_count_in_the_end(
    minutes: dict[str, Any], truth: dict[str, Any]
) -> None:
    wrong = [
        (fact["task"], note["due"])
        for fact in truth["action_items"]
        for note in minutes["action_items"]
        if is_about(note, fact) and note["who"] == fact["owner"]
        and not plain(note["due"]).startswith(plain(fact["due"]))
    ]  # fmt: skip
    assert wrong == []


@pytest.mark.model
def test_at_most_one_of_five_action_items_is_false(
    minutes: dict[str, Any], truth: dict[str, Any]
) -> None:
    false = [
        note
        for note in minutes["action_items"]
        if not any(is_about(note, fact) for fact in truth["action_items"])
    ]
    assert len(false) <= 0.2 * len(minutes["action_items"]), false


@pytest.mark.model
def test_most_decisions_and_open_questions_are_found(
    minutes: dict[str, Any], truth: dict[str, Any]
) -> None:
    for kind in ("decisions", "open_questions"):
        found = [
            fact for fact in truth[kind] if any(is_about(note, fact) for note in minutes[kind])
        ]
        assert len(found) >= len(truth[kind]) / 2, (kind, minutes[kind])


@pytest.mark.model
def test_every_quote_is_verbatim_and_at_its_time(
    minutes: dict[str, Any], truth: dict[str, Any], events: list[ev.Event]
) -> None:
    transcript = next(
        event.outputs
        for event in events
        if isinstance(event, ev.StepFinished) and event.step == "transcript"
    )
    for kind in ("action_items", "decisions", "open_questions"):
        for note in minutes[kind]:
            assert plain(note["quote"]) in plain(transcript["text"])
            turn = next(turn for turn in reversed(truth["turns"])
                        if turn["start"] <= note["start"] + 1.0)  # fmt: skip
            assert note["start"] < turn["end"] + 1.0


@pytest.mark.model
def test_the_page_names_every_item_with_its_quote(minutes: dict[str, Any]) -> None:
    for kind in ("action_items", "decisions", "open_questions"):
        for note in minutes[kind]:
            assert note["what"] in minutes["page"]
            assert note["quote"] in minutes["page"]


@pytest.mark.model
def test_the_transcript_is_read_once_for_all_questions(
    minutes: dict[str, Any], events: list[ev.Event]
) -> None:
    del minutes
    finished = events[-1]
    assert isinstance(finished, ev.RunFinished)
    assert finished.usage.cached_tokens > 0.9 * finished.usage.prompt_tokens


@pytest.mark.model
def test_a_recording_without_speech_gives_minutes_that_say_so(
    tmp_path: Path, models_folder: Path
) -> None:
    silence = tmp_path / "silence.wav"
    with wave.open(str(silence), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(bytes(2 * 16_000 * 5))
    with Runtime(Settings(home=tmp_path, models_dir=models_folder)) as runtime:
        workflow = runtime.workflow("meeting-notes")
        outputs = runtime.run(workflow, {"audio": str(silence)})
        folder = runtime.settings.runs_folder / runtime.journal.run("last").id
    page = (folder / "minutes.md").read_text()
    assert outputs == {
        "title": "No speech found",
        "action_items": 0,
        "decisions": 0,
        "open_questions": 0,
    }
    assert page.startswith("# No speech found")
