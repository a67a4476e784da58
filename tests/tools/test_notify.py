"""Notifications to servers on loopback that take them as ntfy, a webhook and SMTP do."""

from __future__ import annotations

import json
import logging
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from email import message_from_string
from email.message import Message
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from agentkit.errors import Cancelled, ToolError, ToolRetry
from tests.network.internet import Internet, answer

Call = Callable[..., Any]

pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
"""One of the many plugins of apprise looks for it, and gets along without."""


@pytest.fixture
def internet() -> Iterator[Internet]:
    made = Internet()
    yield made
    made.close()


class Post(socketserver.ThreadingTCPServer):
    """A mail server that keeps what it is given, and lets one user in."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Smtp)
        self.mails: list[Message] = []
        self.commands: list[str] = []
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def close(self) -> None:
        self.shutdown()
        self.server_close()
        self._thread.join()


class _Smtp(socketserver.StreamRequestHandler):
    server: Post

    def handle(self) -> None:
        self.wfile.write(b"220 post.example\r\n")
        while line := self.rfile.readline().decode().strip():
            self.server.commands.append(line)
            self.wfile.write(self._reply(line.upper()).encode() + b"\r\n")
            if line.upper() == "QUIT":
                return

    def _reply(self, line: str) -> str:
        if line.startswith("EHLO"):
            return "250-post.example\r\n250 AUTH PLAIN"
        if line.startswith("AUTH"):
            return "235 welcome" if line.endswith("AG1LAHNLY3JLDA==") else "535 who are you"
        if line == "DATA":
            self.wfile.write(b"354 go on\r\n")
            written = ""
            while (row := self.rfile.readline().decode()) != ".\r\n":
                written += row
            self.server.mails.append(message_from_string(written))
        return "250 fine"


@pytest.fixture
def post() -> Iterator[Post]:
    made = Post()
    yield made
    made.close()


@pytest.fixture
def targets(context: Any) -> Callable[..., None]:
    """`targets(phone={"url": ...})` in settings."""

    def are(**named: Any) -> None:
        context.settings = {"targets": named}

    return are


@pytest.fixture
def desktop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program in the place of `notify-send`; the file in which it writes what it is given."""
    shown = tmp_path / "shown"
    program = tmp_path / "bin" / "notify-send"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nfor word; do echo "$word"; done > {shown}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    return shown


def test_ntfy_is_told(internet: Internet, targets: Callable[..., None], call: Call) -> None:
    internet.pages["/"] = answer(b"{}")
    targets(phone={"url": f"ntfy://127.0.0.1:{internet.port}/alerts"})

    assert call("notify", message="It is <done> &\n\\n :tada:", title="Run") == {"sent": ["phone"]}
    assert json.loads(internet.visits[0].body) == {
        "topic": "alerts",
        "title": "Run",
        "message": "It is <done> &\n\\n :tada:",
    }
    assert internet.visits[0].headers["user-agent"] == "agentkit"
    assert "github" not in str(internet.visits[0].headers)


def test_a_webhook_is_told(internet: Internet, targets: Callable[..., None], call: Call) -> None:
    internet.pages["/hook"] = answer(b"{}")
    targets(hook={"url": f"json://127.0.0.1:{internet.port}/hook"})

    assert call("notify", message="done") == {"sent": ["hook"]}
    assert json.loads(internet.visits[0].body)["message"] == "done"


