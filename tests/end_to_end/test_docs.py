"""What the documentation shows is true: its commands run, its files are valid, its code works."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import cast

import pytest

from agentkit import events as ev
from agentkit.errors import StepFailed
from agentkit.ports import ToolContext
from agentkit.runtime import Runtime
from agentkit.toolbox import Toolbox

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


TOOLS = (ROOT / "docs" / "tools.md").read_text(encoding="utf-8")
AGENTS = (ROOT / "docs" / "agents.md").read_text(encoding="utf-8")
WORKFLOWS = (ROOT / "docs" / "workflows.md").read_text(encoding="utf-8")
ANSWERS = (ROOT / "docs" / "answers.md").read_text(encoding="utf-8")


def blocks(language: str, page: str = README) -> list[str]:
    """The fenced blocks of a page in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page, re.MULTILINE | re.DOTALL)


@pytest.mark.model
def test_every_command_of_the_readme_works_in_order(real_models: Path) -> None:
    works_in_order(README)


@pytest.mark.model
def test_every_command_of_the_page_on_agents_works_in_order(real_models: Path) -> None:
    works_in_order(AGENTS, least=3)


@pytest.mark.model
@pytest.mark.parametrize("page", [README, AGENTS], ids=["README", "agents"])
def test_the_agents_of_the_pages_answer(
    real_models: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    page: str,
) -> None:
    monkeypatch.setenv("AGENTKIT_ROLES__CHAT", "qwen2.5-coder-0.5b")
    monkeypatch.chdir(ROOT)
    programs = [block for block in blocks("python", page) if "import Agent" in block]
    assert programs
    for program in programs:
        exec(compile(program, "agents.md", "exec"), {"__name__": "agents"})
        assert capsys.readouterr().out.strip()


def test_the_agent_file_of_the_page_is_valid(tmp_path: Path) -> None:
    (tmp_path / "digest.yaml").write_text(blocks("yaml", AGENTS)[0])
    with Runtime() as runtime:
        (step,) = runtime.workflow(str(tmp_path / "digest.yaml")).spec.steps
    assert step.agent is not None
    assert len(step.agent.checks) == 2


@pytest.mark.model
def test_the_workflow_of_the_page_on_answers_thinks_before_it_answers(
    real_models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENTKIT_ROLES__CHAT", "qwen2.5-coder-0.5b")
    same_draw = "defaults: {prompt: {seed: 1}}\n"  # so small a model has a bad one now and then
    (tmp_path / "seats.yaml").write_text(blocks("yaml", ANSWERS)[0] + same_draw)
    seen: list[ev.Event] = []
    with Runtime() as runtime, suppress(StepFailed):  # so small a model may fail the last check
        runtime.run(runtime.workflow(str(tmp_path / "seats.yaml")), {}, subscribers=(seen.append,))
    thoughts = [event for event in seen if isinstance(event, ev.StepReasoned)]
    assert [event.strategy for event in thoughts] == ["self_consistency", "reflect"]
    assert 1 <= thoughts[0].votes <= thoughts[0].candidates == 5
    (count,) = (one for one in seen if isinstance(one, ev.StepFinished) and one.step == "count")
    assert 0 < count.outputs["people"] <= 99


def test_every_command_of_the_page_on_tools_works_in_order() -> None:
    works_in_order(TOOLS)


# -- the page on workflows -------------------------------------------------------------------------


def test_every_command_of_the_page_on_workflows_works_in_order(tmp_path: Path) -> None:
    """In an empty folder, after one of the page's own workflows has run."""
    with Runtime() as runtime:
        runtime.run(runtime.workflow(str(workflow_of_the_page(0, tmp_path))), {})
    works_in_order(WORKFLOWS, folder=tmp_path)


@pytest.mark.parametrize(
    ("number", "outputs"),
    [
        (0, {"said": "left and right"}),
        (1, {"count": 3}),
        (2, {"all": '[{"upper": "6", "check": "7"}, {"upper": "6", "check": null}, '
                    '{"upper": "6", "check": "7"}]'}),
        (3, {"said": "failed: it ended with exit code 3"}),
    ],
)  # fmt: skip
def test_the_workflows_of_the_page_give_what_it_says(
    tmp_path: Path, number: int, outputs: dict[str, object]
) -> None:
    with Runtime() as runtime:
        workflow = runtime.workflow(str(workflow_of_the_page(number, tmp_path)))
        assert runtime.run(workflow, {}) == outputs


def test_the_settings_of_the_page_on_workflows_are_valid() -> None:
    home = Path(os.environ["AGENTKIT_HOME"])
    home.mkdir()
    (home / "settings.yaml").write_text(blocks("settings", WORKFLOWS)[0])
    with Runtime() as runtime:
        assert set(runtime.settings.secrets) == {"TOKEN", "MAIL"}


def workflow_of_the_page(number: int, folder: Path) -> Path:
    path = folder / f"page{number}.yaml"
    path.write_text(blocks("yaml", WORKFLOWS)[number])
    return path


def works_in_order(page: str, *, least: int = 5, folder: Path = ROOT) -> None:
    commands = [line[2:] for block in blocks("console", page) for line in block.splitlines()]
    assert len(commands) >= least
    for command in commands:
        program, *arguments = shlex.split(command)
        assert program == "agentkit"
        done = subprocess.run(
            [sys.executable, "-m", "agentkit", *arguments],
            capture_output=True, text=True, cwd=folder,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        assert done.stdout.strip(), command


def test_the_workflow_of_the_readme_is_valid(tmp_path: Path) -> None:
    (tmp_path / "triage.yaml").write_text(blocks("yaml")[0])
    with Runtime() as runtime:
        assert runtime.workflow(str(tmp_path / "triage.yaml")).spec.name == "triage"


def test_the_mistake_that_the_readme_shows_is_explained_as_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = blocks("yaml")[0].replace("${{ inputs.messages }}", "${{ inputs.mesages }}")
    (tmp_path / "triage.yaml").write_text(broken)
    monkeypatch.chdir(tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "agentkit", "check", "triage.yaml"], capture_output=True, text=True
    )
    problem = done.stdout.strip().split("\n\n")[0]
    shown = re.search(r"^    (triage\.yaml:.*?)\n\n", README, re.MULTILINE | re.DOTALL)
    assert shown is not None
    assert problem == "\n".join(line.removeprefix("    ") for line in shown[1].splitlines())


def test_the_settings_of_the_readme_are_valid() -> None:
    home = Path(os.environ["AGENTKIT_HOME"])
    home.mkdir()
    (home / "settings.yaml").write_text(blocks("yaml")[1])
    with Runtime() as runtime:
        assert runtime.settings.engine.threads == 4


def test_the_tool_of_the_readme_can_be_called(tmp_path: Path) -> None:
    (tmp_path / "count_words.py").write_text(blocks("python")[0])
    box = Toolbox([tmp_path])
    assert box.bad == []
    assert box.find("count_words").parameters.json_schema["required"] == ["text"]
    context = cast(ToolContext, None)  # it asks for none
    assert box.find("count_words").call({"text": "one two"}, context) == 2


@pytest.mark.model
def test_the_engine_of_the_readme_answers(
    real_models: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AGENTKIT_ROLES__CHAT", "qwen2.5-coder-0.5b")
    exec(compile(blocks("python")[2], "README.md", "exec"), {})
    said = [line.split() for line in capsys.readouterr().out.splitlines() if line[0] == '"']
    assert len(said) == 3
    assert all(text in ('"bread"', '"fish"', '"nothing"') for text, _ in said)
    assert sum(int(cached) > 100 for _, cached in said) >= 2


def test_every_make_target_that_the_docs_name_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"\bmake (demo|test|check|models)\b", README)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)


