"""Agents that are written down: in a file of their own, or in a step of a workflow."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from agentkit import events as ev
from agentkit.config import shipped
from agentkit.errors import InvalidFile, InvalidInput, StepFailed, UnknownName
from agentkit.toolbox import Toolbox
from agentkit.workflow.load import load
from agentkit.workflow.spec.json_schema import json_schema
from agentkit.yamlfile import load_file

from .conftest import Command
from .scripted import Asked, Call, Play, ScriptedRuntime

Opened = Callable[..., ScriptedRuntime]

TIDY = """\
version: 1
name: tidy
description: Writes one page.
inputs:
  page: {type: string, pattern: "[a-z]+[.]md"}
  limit: {type: integer, default: 3}
objective: Write ${{ inputs.page }} with at most ${{ inputs.limit }} lines
tools: [write_file, read_file, calculate]
model: other
budget: {tasks: 4, steps: 9}
checks:
  - expression: "'page.md' in files and 'written' in answer"
  - question: Is it short?
reflection: false
memory: false
permissions: {write: []}
"""

FLOW = """\
name: flow
inputs:
  page: {default: page.md}
defaults:
  prompt: {model: other}
steps:
  - id: short
    agent: Write ${{ inputs.page }} with at most 3 lines
  - id: long
    agent:
      objective: Count what ${{ steps.short.outputs.answer }} means
      tools: [calculate]
      memory: false
      checks:
        - schema:
            type: object
            properties: {count: {type: integer}}
            required: [count]
  - id: page
    uses: render_template
    with:
      template: "{{ count }} {{ why }}"
      data:
        count: ${{ steps.long.outputs.answer.count }}
        why: ${{ steps.long.outputs.reason }}, ${{ steps.short.outputs.report }}
outputs:
  text: ${{ steps.page.outputs.text }}
"""


def calls(about: Asked) -> list[Call]:
    if about.task.startswith("Write"):
        return [("write_file", {"path": "page.md", "content": "one line"})]
    return [("calculate", {"expression": "40 + 2"})]


def answer(about: Asked) -> Any:
    return {"count": 42} if about.objective.startswith("Count") else "It is written."


PLAY = Play(calls, result=lambda about: "It is written.", answer=answer)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with an agent and a workflow that can be called by name."""
    folder = tmp_path / "project"
    for kind, name, text in (("agents", "tidy", TIDY), ("workflows", "flow", FLOW)):
        (folder / kind).mkdir(parents=True)
        (folder / kind / f"{name}.yaml").write_text(text)
    monkeypatch.chdir(folder)
    return folder


def begun(runtime: ScriptedRuntime) -> list[ev.AgentStarted]:
    events = runtime.journal.agent_events(runtime.journal.run("last").id)
    return [event for event in events if isinstance(event, ev.AgentStarted)]


# -- a file of its own ---------------------------------------------------------------------------


def test_an_agent_is_found_by_name_and_does_what_its_file_says(
    project: Path, opened: Opened
) -> None:
    runtime = opened(PLAY)
    assert "tidy" in runtime.workflow_names()

    outputs = runtime.run(runtime.workflow("tidy"), {"page": "page.md"})

    assert outputs == {"answer": "It is written.", "reason": "done"}
    (start,) = begun(runtime)
    assert start.objective == "Write page.md with at most 3 lines"
    assert start.tools == ("write_file", "read_file", "calculate")
    assert (start.budget["tasks"], start.budget["steps"], start.budget["attempts"]) == (4, 9, 2)
    run = runtime.journal.run("last")
    assert (run.workflow, run.source) == ("tidy", "agents/tidy.yaml")
    assert [about.values["question"] for about in runtime.player.asked if about.phase == "check"]
    made = runtime.settings.runs_folder / run.id
    assert {path.name for path in made.iterdir()} >= {"page.md", "report.md"}


def test_only_the_tools_of_the_file_are_offered(project: Path, opened: Opened) -> None:
    runtime = opened(PLAY)
    runtime.run(runtime.workflow("tidy"), {"page": "page.md"})

    offered = {name for about in runtime.player.asked for name in about.tools} - {"answer"}
    assert offered == {"write_file", "read_file", "calculate"}


@pytest.mark.parametrize("given", [{}, {"page": "PAGE"}, {"page": "a.md", "limit": "many"}])
def test_inputs_are_checked_before_anything_starts(
    project: Path, opened: Opened, given: dict[str, Any]
) -> None:
    runtime = opened(PLAY)
    with pytest.raises(InvalidInput):
        runtime.run(runtime.workflow("tidy"), given)
    assert runtime.journal.runs() == []


def test_a_name_that_is_nearly_right_is_told(project: Path, opened: Opened) -> None:
    with pytest.raises(UnknownName, match=r"no workflow named 'tidi'. did you mean \"tidy\""):
        opened(PLAY).workflow("tidi")


def test_an_objective_that_comes_to_nothing_is_no_objective(project: Path, opened: Opened) -> None:
    (project / "agents" / "empty.yaml").write_text(
        "name: empty\ninputs: {what: {}}\nobjective: ${{ inputs.what }}\ntools: [calculate]\n"
    )
    runtime = opened(PLAY)
    with pytest.raises(StepFailed, match=r"an agent needs an objective, and this one is empty$"):
        runtime.run(runtime.workflow("empty"), {"what": "  "})
    assert runtime.player.asked == []


