"""The pages on the workflows that ship say what the files say; and what of these needs no model.

No model is asked: commands that would are parsed, and `agentkit run` is rehearsed.  What comes of
them with a model is in test_shipped_workflows.py.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any, cast

import click
import pytest
from click.testing import CliRunner
from ruamel.yaml import YAML

from agentkit.cli import cli
from agentkit.config import Settings, shipped
from agentkit.ports import ToolContext
from agentkit.runtime import Runtime
from agentkit.workflow.spec import Step, Workflow

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs" / "shipped"
INDEX = PAGES / "README.md"

NAMES = sorted(path.stem for path in shipped("workflows").glob("*.yaml"))

QUOTE = "can you send the new pictures to the printer by Friday?"

TEMPLATES: dict[str, dict[str, Any]] = {
    "changelog": {
        "commits": [
            "3fa1b2c Add export to CSV",
            "9bb0aa1 Do not lose the last line of a file without a newline",
            "77aa210 Split the parser into two modules",
        ],
        "kinds": [{"kind": "feature"}, {"kind": "fix"}, {"kind": "inside"}],
    },
    "folder-digest": {
        "title": "notes",
        "whole": "The roses are watered twice a week. The roof was repaired in May.",
        "names": ["notes/garden.txt", "notes/house.md"],
        "lines": [{"text": "The roses need water twice a week in summer."}, None],
    },
    "inbox-triage": {
        "names": ["heating.eml", "party.txt", "scan.txt"],
        "reads": [
            {"topic": "complaints", "urgent": True, "next": "Call back about the heating."},
            {"topic": "other", "urgent": False, "next": "Nothing to do."},
            None,
        ],
    },
    "meeting-notes": {
        "title": "Website Development Meeting",
        "summary": "The meeting discussed the new website.",
        "findings": {
            "tasks": [
                {
                    "who": "David",
                    "what": "send the new pictures to the printer",
                    "due": "Friday",
                    "doubts": [],
                    "start": 40.0,
                    "quote": QUOTE,
                }
            ],
            "decisions": [],
            "open_questions": [],
            "unread": [],
        },
        "transcript": {"duration": 75.0, "language": "en", "warnings": []},
        "audio": "meeting.flac",
        "date": "2026-11-29",
    },
    "nightly-research": {
        "topics": ["bread without yeast", "tea"],
        "found": [{"answer": "Soda bread rises with soda and buttermilk."}, None],
    },
}
"""What the steps before could have found, items that failed among it."""


def page(name: str) -> str:
    return (PAGES / f"{name}.md").read_text(encoding="utf-8")


def blocks(language: str, text: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def section(heading: str, text: str) -> str:
    found = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found is not None, heading
    return found[1]


def rows(heading: str, text: str) -> list[list[str]]:
    """The cells of the table of a section, without its head."""
    lines = [line for line in section(heading, text).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def written(cell: str) -> Any:
    """The value that a cell shows as code."""
    return YAML(typ="safe").load(cell.strip("`"))


def commands(text: str) -> list[list[str]]:
    found = [shlex.split(line[2:]) for block in blocks("console", text)
             for line in block.splitlines()]  # fmt: skip
    assert all(program == "agentkit" for program, *_ in found)
    return [arguments for _, *arguments in found]


def workflow(name: str) -> Workflow:
    with Runtime() as runtime:
        return runtime.workflow(name).spec


def roles(step: Step) -> set[str]:
    """The models that a step asks, by what they are for."""
    if step.agent is not None:
        return {"chat", "embed"}
    if step.prompt is not None:
        return {"chat"}
    if step.uses == "memory_search":
        return {"embed"}
    return {"transcribe"} if step.uses == "transcribe" else set()


# -- the pages -------------------------------------------------------------------------------------


def test_every_workflow_that_ships_has_a_page_and_no_other_has() -> None:
    assert {path.stem for path in PAGES.glob("*.md")} - {"README"} == set(NAMES)


def test_the_index_leads_to_every_page_and_is_found() -> None:
    linked = re.findall(r"^\| \[([a-z-]+)\]\(\1\.md\)", INDEX.read_text(encoding="utf-8"), re.M)
    assert sorted(linked) == NAMES
    assert "](docs/shipped/README.md)" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert "](shipped/README.md)" in (ROOT / "docs" / "workflows.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", NAMES)
def test_a_page_names_every_input_of_the_file_and_no_other(name: str) -> None:
    inputs = workflow(name).inputs
    told = {cells[0].strip("`"): cells for cells in rows("Inputs", page(name))}

    assert list(told) == list(inputs)
    for key, declared in inputs.items():
        _, kind, default, _ = told[key]
        assert kind == declared.type
        if declared.default is None:
            assert default == "needed"
        else:
            assert written(default) == declared.default


@pytest.mark.parametrize("name", NAMES)
def test_a_page_names_every_step_and_the_models_that_it_asks(name: str) -> None:
    told = {cells[0].strip("`"): cells[2] for cells in rows("Steps", page(name))}
    asked = {key: {one for one in cell.split(", ") if one} for key, cell in told.items()}

    assert asked == {step.id: roles(step) for step in workflow(name).steps}


@pytest.mark.parametrize("name", NAMES)
def test_a_page_names_what_comes_out(name: str) -> None:
    spec, said = workflow(name), section("What comes out", page(name))
    files = [step.with_["path"] for step in spec.steps if step.uses == "write_file"]

    assert {one for one in (*spec.outputs, *files)
            if f"`{one}`" not in said and f'"{one}": ' not in said} == set()  # fmt: skip


@pytest.mark.parametrize("name", sorted(TEMPLATES))
def test_the_excerpt_of_a_page_is_what_the_template_makes(name: str) -> None:
    with Runtime() as runtime:
        (step,) = (one for one in runtime.workflow(name).spec.steps if one.id == "page")
        assert set(step.with_["data"]) == set(TEMPLATES[name])
        made = runtime.toolbox.find("render_template").call(
            {"template": step.with_["template"], "data": TEMPLATES[name]}, cast(ToolContext, None)
        )["text"]

    (excerpt,) = blocks("markdown", page(name))
    assert made.strip().startswith(excerpt.strip())


@pytest.mark.parametrize("path", [*(PAGES / f"{name}.md" for name in NAMES), INDEX],
                         ids=lambda path: path.stem)  # fmt: skip
def test_the_commands_of_a_page_are_understood(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`check` takes what they run, and a rehearsal takes its inputs; the files are made here."""
    monkeypatch.chdir(tmp_path)
    told = commands(path.read_text(encoding="utf-8"))
    assert told
    for arguments in told:
        command = parsed(arguments)
        if command != "run":
            continue
        name = arguments[1]
        assert path == INDEX or name == path.stem
        assert CliRunner().invoke(cli, ["check", name]).exit_code == 0
        for key, value in (one.split("=", 1) for one in arguments if "=" in one):
            make(workflow(name).inputs[key].type, tmp_path / value)
        done = CliRunner().invoke(cli, [*arguments, "--dry-run"])
        assert done.exit_code == 0, (arguments, done.exception)
        assert "steps:" in done.output
    names = {arguments[1] for arguments in told if arguments[0] == "run"}
    assert path == INDEX or names == {path.stem}


