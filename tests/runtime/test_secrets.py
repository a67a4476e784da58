"""Secrets: found where settings say, and hidden wherever they would appear."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from agentkit.config import SecretSource, Settings
from agentkit.errors import UserError
from agentkit.events import RunStarted, StepFinished
from agentkit.runtime.secrets import Masks, resolved


def settings(**sources: dict[str, str]) -> Settings:
    return Settings(secrets={name: SecretSource.model_validate(at) for name, at in sources.items()})


def test_from_the_environment_and_from_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "token"
    file.write_text("from-file\n")
    monkeypatch.setenv("MY_TOKEN", "from-env")

    found = resolved(["A", "B"], settings(A={"env": "MY_TOKEN"}, B={"file": str(file)}))

    assert found == {"A": "from-env", "B": "from-file"}


def test_from_the_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    class KeyringError(Exception):
        pass

    fake = ModuleType("keyring")
    asked: list[tuple[str, str]] = []

    def get_password(service: str, user: str) -> str:
        asked.append((service, user))
        return "from-keyring"

    vars(fake).update(get_password=get_password, errors=fake, KeyringError=KeyringError)
    monkeypatch.setitem(sys.modules, "keyring", fake)

    assert resolved(["A"], settings(A={"keyring": "mail/me@home"})) == {"A": "from-keyring"}
    assert asked == [("mail", "me@home")]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ({"env": "NOT_SET_AT_ALL"}, "the variable NOT_SET_AT_ALL is not set"),
        ({"file": "/nowhere/at/all"}, "/nowhere/at/all: No such file"),
    ],
)
def test_what_is_not_there_is_named(source: dict[str, str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        resolved(["A"], settings(A=source))


def test_a_name_that_settings_do_not_have() -> None:
    with pytest.raises(UserError, match=r'did you mean "TOKEN"\?'):
        resolved(["TOKN"], settings(TOKEN={"env": "TOKEN"}))


def test_a_secret_is_in_one_place() -> None:
    with pytest.raises(ValueError, match="one place"):
        SecretSource.model_validate({"env": "A", "file": "b"})


def test_events_show_stars_at_any_depth_and_keep_their_run() -> None:
    masks = Masks.of(["hunter2", "hunter2-long", "abc"])
    event = StepFinished(
        run="hunter2", step="s", outputs={"a": ["x hunter2-long y", {"hunter2": 1}]}, seconds=1.0
    )

    hidden = masks.event(event)

    assert isinstance(hidden, StepFinished)
    assert hidden.outputs == {"a": ["x *** y", {"***": 1}]}
    assert hidden.run == "hunter2"
    assert masks.hide("abcdef") == "abcdef"  # too short to be hidden in every word


def test_a_definition_is_what_the_file_says() -> None:
    event = RunStarted(run="r", workflow="w", source="w.yaml", definition="a: hunter2", inputs={})

    hidden = Masks.of(["hunter2"]).event(event)

    assert isinstance(hidden, RunStarted)
    assert hidden.definition == "a: hunter2"
