"""Secrets: found where settings say, and hidden wherever they would appear."""

from __future__ import annotations

import base64
import html
import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from urllib.parse import quote, quote_plus

import pytest

from agentkit.config import SecretSource, Settings
from agentkit.errors import MachineError, StepFailed, ToolError, UserError
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


@pytest.mark.parametrize("secret", ['hunter2-secret"q', "hunter2\nsecond", "it's hünter2 & <co>/"])
@pytest.mark.parametrize(
    "write",
    [
        json.dumps,
        lambda text: json.dumps(text, ensure_ascii=False),
        repr,
        shlex.quote,
        lambda text: "'" + text.replace("'", "'\\''") + "'",
        html.escape,
        quote,
        quote_plus,
        lambda text: quote(text, safe=""),
    ],
)
def test_a_secret_is_hidden_as_programs_write_it(secret: str, write: Callable[[str], str]) -> None:
    hidden = Masks.of([secret]).hide(f"a {write(secret)} b")

    assert hidden.strip("ab ").strip("\"'") == "***"


@pytest.mark.parametrize("before", ["", "u", "me:"])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_a_secret_is_hidden_in_base64(before: str, encode: Callable[[bytes], bytes]) -> None:
    """Wherever in it the secret begins: `me:secret` is how HTTP writes a password."""
    secret = "hunter2-hünter??>>~"

    hidden = Masks.of([secret]).hide(encode(f"{before}{secret} and more".encode()).decode())

    assert "***" in hidden
    rest = [encode(secret[at:].encode()).decode()[4:12] for at in range(len(secret) - 9)]
    assert not any(piece in hidden for piece in rest)


def test_short_base64_is_left_alone() -> None:
    """What four characters are in base64 stands in many pictures."""
    assert Masks.of(["abcd"]).hide("YWJjZA==") == "YWJjZA=="
    assert Masks.of(["abcd"]).hide("x abcd y") == "x *** y"


def test_an_error_and_all_that_led_to_it_are_without_secrets() -> None:
    cause = ToolError("it said hunter2", hint="curl hunter2")
    cause.__cause__ = FileNotFoundError(2, "no such file", "hunter2.txt")

    with pytest.raises(StepFailed) as caught, Masks.of(["hunter2"]).errors():
        raise StepFailed("a", "flow.yaml:1:1", cause) from cause

    error = caught.value
    assert str(error) == "flow.yaml:1:1: step 'a' failed: it said ***"
    assert (error.hint, str(error.cause)) == ("curl ***", "it said ***")
    assert str(cause.__cause__) == "[Errno 2] no such file: '***.txt'"


def test_an_error_that_cannot_be_changed_gives_way() -> None:
    class Fixed(Exception):
        def __str__(self) -> str:
            return "always hunter2"

    with (
        pytest.raises(RuntimeError, match=r"^Fixed: always \*\*\*$"),
        Masks.of(["hunter2"]).errors(),
    ):
        raise Fixed


def test_errors_without_secrets_are_the_ones_that_were_raised() -> None:
    fault = MachineError("full", hint="df")

    with pytest.raises(MachineError) as caught, Masks.of(["hunter2"]).errors():
        raise fault

    assert caught.value is fault
    assert (str(fault), fault.hint) == ("full", "df")


def test_inputs_are_those_that_a_record_would_have_but_for_secret_ones() -> None:
    masks = Masks.of(["hunter2"])

    shown = masks.inputs({"url": "http://hunter2@host", "key": "hunter2"}, ["key", "other"])

    assert shown == {"url": "http://***@host", "key": "hunter2"}
