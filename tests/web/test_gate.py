"""Nobody comes in without a token that is for that, and no web page at all."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import pytest

from agentkit.runtime import Tokens
from agentkit.web.gate import Caller, Gate, Need, needed

SECRET = "a-secret-of-thirty-two-characters"
HOST = (b"host", b"127.0.0.1:8374")
RIGHT = (b"authorization", f"Bearer {SECRET}".encode())

Message = MutableMapping[str, Any]


class Asked:
    """A gate with an application behind it that says 200."""

    def __init__(self, folder: Path, **more: Any) -> None:
        self.tokens = Tokens(folder / "tokens.json")
        self.gate = Gate(self._app, secret=SECRET, tokens=self.tokens, port=8374, **more)
        self.caller: Caller | None = None

    async def _app(self, scope: Message, receive: object, send: Any) -> None:
        self.caller = scope["caller"]
        await send({"type": "http.response.start", "status": 200, "headers": []})

    def status(
        self,
        *headers: tuple[bytes, bytes],
        method: str = "GET",
        path: str = "/api/runs",
        peer: str = "127.0.0.1",
    ) -> int:
        sent: list[Message] = []

        async def send(message: Message) -> None:
            sent.append(message)

        async def receive() -> Message:
            return {}

        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "headers": list(headers),
            "client": (peer, 1234),
        }
        asyncio.run(self.gate(scope, receive, send))
        return int(sent[0]["status"])


@pytest.fixture
def asked(tmp_path: Path) -> Asked:
    return Asked(tmp_path)


@pytest.mark.parametrize(
    ("method", "path", "need"),
    [
        ("GET", "/health", "nothing"),
        ("GET", "/ready", "nothing"),
        ("POST", "/hooks/backup", "nothing"),
        ("GET", "/healthy", "read"),
        ("GET", "/metrics", "read"),
        ("GET", "/openapi.json", "read"),
        ("GET", "/api/runs", "read"),
        ("POST", "/api/runs", "run"),
        ("POST", "/api/runs/x/cancel", "run"),
        ("DELETE", "/api/runs/x", "owner"),
        ("GET", "/api/approvals", "read"),
        ("POST", "/api/approvals/x", "owner"),
        ("POST", "/v1/chat/completions", "inference"),
        ("GET", "/v1/models", "inference"),
        ("POST", "/tokenize", "inference"),
        ("PUT", "/api/runs", "run"),
        ("POST", "/api/memory/notes/search", "run"),
        ("POST", "/api/memory/notes/forget", "owner"),
        ("POST", "/api/memory/notes/documents", "owner"),
        ("POST", "/api/memory/notes/import", "owner"),
        ("POST", "/api/memory/notes/reembed", "owner"),
        ("POST", "/api/transcripts", "owner"),
        ("POST", "/api/models/unload", "owner"),
        ("POST", "/something/new", "owner"),
        ("POST", "//api/runs", "owner"),
    ],
)
def test_what_a_request_needs_a_token_for(method: str, path: str, need: Need) -> None:
    assert needed(method, path) == need


def test_who_knows_the_secret_may_do_everything(asked: Asked) -> None:
    assert asked.status(HOST, RIGHT, method="DELETE") == 200
    assert asked.caller == Caller("owner", owner=True)
    lower = (b"authorization", f"bearer  {SECRET}".encode())
    assert asked.status(HOST, lower) == 200


@pytest.mark.parametrize(
    "given",
    [
        [],
        [(b"authorization", b"Bearer wrong")],
        [(b"authorization", b"Bearer ")],
        [(b"authorization", SECRET.encode())],
        [(b"authorization", f"Basic {SECRET}".encode())],
        [(b"authorization", "Bearer ü".encode("latin-1"))],
        [RIGHT, (b"authorization", b"Bearer wrong")],
    ],
)
def test_everybody_else_may_look_at_the_health(
    asked: Asked, given: list[tuple[bytes, bytes]]
) -> None:
    assert asked.status(HOST, *given) == 401
    assert asked.status(HOST, *given, path="/health") == 200


@pytest.mark.parametrize(
    ("scope", "may"),
    [
        ("read", {"read"}),
        ("run", {"read", "run"}),
        ("inference", {"inference"}),
    ],
)
def test_a_token_is_for_its_scope_and_no_more(asked: Asked, scope: str, may: set[str]) -> None:
    token = asked.tokens.make("guest", [scope])
    header = (b"authorization", f"Bearer {token}".encode())
    requests = {
        "read": ("GET", "/api/runs"),
        "run": ("POST", "/api/runs"),
        "inference": ("POST", "/v1/completions"),
        "owner": ("POST", "/api/approvals/x"),
    }
    answers = {
        need: asked.status(HOST, header, method=method, path=path)
        for need, (method, path) in requests.items()
    }
    assert answers == {need: 200 if need in may else 403 for need in requests}

    asked.tokens.revoke("guest")
    assert asked.status(HOST, header) == 401


def test_refusals_are_counted_for_each_address_and_lock_nobody_out(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agentkit.web.gate.time.monotonic", lambda: 0.0)
    guest = (b"authorization", f"Bearer {asked.tokens.make('guest', ['read'])}".encode())
    wrong = (b"authorization", b"Bearer wrong")
    for status in (401, 403, 421):
        given = {401: (HOST, wrong), 403: (HOST, guest), 421: ((b"host", b"evil"), RIGHT)}[status]
        peer = f"10.0.0.{status - 400}"
        answers = [asked.status(*given, method="DELETE", peer=peer) for _ in range(25)]
        assert answers == [status] * 20 + [429] * 5
        assert asked.status(HOST, RIGHT, method="DELETE", peer=peer) == 200
        assert asked.status(HOST, guest, peer=peer) == 200
        assert asked.status(HOST, path="/health", peer=peer) == 200
    assert asked.status(HOST, wrong, peer="10.0.0.99") == 401


def test_a_token_ends(asked: Asked) -> None:
    token = asked.tokens.make("guest", ["read"], seconds=-1)
    assert asked.status(HOST, (b"authorization", f"Bearer {token}".encode())) == 401


@pytest.mark.parametrize(
    "host",
    [
        b"evil.example",
        b"evil.example:8374",
        b"127.0.0.1:1",
        b"192.168.1.7:8374",
        b"",
        b"[::2]:8374",
    ],
)
def test_a_page_that_points_its_name_here_gets_nothing(asked: Asked, host: bytes) -> None:
    assert asked.status((b"host", host), RIGHT) == 421
    assert asked.status(HOST, (b"host", host), RIGHT) == 421


def test_a_method_that_there_is_not_comes_no_further(asked: Asked) -> None:
    assert asked.status(HOST, RIGHT, method="AAAA") == 405


@pytest.mark.parametrize("text", ["{", "[1]", '[{"name": "a"}]', "null"])
def test_tokens_that_cannot_be_read_let_only_the_owner_in(
    asked: Asked, tmp_path: Path, text: str
) -> None:
    (tmp_path / "tokens.json").write_text(text)
    assert asked.status(HOST, (b"authorization", b"Bearer ak-x")) == 503
    assert asked.status(HOST, RIGHT) == 200


def test_without_a_host_there_is_no_answer(asked: Asked) -> None:
    assert asked.status(RIGHT) == 421


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (b"http://127.0.0.1:8374", 200),
        (b"http://localhost:8374", 200),
        (b"https://evil.example", 403),
        (b"http://evil.example:8374", 403),
        (b"null", 403),
    ],
)
def test_only_our_own_pages_may_ask(asked: Asked, origin: bytes, status: int) -> None:
    assert asked.status(HOST, RIGHT, (b"origin", origin)) == status


def test_a_page_that_settings_name_may_ask(tmp_path: Path) -> None:
    asked = Asked(tmp_path, origins=["https://chat.example.org/"])
    assert asked.status(HOST, RIGHT, (b"origin", b"https://chat.example.org")) == 200


def test_on_the_network_it_has_the_names_of_settings_and_addresses(tmp_path: Path) -> None:
    asked = Asked(tmp_path, names=["Box.local"], loopback=False)
    for host in (b"box.local:8374", b"192.168.1.7:8374", b"[fe80::1]:8374"):
        assert asked.status((b"host", host), RIGHT) == 200
    assert asked.status((b"host", b"evil.example:8374"), RIGHT) == 421