def test_no_document_names_a_command_that_does_not_exist() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "agentkit", "--help"], capture_output=True, text=True
    )
    known = set(re.findall(r"^  (\w+)  ", done.stdout, re.MULTILINE))
    texts = [README, (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")]
    named = {name for text in texts for name in re.findall(r"`?agentkit ([a-z]+)\b[^.]", text)}
    assert {name for name in named if name in known or f"`agentkit {name}" in README} <= known


# -- the page on tools -----------------------------------------------------------------------------


def test_the_python_tool_of_the_page_is_described_and_called(tmp_path: Path) -> None:
    source, notes = tmp_path / "tools" / "count_words.py", tmp_path / "notes.txt"
    source.parent.mkdir()
    source.write_text(blocks("python", TOOLS)[0])
    notes.write_text("one two\nthree\n")
    box = Toolbox([source.parent])

    assert box.bad == []
    assert box.find("count_words").effects == ("reads",)
    assert agentkit_calls(source.parent, "count_words", f"path={notes}") == "3"


def test_the_script_of_the_page_is_a_tool(tmp_path: Path) -> None:
    script, notes = tmp_path / "tools" / "count-lines.sh", tmp_path / "notes.txt"
    script.parent.mkdir()
    script.write_text(blocks("bash", TOOLS)[0])
    script.chmod(0o755)
    notes.write_text("one\ntwo\nthree\n")

    assert agentkit_calls(script.parent, "count-lines", f"path={notes}", "skip=1") == "2"


def agentkit_calls(folder: Path, *arguments: str) -> str:
    """What a call of a tool of that folder prints, where its parent may be read."""
    home = Path(os.environ["AGENTKIT_HOME"])
    home.mkdir()
    (home / "settings.yaml").write_text(f"tools: {{folders: [{folder}]}}")
    done = subprocess.run(
        [sys.executable, "-m", "agentkit", "tools", "call", *arguments],
        capture_output=True,
        text=True,
        cwd=folder.parent,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_settings_of_the_page_on_tools_are_valid(tmp_path: Path) -> None:
    home = Path(os.environ["AGENTKIT_HOME"])
    home.mkdir()
    grants, narrowing, options, servers = blocks("yaml", TOOLS)
    for settings in (grants, options, servers):
        (home / "settings.yaml").write_text(settings)
        with Runtime() as runtime:
            assert runtime.settings.permissions or runtime.settings.mcp
    workflow = tmp_path / "narrow.yaml"
    workflow.write_text(f"name: narrow\n{narrowing}steps: [{{id: a, uses: now}}]\n")
    with Runtime() as runtime:
        assert runtime.workflow(str(workflow)).spec.permissions.write == []
