"""The composition root: nothing is loaded before it is asked for; what cannot fit is refused."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from agentkit import machine
from agentkit.config import Settings, shipped
from agentkit.errors import NotEnoughMemory, UnknownName
from agentkit.runtime import Runtime, new_run_id

STEP = "steps:\n  - id: page\n    uses: render_template\n    with: {template: hi, data: {}}\n"


def test_looking_around_writes_nothing_to_the_home(isolated_home: Path) -> None:
    with Runtime() as runtime:
        runtime.store.entries()
        runtime.toolbox.names()
        runtime.workflow("meeting-notes")
    assert not (isolated_home / "journal.sqlite").exists()


@pytest.mark.model
def test_a_model_that_does_not_fit_is_refused_before_it_is_loaded(
    real_models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "memory", lambda: (8_000_000_000, 100_000_000))
    monkeypatch.setattr(machine, "gpus", lambda: ())
    with Runtime() as runtime, pytest.raises(NotEnoughMemory) as caught:
        runtime.chat("smollm2-135m")
    assert "needs" in str(caught.value)
    assert "100 MB are free" in str(caught.value)
    assert "agentkit models show smollm2-135m" in str(caught.value.hint)


@pytest.mark.model
def test_a_model_is_loaded_once(real_models: Path) -> None:
    with Runtime() as runtime:
        assert runtime.chat("smollm2-135m") is runtime.chat("smollm2-135m")


def test_a_workflow_beside_me_wins_over_one_that_ships(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "workflows").mkdir()
    (tmp_path / "workflows" / "meeting-notes.yaml").write_text("name: mine\n" + STEP)
    monkeypatch.chdir(tmp_path)
    with Runtime() as runtime:
        assert runtime.workflow("meeting-notes").spec.name == "mine"


def test_a_tool_of_the_user_replaces_one_that_ships(isolated_home: Path) -> None:
    folder = isolated_home / "tools"
    folder.mkdir(parents=True)
    (folder / "write_file.py").write_text(
        "from agentkit import tool\n\n\n"
        "@tool\ndef write_file() -> str:\n    'Mine.'\n    return ''\n"
    )
    with Runtime() as runtime:
        assert runtime.toolbox.get("write_file").description == "Mine."


def test_every_shipped_tool_loads_and_says_what_it_is_for() -> None:
    with Runtime() as runtime:
        box = runtime.toolbox
    assert box.bad == []
    assert {tool.name for tool in box} == {path.stem for path in shipped("tools").glob("*.py")}
    for tool in box:
        assert tool.description
        for name, argument in tool.json_schema["properties"].items():
            assert argument.get("description"), f"{tool.name}: {name} has no help"


def test_every_shipped_workflow_is_valid() -> None:
    with Runtime() as runtime:
        for path in shipped("workflows").glob("*.yaml"):
            assert runtime.workflow(str(path)).spec.name == path.stem


def test_an_unknown_chat_model_in_settings_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "AGENTKIT_ROLES__CHAT", "qwen2.5-coder-1.5")
    with Runtime(Settings.load()) as runtime, pytest.raises(UnknownName) as caught:
        runtime.chat()
    assert 'did you mean "qwen2.5-coder-1.5b"?' in str(caught.value)


def test_run_ids_sort_by_time_and_can_be_typed() -> None:
    ids = {new_run_id() for _ in range(50)}
    assert len(ids) == 50
    assert all(re.fullmatch(r"\d{8}-\d{6}-[a-z2-9]{4}", name) for name in ids)