def parsed(arguments: list[str]) -> str:
    """The command that a line means, its arguments understood and nothing done.

    What it does not take raises `click.UsageError`.
    """
    command: click.Command = cli
    name, rest = "", list(arguments)
    while isinstance(command, click.Group):
        name = f"{name} {rest[0]}".strip()
        found = command.get_command(click.Context(command), rest.pop(0))
        assert found is not None, arguments
        command = found
    command.make_context(name, rest)
    return name


def make(kind: str, path: Path) -> None:
    if kind == "folder":
        path.mkdir(exist_ok=True)
    elif kind == "file":
        path.touch()


def test_the_links_of_the_pages_lead_somewhere() -> None:
    for path in PAGES.glob("*.md"):
        for target in re.findall(r"\]\(([^)#]+)", path.read_text(encoding="utf-8")):
            assert (path.parent / target).exists(), (path.name, target)


def test_the_program_of_the_index_prints_the_folder(capsys: pytest.CaptureFixture[str]) -> None:
    (program,) = re.findall(r'^    python -c "(.*)"$', INDEX.read_text(encoding="utf-8"), re.M)
    exec(program, {})
    assert capsys.readouterr().out.strip() == str(shipped("workflows"))


def test_the_lines_that_start_a_copy_at_night_are_valid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, isolated_home: Path
) -> None:
    """And a copy in ./workflows is taken instead of the one that ships."""
    name = "nightly-research"
    copy = tmp_path / "workflows" / f"{name}.yaml"
    copy.parent.mkdir()
    original = (shipped("workflows") / f"{name}.yaml").read_text(encoding="utf-8")
    copy.write_text(original + blocks("yaml", page(name))[0])
    isolated_home.mkdir()
    (isolated_home / "settings.yaml").write_text(blocks("settings", page(name))[0])
    monkeypatch.chdir(tmp_path)

    assert len(workflow(name).triggers) == 1
    assert Settings.load().permissions.unattended.read is not None


# -- what needs no model ---------------------------------------------------------------------------


def test_two_letters_of_one_name_are_two_letters(tmp_path: Path) -> None:
    """Each is told by its path within the inbox: a loop takes no two items of one key."""
    inbox = tmp_path / "inbox"
    for folder in ("june", "july"):
        (inbox / folder).mkdir(parents=True)
        (inbox / folder / "invoice.txt").write_text(f"The rent of {folder}.")
    text = (shipped("workflows") / "inbox-triage.yaml").read_text(encoding="utf-8")
    file = tmp_path / "letters.yaml"
    names = "${{ steps.letters.outputs | map(attribute='name') | list }}"
    file.write_text(text.split("  - id: read\n")[0] + f'outputs: {{names: "{names}"}}\n')

    with Runtime() as runtime:
        outputs = runtime.run(runtime.workflow(str(file)), {"inbox": str(inbox)})

    assert outputs == {"names": ["july/invoice.txt", "june/invoice.txt"]}
