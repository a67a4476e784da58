"""What settings, a run and a workflow come to as grants; nothing in a workflow file is a grant."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from agentkit.config import Settings
from agentkit.errors import ApprovalNeeded, UserError
from agentkit.permissions import Access, Profile
from agentkit.runtime import Runtime, permits
from agentkit.toolbox.grants import Grants
from agentkit.workflow.inputs import bind
from agentkit.workflow.load import LoadedWorkflow

STEPS = "steps:\n  - id: page\n    uses: now\n    with: {}\n"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a file and a secret in it and a secret beside it."""
    folder = tmp_path / "project"
    (folder / "sub").mkdir(parents=True)
    (folder / "notes.txt").write_text("notes")
    (folder / ".env").write_text("KEY")
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "id").write_text("KEY")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(folder)
    return folder


def granted(settings: Settings, profile: Profile = "interactive", **more: Any) -> Grants:
    return permits.grants(settings, profile, settings.runs_folder / "run-1", **more)


def settings(**permissions: Any) -> Settings:
    return Settings(permissions=permissions)


def verdict(grants: Grants, effect: Any, what: object = "*", tool: str = "t") -> str:
    return grants.decide(tool, [Access(effect, str(what))]).verdict


def load(text: str, where: Path) -> LoadedWorkflow:
    path = where / "w.yaml"
    path.write_text("name: w\n" + text + STEPS)
    with Runtime() as runtime:
        return runtime.workflow(str(path))


# -- settings --------------------------------------------------------------------------------------


def test_in_front_of_a_person_the_current_folder_is_read_and_nothing_else(here: Path) -> None:
    grants = granted(Settings())
    assert verdict(grants, "reads", here / "sub" / "a") == "allow"
    assert verdict(grants, "reads", here / ".env") == "ask"
    assert verdict(grants, "reads", here.parent / "other") == "ask"
    for effect, what in (("writes", here / "a"), ("network", "example.org:443"), ("spends", "*")):
        assert verdict(grants, effect, what) == "ask"


def test_where_nobody_is_nothing_is_read(here: Path) -> None:
    assert verdict(granted(Settings(), "unattended"), "reads", here / "notes.txt") == "ask"


@pytest.mark.usefixtures("here")
def test_an_empty_list_of_folders_is_none_at_all(here: Path) -> None:
    assert verdict(granted(settings(interactive={"read": []})), "reads", here / "a") == "ask"


def test_the_whole_machine_is_no_current_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    assert granted(Settings()).read == ()


def test_a_current_folder_that_was_removed_grants_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    shutil.rmtree(gone)
    assert granted(Settings()).read == ()


def test_the_folder_of_the_run_is_its_own(here: Path) -> None:
    made = Settings()
    for profile in ("interactive", "unattended"):
        grants = granted(made, profile)
        own = made.runs_folder / "run-1"
        assert verdict(grants, "writes", own / ".hidden") == "allow"
        assert verdict(grants, "writes", made.runs_folder / "run-2" / "a") == "ask"


def test_code_in_the_sandbox_needs_no_question_and_code_without_does() -> None:
    assert verdict(granted(Settings()), "executes") == "allow"
    assert verdict(granted(Settings(sandbox="none")), "executes") == "ask"
    denied = settings(interactive={"effects": {"executes": "deny"}})
    assert verdict(granted(denied), "executes") == "deny"


def test_each_profile_has_its_own_lines(here: Path) -> None:
    made = settings(
        interactive={"tools": {"t": "allow"}, "hosts": ["a.org"]},
        unattended={"tools": {"t": "deny"}, "otherwise": "deny", "write": [str(here)]},
    )
    assert verdict(granted(made), "spends") == "allow"
    assert verdict(granted(made, "unattended"), "spends") == "deny"
    assert verdict(granted(made, "unattended"), "writes", here / "a", tool="u") == "allow"
    assert verdict(granted(made, "unattended"), "network", "a.org:443", tool="u") == "deny"


def test_a_folder_that_is_a_link_is_where_it_led(here: Path, tmp_path: Path) -> None:
    """And not where it leads later."""
    (tmp_path / "link").symlink_to(here / "sub")
    grants = granted(settings(interactive={"read": [str(tmp_path / "link")]}))
    assert verdict(grants, "reads", here / "sub" / "a") == "allow"
    (tmp_path / "link").unlink()
    (tmp_path / "link").symlink_to("/etc")
    assert verdict(grants, "reads", "/etc/passwd") == "ask"


# -- what a person hands in ------------------------------------------------------------------------

FILE = "inputs: {{key: {{type: file, default: {0!r}}}}}\n"


def handed(workflow: LoadedWorkflow, **given: Any) -> list[Path]:
    return list(permits.handed(workflow, bind(workflow.spec, given)))


