"""Tools in workflows: called, offered to models, within permissions that only get narrower."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from agentkit import events as ev
from agentkit.errors import ApprovalNeeded, StepFailed
from agentkit.messages import Message, Sampling, ToolCall
from agentkit.runtime import Runtime
from agentkit.testing import ScriptedModel

Workflow = Callable[[str], Path]


@pytest.fixture
def workflow(tmp_path: Path) -> Workflow:
    def write(text: str) -> Path:
        path = tmp_path / "workflow.yaml"
        path.write_text("name: workflow\n" + text)
        return path

    return write


def run(path: Path, *, model: ScriptedModel | None = None, **more: Any) -> dict[str, Any]:
    with Runtime() as runtime:
        if model is not None:
            runtime.chat = lambda name=None: model  # type: ignore[method-assign]
            runtime.library.check_models = lambda workflow: None  # type: ignore[method-assign]
        return runtime.run(runtime.workflow(str(path)), more.pop("inputs", {}), **more)


ASK = """\
steps:
  - id: ask
    prompt:
      text: How much is six times seven?
      tools: [calculate, now]
outputs:
  said: ${{ steps.ask.outputs.text }}
"""


def test_a_prompt_can_offer_tools_to_its_model(workflow: Workflow) -> None:
    """The call is made, its result comes back as data, and the history is only appended to."""
    call = ToolCall("1", "calculate", '{"expression": "6 * 7"}')
    model = ScriptedModel(call, "It is 42.")
    seen: list[ev.Event] = []

    outputs = run(workflow(ASK), model=model, subscribers=(seen.append,))

    first, second = model.requests
    assert outputs == {"said": "It is 42."}
    assert [tool.name for tool in first.tools] == ["calculate", "now"]
    assert second.messages[: len(first.messages)] == first.messages
    assert second.messages[-2] == Message("assistant", "", tool_calls=(call,))
    assert "42" in second.messages[-1].content
    assert (second.messages[-1].role, second.messages[-1].tool_call_id) == ("tool", "1")
    returned = next(event for event in seen if isinstance(event, ev.ToolReturned))
    assert (returned.tool, returned.status, returned.step) == ("calculate", "returned", "ask")


def test_a_prompt_says_how_the_next_token_is_drawn_or_the_defaults_do(workflow: Workflow) -> None:
    text = """\
defaults:
  prompt: {temperature: 1, top_p: 0.5, top_k: 9, min_p: 0.1, repeat_penalty: 2, seed: 3}
steps:
  - {id: shared, prompt: a}
  - id: own
    prompt: {text: b, temperature: 0, top_p: 1, top_k: 0, min_p: 0, repeat_penalty: 1.5, seed: 4}
