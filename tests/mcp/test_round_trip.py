"""Our client and our server: tools of one agentkit in another, with their grants."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from agentkit.config import ServerSettings, Settings
from agentkit.outcomes import Failed, NeedsApproval, Returned
from agentkit.runtime import Runtime

from .conftest import Served


def settings(home: Path, served: Served, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Of an agentkit that has the served one as its server `other`."""
    if served.url:
        monkeypatch.setenv("OTHER_TOKEN", served.token)
        server = ServerSettings(url=served.url, token_env="OTHER_TOKEN", effects=[])
    else:
        command = [sys.executable, "-m", "agentkit", "mcp"]
        environment = {
            name: value
            for name, value in served.home.environment.items()
            if name not in ("PATH", "HOME", "LANG")
        }
        server = ServerSettings(command=command, environment=environment, effects=[])
    return Settings(home=home, mcp={"other": server})


def test_tools_of_one_agentkit_work_in_another(
    isolated_home: Path, served: Served, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with Runtime(settings(isolated_home, served, monkeypatch)) as runtime:
        box = runtime.toolbox
        greet = box.find("other__greet")
        assert (greet.description, greet.effects) == ("Say hello.", ())
        assert greet.parameters.json_schema["required"] == ["name"]
        assert "other__workflow_letter" in box

        _, outcome = runtime.call_tool("other__greet", {"name": "Ada"})
        assert outcome == Returned({"said": "hello Ada"})
        _, outcome = runtime.call_tool("other__workflow_letter", {"to": "Ada", "tone": "loud"})
        assert outcome == Returned({"said": "HELLO ADA"})

        _, outcome = runtime.call_tool("other__fail", {"why": "no luck"})
        assert isinstance(outcome, Failed)
        assert outcome.reason == "the server 'other' says: no luck"

        path = str(tmp_path / "file")
        _, outcome = runtime.call_tool("other__put", {"path": path, "text": "x"})
        assert isinstance(outcome, Failed)
        assert "agentkit approvals approve" in outcome.reason


def test_without_settings_each_call_of_a_server_is_asked_about(
    isolated_home: Path, over_http: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = settings(isolated_home, over_http, monkeypatch)
    there.mcp["other"].effects = None
    with Runtime(there) as runtime:
        _, outcome = runtime.call_tool("other__greet", {"name": "Ada"}, profile="unattended")
    assert isinstance(outcome, NeedsApproval)


def test_a_wrong_token_is_said(
    isolated_home: Path, over_http: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = settings(isolated_home, over_http, monkeypatch)
    monkeypatch.setenv("OTHER_TOKEN", "wrong")
    with Runtime(there) as runtime:
        assert "other__greet" not in runtime.toolbox
        (bad,) = [one for one in runtime.toolbox.bad if "server" in one.source.name]
    assert bad.reason == "the server 'other' cannot be used: it answers 401 Unauthorized"