def test_a_check_that_stays_false_ends_without_done_and_says_why(
    project: Path, opened: Opened
) -> None:
    file = project / "agents" / "strict.yaml"
    file.write_text(
        "name: strict\nobjective: Compute it\ntools: [calculate]\nmemory: false\n"
        "checks: [{expression: \"'gold' in answer\"}]\n"
    )
    runtime = opened(PLAY)

    outputs = runtime.run(runtime.workflow("strict"), {})

    assert outputs["reason"] == "nothing_left"
    events = runtime.journal.agent_events(runtime.journal.run("last").id)
    faults = [event.fault for event in events if isinstance(event, ev.CheckFailed)]
    assert faults == ["this is not true: 'gold' in answer"] * 2


# -- in a workflow -------------------------------------------------------------------------------


def test_a_step_is_a_text_or_a_mapping_and_its_outputs_are_read_later(
    project: Path, opened: Opened
) -> None:
    runtime = opened(PLAY)

    outputs = runtime.run(runtime.workflow("flow"), {})

    assert outputs == {"text": "42 done, report.md"}
    first, second = begun(runtime)
    assert first.objective == "Write page.md with at most 3 lines"
    assert second.objective == "Count what It is written. means"
    assert second.tools == ("calculate",)
    assert "write_file" in first.tools


def test_each_step_is_on_record_with_what_it_took(project: Path, opened: Opened) -> None:
    runtime = opened(PLAY)
    runtime.run(runtime.workflow("flow"), {})

    steps = {step.step: step for step in runtime.journal.steps(runtime.journal.run("last").id)}
    assert [step.action for step in steps.values()] == ["agent", "agent", "uses render_template"]
    assert steps["long"].outputs["tasks"] == 1
    assert steps["long"].usage is not None
    assert steps["long"].usage.prompt_tokens > 0


# -- agentkit check, and editors -----------------------------------------------------------------

PLAIN = "name: plain\nobjective: Count the letters\n"
GOOD = {
    "plain": PLAIN,
    "tidy": TIDY.replace("model: other\n", ""),
    "flow": FLOW.replace("defaults:\n  prompt: {model: other}\n", ""),
    "script": PLAIN + "checks: [{script: test -s a.md}]\ntools: []\n",
}
BAD = {
    "budget": PLAIN + "budget: {money: 5}\n",
    "nothing left": PLAIN + "budget: {steps: 0}\n",
    "two kinds": PLAIN + "checks: [{script: 'true', expression: 'true'}]\n",
    "no kind": PLAIN + "checks: [{}]\n",
    "text": PLAIN + "checks: [is it so?]\n",
    "misspelt": "name: plain\nobjectiv: Count the letters\n",
    "empty": "name: plain\nobjective:\n",
    "no name": "objective: Count the letters\n",
    "outputs": PLAIN + "outputs: {a: b}\n",
    "steps": PLAIN + "steps: [{id: a, uses: now, with: {}}]\n",
    "tools": PLAIN + "tools: now\n",
    "step": "name: w\nsteps: [{id: a, agent: {tools: [now]}}]\n",
    "step as a list": "name: w\nsteps: [{id: a, agent: [now]}]\n",
    "with": "name: w\nsteps: [{id: a, agent: Count, with: {a: 1}}]\n",
    "output_schema": "name: w\nsteps: [{id: a, agent: Count, output_schema: {type: object}}]\n",
}


def written(folder: Path, text: str) -> Path:
    path = folder / "file.yaml"
    path.write_text(text)
    return path


@pytest.fixture(scope="module")
def tools() -> Toolbox:
    return Toolbox([shipped("tools")])


@pytest.mark.parametrize("name", GOOD)
def test_what_is_right_is_right_for_loader_and_editor(
    tmp_path: Path, tools: Toolbox, name: str
) -> None:
    path = written(tmp_path, GOOD[name])
    assert load(path, tools, []).spec.steps[0].agent is not None
    faults = list(Draft202012Validator(json_schema()).iter_errors(load_file(path).data))
    assert faults == []


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_is_wrong_for_both(tmp_path: Path, tools: Toolbox, name: str) -> None:
    path = written(tmp_path, BAD[name])
    with pytest.raises(InvalidFile):
        load(path, tools, [])
    assert not Draft202012Validator(json_schema()).is_valid(load_file(path).data)


def test_agentkit_check_takes_an_agent_by_path(project: Path, agentkit: Command) -> None:
    (project / "agents" / "tidy.yaml").write_text(GOOD["tidy"])
    code, out, err = agentkit("check", "agents/tidy.yaml")
    assert (code, err) == (0, "")
    assert out == "no problems in 1 checked\n"


def test_agentkit_run_shows_where_an_agent_is_wrong(project: Path, agentkit: Command) -> None:
    code, out, err = agentkit("run", "tidy", "-i", "page=page.md")
    assert (code, out) == (2, "")
    assert err.splitlines()[0].startswith(
        'agents/tidy.yaml:9:8: there is no model "other". see: agentkit models list'
    )


def test_agentkit_schema_prints_what_editors_use(agentkit: Command) -> None:
    code, out, _ = agentkit("schema")
    assert code == 0
    assert json.loads(out) == json_schema()
