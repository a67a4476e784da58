"""What a tool is handed: its options, checked, and what the runtime lends when it is asked for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict

from agentkit import ToolContext, tool
from agentkit.errors import ToolError, UserError
from agentkit.outcomes import Failed, Returned
from agentkit.runtime.secrets import Masks
from agentkit.testing import ScriptedMemory, ScriptedServices, ScriptedTranscriber

from .calls import door


class Limits(BaseModel):
    model_config = ConfigDict(extra="forbid")

    most: int = 3
    deep: dict[str, int] = {}


@tool
def limited(*, context: ToolContext) -> dict[str, Any]:
    """Say the options."""
    return context.options(Limits).model_dump()


def options(tmp_path: Path, **said: Any) -> Any:
    services = ScriptedServices(options={"limited": said, "other": {"most": 99}})
    return door(tmp_path, limited, services=services)("limited")


def test_a_tool_has_its_options_and_not_those_of_others(tmp_path: Path) -> None:
    assert options(tmp_path) == Returned({"most": 3, "deep": {}})
    assert options(tmp_path, most=5) == Returned({"most": 5, "deep": {}})


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ({"mots": 5}, "settings: tools.options.limited.mots is no option"),
        ({"most": "many"}, "settings: tools.options.limited.most must be an integer, not the"),
        ({"deep": {"a": "b"}}, "settings: tools.options.limited.deep.a must be an integer"),
    ],
)
def test_options_that_do_not_fit_are_told_with_their_key(
    tmp_path: Path, said: dict[str, Any], sentence: str
) -> None:
    outcome = options(tmp_path, **said)
    assert isinstance(outcome, Failed)
    assert outcome.reason.startswith(sentence)
    assert isinstance(outcome.cause, UserError)


def test_a_tool_reaches_what_the_runtime_lends(tmp_path: Path) -> None:
    @tool
    def borrow(*, context: ToolContext) -> list[Any]:
        """Borrow."""
        context.warn("careful")
        context.progress(1, 2, "parts")
        (context.folder / "a.txt").write_text("a")
        context.artifact(context.folder / "a.txt")
        heard = context.transcriber.transcribe(Path("talk.wav")).text
        return [heard, [found.text for found in context.memory.search("blue")]]

    services = ScriptedServices(
        ears=ScriptedTranscriber({"talk.wav": "Hello."}), memories=ScriptedMemory("blue sky")
    )
    opened = door(tmp_path, borrow, services=services)
    assert opened("borrow") == Returned(["Hello.", ["blue sky"]])
    assert opened.report.warnings == ["careful"]
    assert [path.name for path in opened.report.artifacts] == ["a.txt"]


def test_what_there_is_not_is_told_when_it_is_asked_for(tmp_path: Path) -> None:
    class Poor(ScriptedServices):
        def memory(self) -> Any:
            raise ToolError("there is no memory")

    @tool
    def remember(*, context: ToolContext) -> Any:
        """Remember."""
        return context.memory.search("x")

    @tool
    def nothing(*, context: ToolContext) -> None:
        """Ask for nothing."""

    opened = door(tmp_path, remember, nothing, services=Poor())
    assert opened("nothing") == Returned(None)
    outcome = opened("remember")
    assert isinstance(outcome, Failed)
    assert outcome.reason == "there is no memory"


@pytest.mark.parametrize(("said", "kept"), [("", "run run"), (" \n", "run run"), ("a.md", "a.md")])
def test_what_a_tool_remembers_says_at_least_which_run_it_is_from(
    tmp_path: Path, said: str, kept: str
) -> None:
    @tool
    def remember(*, context: ToolContext) -> str:
        """Remember."""
        return context.memory.save("The hall is blue.", source=said)

    services = ScriptedServices(memories=ScriptedMemory())
    door(tmp_path, remember, services=services)("remember")

    (entry,) = services.memory().search("hall")
    assert (entry.source, entry.time is not None) == (kept, True)


def test_no_secret_of_a_run_is_remembered(tmp_path: Path) -> None:
    @tool
    def remember(*, context: ToolContext) -> str:
        """Remember."""
        return context.memory.save("The key is abc123xyz.", source="abc123xyz", metadata={"n": 1})

    services = ScriptedServices(memories=ScriptedMemory())
    opened = door(tmp_path, remember, services=services)
    approvals = replace(opened.caller.approvals, hide=Masks.of(["abc123xyz"]).hide)
    opened.caller = replace(opened.caller, approvals=approvals)
    opened("remember")

    (entry,) = services.memory().search("key")
    assert (entry.text, entry.source) == ("The key is ***.", "***")
    assert entry.metadata == {"n": 1}
