"""`agentkit schedule`, and the page on it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from agentkit.cli import cli
from agentkit.runtime import Runtime

PAGE = (Path(__file__).parents[2] / "docs" / "schedule.md").read_text(encoding="utf-8")

Command = Callable[..., Result]


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def agentkit(isolated_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """With the first workflow of the page in the home."""
    monkeypatch.chdir(tmp_path)
    (isolated_home / "workflows").mkdir(parents=True)
    (isolated_home / "workflows" / "morning.yaml").write_text(blocks("yaml")[0])

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(cli, arguments)

    return run


def test_every_command_of_the_page_works_in_order(agentkit: Command) -> None:
    (commands,) = blocks("console")
    for command in commands.splitlines():
        result = agentkit(*command.removeprefix("$ agentkit ").split())
        assert result.exit_code == 0, f"{command}\n{result.output}\n{result.exception}"
        assert result.output.strip(), command
    with Runtime() as runtime:
        run = runtime.journal.run("last")
    assert (run.status, run.workflow) == ("succeeded", "morning")
    assert run.inputs["since"].startswith("20")


def test_the_other_files_of_the_page_are_right(isolated_home: Path, tmp_path: Path) -> None:
    isolated_home.mkdir()
    (isolated_home / "settings.yaml").write_text("".join(blocks("settings")))
    (tmp_path / "deployed.yaml").write_text(blocks("yaml")[1])
    with Runtime() as runtime:
        assert runtime.workflow(str(tmp_path / "deployed.yaml")).spec.triggers[0].kind == "webhook"
        assert runtime.settings.schedule_folders[-1] == Path("~/automation").expanduser()


def test_it_says_where_nothing_is(isolated_home: Path) -> None:
    result = CliRunner().invoke(cli, ["schedule", "list"])
    assert result.output == (
        f"no file in {isolated_home}/workflows, {isolated_home}/agents has triggers\n"
    )
    assert CliRunner().invoke(cli, ["schedule", "next"]).output == "nothing is due\n"


def test_a_problem_and_a_pause_are_shown(agentkit: Command, isolated_home: Path) -> None:
    agentkit("schedule", "pause", "morning")
    (isolated_home / "workflows" / "wrong.yaml").write_text("name: wrong\ntriggers: [{cron: x}]\n")
    shown = agentkit("schedule", "list").output
    assert re.search(r"^morning +paused ", shown, re.MULTILINE)
    assert 'wrong.yaml:1:1: the file needs the key "steps"' in shown
    assert "nobody looks after them: agentkit serve" in shown
    found = json.loads(agentkit("schedule", "list", "--json").output)
    assert [one["name"] for one in found] == ["morning", "wrong"]
    assert json.loads(agentkit("schedule", "next", "--json").output) == []
    assert "paused since" in agentkit("schedule", "why", "morning").output
    unknown = agentkit("schedule", "why", "mornin")
    assert 'did you mean "morning"' in str(unknown.exception)


def test_what_cannot_begin_by_hand_is_on_record(agentkit: Command, isolated_home: Path) -> None:
    path = isolated_home / "workflows" / "morning.yaml"
    path.write_text(path.read_text().replace("name: morning", "name: morning\nsecrets: [NONE]"))
    assert agentkit("schedule", "trigger", "morning").exit_code != 0
    assert (
        "refused: the workflow needs the secret NONE"
        in agentkit("schedule", "why", "morning").output
    )
