"""What is too much, too big or too slow is refused, in words; nothing of it is an error of ours."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from agentkit.web import connections, gate, limits
from agentkit.web.pace import Bucket, Pace

from .conftest import SECRET, Served, Start


def test_a_bucket_lets_a_burst_through_and_then_the_rate() -> None:
    bucket = Bucket(10, now=0.0)
    assert [bucket.take(0.0) for _ in range(20)] == [0.0] * 20
    assert bucket.take(0.0) == pytest.approx(0.1)
    assert bucket.take(0.1) == 0.0
    assert bucket.take(0.1) > 0


def test_names_that_are_too_many_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agentkit.web.pace.KNOWN", 2)
    pace = Pace(0.1)
    assert [pace.take(name, 0.0) for name in ("a", "b", "c")] == [0.0] * 3
    assert pace.take("c", 0.0) > 0
    assert pace.take("a", 0.0) == 0.0


def test_who_is_refused_again_and_again_is_told_to_come_later(
    serve: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "REFUSALS", 0.5)
    served = serve()
    wrong = {"Authorization": "Bearer wrong"}
    with served.http() as http:
        assert http.get("/api/runs", headers=wrong).status_code == 401
        refused = http.get("/api/runs", headers=wrong)
        assert (refused.status_code, refused.json()["error"]["code"]) == (
            429,
            "rate_limit_exceeded",
        )
        assert int(refused.headers["Retry-After"]) >= 1
        assert http.get("/api/runs", headers={"Host": "evil.example"}).status_code == 429
        assert http.get("/health", headers={"Host": "evil.example"}).status_code == 421
        assert http.get("/health", headers=wrong).status_code == 200
        assert http.get("/api/runs").status_code == 200  # who knows the token is not locked out


def test_a_token_that_asks_too_often_is_told_when_to_come_again(serve: Start) -> None:
    served = serve(rate=0.5)
    with served.http() as http:
        first, second = http.get("/api/workflows"), http.get("/api/workflows")
        assert first.status_code == 200
        assert second.status_code == 429
        assert int(second.headers["Retry-After"]) >= 1
        error = second.json()["error"]
        assert (error["code"], error["type"]) == ("rate_limit_exceeded", "rate_limit_error")
        assert http.get("/health").status_code == 200


def test_more_requests_than_may_be_are_told_to_come_again(serve: Start) -> None:
    served = serve(requests=2)
    with served.client() as client:
        run = client.run("hold")
    streams = threading.Barrier(3)

    def listen() -> None:
        with served.http() as http, http.stream("GET", f"/api/runs/{run}/events") as answer:
            streams.wait(10)
            for _ in answer.iter_lines():
                pass

    with ThreadPoolExecutor() as pool:
        listening = [pool.submit(listen) for _ in range(2)]
        streams.wait(10)
        with served.http() as http:
            assert http.get("/api/runs").status_code == 429
            assert http.get("/health").status_code == 200
        (served.home / "go").touch()
        for one in listening:
            one.result(10)
    with served.http() as http:
        assert http.get("/api/runs").status_code == 200


def test_a_body_that_is_too_big_is_not_read(serve: Start) -> None:
    served = serve(body=2000)
    with served.http() as http:
        answer = http.post("/api/runs", content=b" " * 5000)
        assert answer.status_code == 413

        def drops() -> Iterator[bytes]:
            yield from (b" " * 500 for _ in range(20))

        assert http.post("/api/runs", content=drops()).status_code == 413


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"workflow": ' + b'{"a":' * 100_000,
        b'{"workflow": "greet", "inputs": {"who": ' + b"9" * 100_000 + b"}}",
        b"\xff\xfe",
        b"",
        b"null",
        b'{"workflow": "greet", "nonsense": 1}',
        b'{"workflow": ["greet"]}',
    ],
)
def test_json_that_is_a_bomb_or_nonsense_is_a_mistake_of_the_caller(
    served: Served, body: bytes
) -> None:
    with served.http(**{"Content-Type": "application/json"}) as http:
        answer = http.post("/api/runs", content=body)
    assert answer.status_code in (400, 413)
    assert answer.json()["error"]["message"]


@pytest.mark.parametrize("count", [1, 2000])
def test_a_head_that_is_too_big_is_refused(served: Served, count: int) -> None:
    value = b"x" * (200_000 // count)
    headers = b"".join(b"X-%d: %s\r\n" % (number, value) for number in range(count))
    with socket.create_connection(("127.0.0.1", served.port), timeout=10) as wire:
        wire.sendall(b"GET /health HTTP/1.1\r\n" + headers)
        assert b" 400 " in wire.recv(1000)


@pytest.mark.parametrize("head", [b"", b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-A: 1"])
def test_who_says_nothing_is_shown_out(
    served: Served, monkeypatch: pytest.MonkeyPatch, head: bytes
) -> None:
    monkeypatch.setattr(connections, "HEAD", 0.2)
    with socket.create_connection(("127.0.0.1", served.port), timeout=10) as wire:
        wire.sendall(head)
        assert wire.recv(1000) == b""


def test_who_sends_a_body_drop_by_drop_is_shown_out(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SLOW", 0.2)
    head = (
        f"POST /api/runs HTTP/1.1\r\nHost: localhost:{served.port}\r\n"
        f"Authorization: Bearer {SECRET}\r\nContent-Type: application/json\r\n"
        "Content-Length: 1000\r\n\r\n{"
    )
    with socket.create_connection(("127.0.0.1", served.port), timeout=10) as wire:
        wire.sendall(head.encode())
        answer = wire.recv(1000)
    assert b" 408 " in answer
    with served.http() as http:
        assert http.get("/api/runs").status_code == 200


def test_a_page_may_ask_only_where_settings_say_so(serve: Start) -> None:
    page = "https://chat.example.org"
    asks = {"Origin": page, "Access-Control-Request-Method": "POST"}
    with serve().http() as http:
        assert http.options("/api/runs", headers=asks).status_code == 403
    with serve(origins=[page]).http() as http:
        answer = http.options("/api/runs", headers=asks)
        assert answer.headers["Access-Control-Allow-Origin"] == page
        assert http.get("/api/runs", headers={"Origin": page}).status_code == 200
        other = http.get("/api/runs", headers={"Origin": "https://evil.example"})
        assert other.status_code == 403
        assert "Access-Control-Allow-Origin" not in other.headers


def test_every_error_has_one_shape(served: Served) -> None:
    with served.http() as http:
        answers = [
            http.get("/nowhere"),
            http.put("/api/runs"),
            http.get("/api/runs/none"),
            http.get("/api/runs", params={"limit": 0}),
            http.post("/api/runs", json={"workflow": "nope"}),
            http.get("/api/runs", headers={"Authorization": "Bearer no"}),
            http.get("/api/runs", headers={"Host": "evil.example"}),
        ]
    assert [answer.status_code for answer in answers] == [404, 405, 404, 400, 404, 401, 421]
    for answer in answers:
        assert set(json.loads(answer.text)["error"]) >= {"message", "type", "param", "code", "hint"}
