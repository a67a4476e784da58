"""A server over HTTP: the token, redirects, bounds, and networks that break."""

from __future__ import annotations

import gzip
import json
import socket
from collections.abc import Iterator
from functools import partial

import pytest

from agentkit.errors import MachineError, ToolError, ToolRetry

from .conftest import Start
from .wild import JSON, STREAM, Message, WildServer, honest

Answer = tuple[int, dict[str, str], object]


def test_the_token_comes_from_the_environment(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WILD_TOKEN", "open-sesame")
    with WildServer(honest) as wild:
        server = start(url=wild.url, token_env="WILD_TOKEN")
        assert [tool.name for tool in server.tools()] == ["speak"]
        assert server.call("speak", {}, None) == "sense"
    assert {seen.get("authorization") for seen in wild.seen} == {"Bearer open-sesame"}


def test_a_token_that_is_not_there_or_none_is_said_before_anything_is_sent(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    with WildServer(honest) as wild:
        monkeypatch.delenv("WILD_TOKEN", raising=False)
        with pytest.raises(MachineError, match="the variable WILD_TOKEN that it needs is not set"):
            start(url=wild.url, token_env="WILD_TOKEN").tools()
        monkeypatch.setenv("WILD_TOKEN", "two\nlines")
        with pytest.raises(MachineError) as caught:
            start(url=wild.url, token_env="WILD_TOKEN").tools()
    assert "the variable WILD_TOKEN holds what is no token" in str(caught.value)
    assert "lines" not in str(caught.value)
    assert wild.seen == []


def test_a_refusal_is_told_with_its_status(start: Start) -> None:
    said = "the server 'away' cannot be used: it answers 401 Unauthorized"
    with (
        WildServer(lambda message: (401, {}, b"no")) as wild,
        pytest.raises(MachineError, match=said) as caught,
    ):
        start(url=wild.url).tools()
    assert caught.value.hint == "its token comes from the variable that mcp.away.token_env names"


def test_the_words_of_a_server_count_more_than_its_status(start: Start) -> None:
    for status in (400, 404, 500):
        error = {"code": -32602, "message": "the city is not known"}
        said = json.dumps({"jsonrpc": "2.0", "id": 3, "error": error}).encode()
        with (
            calls((status, JSON, said)) as wild,
            pytest.raises(ToolRetry, match="the server 'away' says: the city is not known"),
        ):
            start(url=wild.url).call("speak", {}, None)


def test_a_redirect_to_another_host_is_not_followed(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WILD_TOKEN", "open-sesame")
    with WildServer(honest) as other:
        place = {"Location": other.url.replace("127.0.0.1", "localhost")}
        with (
            WildServer(lambda message: (307, place, b"")) as wild,
            pytest.raises(MachineError, match=r"Redirect to .* not followed"),
        ):
            start(url=wild.url, token_env="WILD_TOKEN").tools()
    assert other.seen == []


def test_one_that_is_not_there_is_told(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(MachineError) as caught:
        start(url=f"http://127.0.0.1:{port}/mcp").tools()
    assert "it cannot be reached: " in str(caught.value)
    assert caught.value.hint == "is mcp.away.url in settings right?"


def test_one_that_does_not_answer_is_given_up(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/mcp"
        with pytest.raises(MachineError, match=r"it did not answer within 0\.3 s"):
            start(url=url, timeout=0.3).tools()


def always(answer: Answer, message: Message) -> Answer:
    return answer


def test_what_is_no_protocol_is_told(start: Start) -> None:
    for headers, body in [
        ({"Content-Type": "text/html"}, b"<h1>Welcome</h1>"),
        (JSON, b"<h1>Welcome</h1>"),
        (JSON, b"[]"),
        (STREAM, b"data: nonsense\n\n"),
        (STREAM, b""),
    ]:
        with (
            WildServer(partial(always, (200, headers, body))) as wild,
            pytest.raises(MachineError, match=r"the server 'away' cannot be used: its? "),
        ):
            start(url=wild.url).tools()


def calls(answer: Answer) -> WildServer:
    """A server that is honest until it is called."""

    def told(message: Message) -> Answer:
        return answer if message["method"] == "tools/call" else honest(message)

    return WildServer(told)


def _endless() -> Iterator[bytes]:
    while True:
        yield b"x" * 1_000_000


def test_an_answer_without_end_is_cut_off(start: Start) -> None:
    for headers, body in [(JSON, _endless()), (STREAM, _endless())]:
        with (
            calls((200, headers, body)) as wild,
            pytest.raises(ToolError, match=r"it sent more than 16 MB|its answer broke off: .* 16"),
        ):
            start(url=wild.url).call("speak", {}, None)


def test_a_packed_answer_is_not_unpacked(start: Start) -> None:
    bomb = gzip.compress(b"x" * 50_000_000)
    with (
        calls((200, {**JSON, "Content-Encoding": "gzip"}, bomb)) as wild,
        pytest.raises(ToolError, match="it packs its answers, though it was asked not to"),
    ):
        start(url=wild.url).call("speak", {}, None)


def test_an_answer_that_breaks_off_is_told(start: Start) -> None:
    with (
        calls((200, STREAM, iter([b": wait\n\n"]))) as wild,
        pytest.raises(ToolError, match="its answer broke off: SSE stream ended"),
    ):
        start(url=wild.url).call("speak", {}, None)


def test_one_that_was_started_anew_is_greeted_anew_and_the_call_is_made(start: Start) -> None:
    """Its sessions are gone, and it says 404 to the one that we had."""
    sessions = iter(["first", "second"])
    here: list[str] = []

    def answer(message: Message) -> Answer:
        status, headers, body = honest(message)
        if message["method"] == "initialize":
            here.append(next(sessions))
            return status, {**headers, "Mcp-Session-Id": here[-1]}, body
        return (
            (status, headers, body) if wild.seen[-1]["mcp-session-id"] in here else (404, {}, b"")
        )

    with WildServer(answer) as wild:
        server = start(url=wild.url)
        assert server.call("speak", {}, None) == "sense"
        here.clear()
        assert server.call("speak", {}, None) == "sense"
    assert here == ["second"]