def test_a_file_that_a_person_gives_may_be_read(here: Path) -> None:
    workflow = load("inputs: {key: {type: file}, to: {type: folder}, n: {}}\n", here)
    given = handed(workflow, key=".env", to=str(here / "sub"), n="/etc/passwd")
    assert given == [here / ".env", here / "sub"]
    grants = granted(Settings(), "unattended", handed=given)
    assert verdict(grants, "reads", here / ".env") == "allow"
    assert verdict(grants, "reads", here / "sub" / ".b") == "allow"
    assert verdict(grants, "writes", here / "sub" / "b") == "ask"
    assert verdict(grants, "reads", here / "notes.txt") == "ask"


@pytest.mark.parametrize(
    "default", ["~/.ssh/id", "../.ssh/id", "{home}/.ssh/id", ".env", "./.env", "notes.txt",
                "sub/../.env", "{home}/project/../.ssh/id"]
)  # fmt: skip
def test_what_a_workflow_brings_as_a_default_nobody_has_handed_in(here: Path, default: str) -> None:
    """Or a file from the internet could name the keys that it wants to read."""
    workflow = load(FILE.format(default.format(home=here.parent)), here)
    assert handed(workflow) == []


@pytest.mark.parametrize("default", ["~/.ssh/id", "../.ssh/id", "{home}/.ssh/id", ".env"])
def test_a_default_is_one_also_where_the_run_is_resumed_from_elsewhere(
    here: Path, default: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    workflow = load(FILE.format(default.format(home=here.parent)), here)
    recorded = bind(workflow.spec, {})
    monkeypatch.chdir("/")
    assert list(permits.handed(workflow, recorded)) == []


def test_another_file_than_the_default_is_handed_in(here: Path) -> None:
    workflow = load(FILE.format("notes.txt"), here)
    (here / "sub" / "notes.txt").write_text("others")
    assert handed(workflow, key="sub/notes.txt") == [here / "sub" / "notes.txt"]
    folder = load("inputs: {key: {type: folder, default: .}}\n", here)
    assert handed(folder, key="sub") == [here / "sub"]
    assert handed(folder) == []


def test_an_input_that_is_left_out_hands_nothing_in(here: Path) -> None:
    workflow = load("inputs: {key: {type: file, required: false}}\n", here)
    assert handed(workflow) == []


def test_the_whole_way_a_default_is_asked_about(here: Path) -> None:
    """Not only `handed`: the runtime, a real tool and the file itself."""
    path = here / "w.yaml"
    path.write_text(
        "name: w\n" + FILE.format("~/.ssh/id") +
        "steps:\n  - id: steal\n    uses: read_file\n    with: {path: '${{ inputs.key }}'}\n"
        "outputs: {key: '${{ steps.steal.outputs }}'}\n"
    )  # fmt: skip
    with Runtime() as runtime:
        workflow = runtime.workflow(str(path))
        with pytest.raises(ApprovalNeeded, match=r"it would read .*/\.ssh/id"):
            runtime.run(workflow, {})
        key = here.parent / ".ssh" / "other"
        key.write_text("OTHER")
        assert "OTHER" in runtime.run(workflow, {"key": str(key)})["key"]


# -- what a workflow takes away --------------------------------------------------------------------


def test_what_a_workflow_says_is_relative_to_where_it_is_run(here: Path) -> None:
    said = "permissions: {tools: [now], read: [sub, ~/x], write: [], hosts: [a.org]}\n"
    narrowing = permits.narrowing(load(said, here))
    assert narrowing.read == (here / "sub", here.parent / "x")
    assert (narrowing.write, narrowing.tools, narrowing.hosts) == ((), ["now"], ["a.org"])
    assert narrowing.source == f"`permissions` in {here / 'w.yaml'}"


def test_a_workflow_that_says_nothing_takes_nothing_away(here: Path) -> None:
    narrowing = permits.narrowing(load("", here))
    assert [narrowing.tools, narrowing.read, narrowing.write, narrowing.hosts] == [None] * 4


def test_a_workflow_that_takes_everything_for_itself_has_what_settings_grant(here: Path) -> None:
    grab = load("permissions: {tools: ['*'], hosts: ['*'], read: [/], write: [/]}\n", here)
    for profile in ("interactive", "unattended"):
        without = granted(Settings(), profile)
        with_it = granted(Settings(), profile, narrowings=[permits.narrowing(grab)])
        for effect, what in {
            "reads": here / "notes.txt", "writes": here / "a", "network": "a.org:443",
            "executes": "*", "spends": "*",
        }.items():  # fmt: skip
            assert verdict(with_it, effect, what) == verdict(without, effect, what)
        assert with_it.decide("t", [Access("reads", str(here / ".env"))]).verdict == "deny"


@pytest.mark.parametrize("path", ["~nobody-of-this-name/x", "a\\0b"])
def test_what_cannot_be_a_folder_is_told_with_the_file(here: Path, path: str) -> None:
    workflow = load(f'permissions: {{read: ["{path}"]}}\n', here)
    with pytest.raises(UserError, match=r"^`permissions` in .*w.yaml: "):
        permits.narrowing(workflow)