def test_a_mail_is_sent_with_an_address_from_the_environment(
    post: Post, targets: Callable[..., None], call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = f"me:secret@127.0.0.1:{post.port}/?from=agent@example.org&to=me@example.org"
    monkeypatch.setenv("NOTIFY_MAIL", f"mailto://{address}&mode=insecure")
    targets(mail={"url_env": "NOTIFY_MAIL"})

    assert call("notify", message="Grüße\n<b>", title="Run") == {"sent": ["mail"]}
    mail = post.mails[0]
    assert (mail["subject"], mail["from"], mail["to"]) == (
        "Run",
        "agent@example.org",
        "me@example.org",
    )
    assert bytes(mail.get_payload(decode=True)).decode().split() == ["Grüße", "<b>"]
    assert "MAIL FROM:<AGENT@EXAMPLE.ORG>" in [command.upper() for command in post.commands]


def test_the_desktop_shows_it(desktop: Path, targets: Callable[..., None], call: Call) -> None:
    targets(here={"desktop": True})

    call("notify", message="-x <b>bold</b> & $HOME", title="--help")

    assert desktop.read_text().splitlines() == [
        "--app-name=agentkit", "--", "--help", "-x &lt;b&gt;bold&lt;/b&gt; &amp; $HOME",
    ]  # fmt: skip


def test_all_targets_are_told_unless_one_is_named(
    internet: Internet, desktop: Path, targets: Callable[..., None], call: Call
) -> None:
    internet.pages["/hook"] = answer(b"{}")
    targets(hook={"url": f"json://127.0.0.1:{internet.port}/hook"}, here={"desktop": True})

    assert call("notify", message="one", target="here") == {"sent": ["here"]}
    assert internet.visits == []
    assert call("notify", message="two") == {"sent": ["hook", "here"]}
    assert desktop.read_text().splitlines()[2:] == ["agentkit", "two"]


def test_a_target_that_is_not_there_is_told_with_those_that_are(
    targets: Callable[..., None], call: Call
) -> None:
    targets(phone={"desktop": True}, mail={"desktop": True})

    with pytest.raises(ToolRetry) as raised:
        call("notify", message="done", target="phon")

    assert str(raised.value) == (
        "no target is named 'phon'. did you mean \"phone\"? there are: phone, mail"
    )


def test_without_targets_the_setting_is_named(call: Call) -> None:
    with pytest.raises(ToolError) as raised:
        call("notify", message="done")

    assert str(raised.value) == "there is nowhere to send notifications to"
    assert "tools.options.notify.targets: {here: {desktop: true}}" in str(raised.value.hint)


@pytest.mark.parametrize(
    "target",
    [{}, {"desktop": True, "url": "json://x"}, {"url": "json://x", "url_env": "X"},
     {"url_env": "$X"}, {"slack": "x"}],
)  # fmt: skip
def test_a_target_is_one_thing(
    targets: Callable[..., None], call: Call, target: dict[str, Any]
) -> None:
    targets(it=target)

    with pytest.raises(ToolError, match=r"exactly one of|pattern|Extra inputs"):
        call("notify", message="done")


# -- what goes wrong -----------------------------------------------------------------------------

SECRET = "tk-4711"


@pytest.fixture
def logged() -> Iterator[StringIO]:
    """What a program that listens to the root logger would write down."""
    lines = StringIO()
    handler = logging.StreamHandler(lines)
    logging.getLogger().addHandler(handler)
    yield lines
    logging.getLogger().removeHandler(handler)


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        return int(gone.getsockname()[1])


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("json://127.0.0.1:{port}/{secret}/refused", "it answered 401"),
        ("ntfys://:{secret}@127.0.0.1:{port}/{secret}", "it cannot be reached"),
        ("ntfy://:{secret}@127.0.0.1:{port}/{secret}", "it answered 401"),
        ("json://127.0.0.1:{closed}/{secret}", "it cannot be reached"),
        ("json://{secret}.example/", "it cannot be reached"),
        (
            "mailto://me:{secret}@127.0.0.1:{closed}/?from=a@example.org&to=b@example.org"
            "&mode=insecure",
            "it cannot be reached",
        ),
        ("nonsense://{secret}", "its url is none that apprise knows: https://appriseit.com/services/"),
        ("{secret}", "its url is none that apprise knows: https://appriseit.com/services/"),
    ],
)  # fmt: skip
def test_a_failure_names_the_target_and_never_its_address(
    internet: Internet,
    targets: Callable[..., None],
    call: Call,
    capfd: pytest.CaptureFixture[str],
    logged: StringIO,
    url: str,
    reason: str,
) -> None:
    internet.pages["/"] = internet.pages[f"/{SECRET}/refused"] = answer(b"no", 401)
    targets(phone={"url": url.format(port=internet.port, closed=closed_port(), secret=SECRET)})

    with pytest.raises(ToolError) as raised:
        call("notify", message="done")

    assert str(raised.value) == f"not sent to 'phone' ({reason})"
    assert raised.value.hint == "settings: tools.options.notify.targets"
    assert SECRET not in logged.getvalue() + "".join(capfd.readouterr())


def test_a_mail_server_that_does_not_let_us_in_is_told(
    post: Post, targets: Callable[..., None], call: Call
) -> None:
    address = f"me:wrong@127.0.0.1:{post.port}/?from=a@example.org&to=b@example.org"
    targets(mail={"url": f"mailto://{address}&mode=insecure"})

    with pytest.raises(ToolError, match=r"not sent to 'mail' \("):
        call("notify", message="done")

    assert post.mails == []


def test_who_was_told_is_said_even_if_others_were_not(
    internet: Internet, targets: Callable[..., None], call: Call
) -> None:
    internet.pages["/hook"] = answer(b"{}")
    targets(
        phone={"url_env": "NOT_SET_ANYWHERE"},
        hook={"url": f"json://127.0.0.1:{internet.port}/hook"},
    )

    with pytest.raises(ToolError) as raised:
        call("notify", message="done")

    assert str(raised.value) == (
        "not sent to 'phone' (the environment variable NOT_SET_ANYWHERE is not set); "
        "it was sent to 'hook'"
    )


def test_a_desktop_that_is_not_there_is_told(
    targets: Callable[..., None], call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    targets(here={"desktop": True})

    with pytest.raises(ToolError, match=r"'here' \(notify-send is not installed: it comes with"):
        call("notify", message="done")


def test_what_the_desktop_complains_about_is_told(
    desktop: Path, targets: Callable[..., None], call: Call
) -> None:
    program = desktop.parent / "bin" / "notify-send"
    program.write_text("#!/bin/sh\necho 'Cannot autolaunch D-Bus' >&2\nexit 1\n")
    targets(here={"desktop": True})

    with pytest.raises(ToolError, match="notify-send failed: Cannot autolaunch D-Bus"):
        call("notify", message="done")


def test_a_cancel_leaves_out_who_was_not_told_yet(
    internet: Internet, targets: Callable[..., None], call: Call, context: Any
) -> None:
    targets(hook={"url": f"json://127.0.0.1:{internet.port}/hook"})
    context.cancel.cancel()

    with pytest.raises(Cancelled):
        call("notify", message="done")

    assert internet.visits == []