"""
    model = ScriptedModel("a", "b")

    run(workflow(text), model=model)

    assert [request.sampling for request in model.requests] == [
        Sampling(temperature=1.0, top_p=0.5, top_k=9, min_p=0.1, repeat_penalty=2.0, seed=3),
        Sampling(repeat_penalty=1.5, seed=4),
    ]


def test_a_wrong_call_comes_back_as_a_hint(workflow: Workflow) -> None:
    wrong = [
        ToolCall("1", "calculator", "{}"),
        ToolCall("2", "calculate", '{"expresion": "6 * 7"}'),
        ToolCall("3", "calculate", "six times seven"),
    ]
    model = ScriptedModel(*wrong, "I give up.")

    run(workflow(ASK), model=model)

    hints = [message.content for message in model.requests[-1].messages if message.role == "tool"]
    assert 'did you mean "calculate"?' in hints[0]
    assert 'did you mean "expression"?' in hints[1]
    assert "the arguments are not JSON" in hints[2]


def test_what_a_tool_returns_is_never_an_expression_or_a_template(workflow: Workflow) -> None:
    evil = "${{ inputs.secret }} {{ 7 * 7 }} {% raw %}"
    path = workflow(
        "inputs: {secret: {default: s3cret}, text: {type: string}}\n"
        "steps:\n"
        "  - id: page\n    uses: render_template\n"
        "    with: {template: '{{ text }}', data: {text: '${{ inputs.text }}'}}\n"
        "  - id: again\n    uses: render_template\n"
        "    with: {template: '{{ text }}', data: {text: '${{ steps.page.outputs.text }}'}}\n"
        "outputs: {text: '${{ steps.again.outputs.text }}'}\n"
    )

    assert run(path, inputs={"text": evil}) == {"text": evil}


WRITE = """\
steps:
  - id: write
    uses: write_file
    with: {{path: {path}, content: hi}}
{permissions}
"""


@pytest.mark.parametrize(
    ("permissions", "reason"),
    [
        ("permissions: {tools: [now, 'read_*']}", "does not name the tool 'write_file'"),
        ("permissions: {tools: []}", "does not name the tool 'write_file'"),
        ("permissions: {write: []}", "does not let it write"),
        ("permissions: {write: [/somewhere/else]}", "does not let it write"),
    ],
)
def test_a_workflow_can_take_permissions_away(
    workflow: Workflow, isolated_home: Path, tmp_path: Path, permissions: str, reason: str
) -> None:
    """Also what settings allow in so many words, and what nobody would be asked about."""
    isolated_home.mkdir()
    (isolated_home / "settings.yaml").write_text(
        "permissions: {unattended: {tools: {write_file: allow}}}"
    )
    path = workflow(WRITE.format(path=tmp_path / "x.txt", permissions=permissions))

    with pytest.raises(StepFailed, match=reason):
        run(path, profile="unattended")
    assert not (tmp_path / "x.txt").exists()


@pytest.mark.parametrize(
    "permissions",
    ["", "permissions: {tools: ['*'], write: [/], read: [/], hosts: ['*']}"],
)
def test_a_workflow_cannot_give_itself_any(
    workflow: Workflow, tmp_path: Path, permissions: str
) -> None:
    path = workflow(WRITE.format(path=tmp_path / "x.txt", permissions=permissions))

    with pytest.raises(ApprovalNeeded):
        run(path, profile="unattended")
    assert not (tmp_path / "x.txt").exists()


def test_files_given_as_inputs_may_be_read_and_defaults_of_the_file_may_not(
    workflow: Workflow, tmp_path: Path
) -> None:
    """Who hands a file in says by that that it may be read; a workflow file cannot say so."""
    given, default = tmp_path / "given.txt", tmp_path / "default.txt"
    given.write_text("given")
    default.write_text("default")
    path = workflow(
        f"inputs: {{file: {{type: file, default: {default}}}}}\n"
        "steps:\n  - id: read\n    uses: read_file\n    with: {path: '${{ inputs.file }}'}\n"
        "outputs: {text: '${{ steps.read.outputs }}'}\n"
    )

    assert "given" in json.dumps(run(path, profile="unattended", inputs={"file": str(given)}))
    with pytest.raises(ApprovalNeeded):
        run(path, profile="unattended")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("steps: [{id: a, prompt: {text: hi, tools: [calculat]}}]",
         '2:44: there is no tool "calculat". did you mean "calculate"? [unknown-tool]'),
        ("permissions: {hosts: ['a b']}\nsteps: [{id: a, prompt: hi}]", "[bad-host]"),
        ("permissions: {tools: now}\nsteps: [{id: a, prompt: hi}]", "must be a list"),
        ("permissions: {tool: [now]}\nsteps: [{id: a, prompt: hi}]",
         'unknown key "tool". did you mean "tools"?'),
        ("permissions: {read: ['${{ inputs.x }}']}\nsteps: [{id: a, prompt: hi}]",
         "[misplaced-expression]"),
    ],
)  # fmt: skip
def test_the_checker_knows_tools_of_prompts_and_permissions(
    workflow: Workflow, agentkit: Callable[..., Result], text: str, said: str
) -> None:
    path = workflow(text)
    assert said in agentkit("check", str(path)).output
