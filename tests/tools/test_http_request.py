"""Requests to an API on a loopback server that plays the internet."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from agentkit.errors import InvalidInput, ToolError, ToolRetry
from agentkit.hosts import HostPolicy
from agentkit.network import GuardedHttp
from tests.network.internet import Internet, Resolver, answer, redirect

Call = Callable[..., Any]


@pytest.fixture
def internet() -> Iterator[Internet]:
    made = Internet()
    yield made
    made.close()


@pytest.fixture
def ask(internet: Internet, call: Call, context: Any, monkeypatch: pytest.MonkeyPatch) -> Call:
    """`ask("/path", method=...)` of `site.example`."""
    resolver = Resolver({"site.example": [["127.0.0.1"]]})
    web = GuardedHttp(HostPolicy.of(["*"]), resolve=resolver, public=lambda address: True)
    monkeypatch.setattr(context, "http", web)
    return lambda path="/", **more: call("http_request", url=internet.url(path), **more)


def test_json_goes_out_and_comes_in(internet: Internet, ask: Call) -> None:
    internet.pages["/items"] = answer(
        b'{"id": 7, "tags": ["\xc3\xa4"]}',
        201,
        content_type="application/json",
        location="/items/7",
    )

    found = ask("/items?x=1", method="POST", body={"name": "Äpfel", "count": 2})

    assert found == {
        "url": internet.url("/items?x=1"),
        "status": 201,
        "headers": {
            "content-type": "application/json",
            "content-length": "25",
            "location": "/items/7",
        },
        "body": {"id": 7, "tags": ["ä"]},
    }
    visit = internet.visits[0]
    assert visit.method == "POST"
    assert json.loads(visit.body) == {"name": "Äpfel", "count": 2}
    assert visit.headers["content-type"] == "application/json"
    assert visit.headers["accept"].startswith("application/json")


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"])
def test_methods_are_sent(internet: Internet, ask: Call, method: str) -> None:
    internet.pages["/"] = answer()

    assert ask(method=method)["status"] == 200
    assert internet.visits[0].method == method


def test_a_method_that_does_not_exist_is_refused(internet: Internet, ask: Call) -> None:
    with pytest.raises(InvalidInput, match='"CONNECT" is not one of "GET"'):
        ask(method="CONNECT")

    assert internet.visits == []


@pytest.mark.parametrize(
    ("body", "sent", "kind"),
    [
        ([1, 2], b"[1, 2]", "application/json"),
        ("plain words", b"plain words", "text/plain; charset=utf-8"),
        ("", b"", "text/plain; charset=utf-8"),
        ({}, b"{}", "application/json"),
        ('{"as": "text"}', b'{"as": "text"}', "application/json"),
        ("7", b"7", "text/plain; charset=utf-8"),
    ],
)
def test_bodies_are_sent_as_what_they_are(
    internet: Internet, ask: Call, body: Any, sent: bytes, kind: str
) -> None:
    internet.pages["/"] = answer()

    ask(method="POST", body=body)

    assert internet.visits[0].body == sent
    assert internet.visits[0].headers["content-type"] == kind


def test_headers_of_the_caller_count_more(internet: Internet, ask: Call) -> None:
    internet.pages["/"] = answer()

    ask(
        method="PUT",
        headers={"Content-Type": "application/xml", "ACCEPT": "text/csv", "X-Key": "k"},
        body="<a/>",
    )

    headers = internet.visits[0].headers
    assert (headers["content-type"], headers["accept"]) == ("application/xml", "text/csv")
    assert headers["x-key"] == "k"


@pytest.mark.parametrize("status", [204, 400, 401, 404, 422, 429, 500, 503])
def test_any_status_is_an_answer(internet: Internet, ask: Call, status: int) -> None:
    body = b"" if status == 204 else b'{"error": "no"}'
    internet.pages["/"] = answer(body, status, content_type="application/problem+json")

    found = ask()

    assert found["status"] == status
    assert found["body"] == ({"error": "no"} if body else None)


@pytest.mark.parametrize(
    ("body", "kind", "found"),
    [
        (b"words \xc3\xa4", "text/plain", "words ä"),
        (b"words \xe4", "text/plain; charset=latin-1", "words ä"),
        (b"{broken", "application/json", "{broken"),
        (b"[" * 100_000, "application/json", "[" * 100_000),
        (b'{"a": 1}', "text/plain", '{"a": 1}'),
        (b'{"a": 1}', "application/json; charset=nonsense", {"a": 1}),
        (b"\x89PNG\r\n", "image/png", "(image/png of 6 B, which is no text)"),
        (b"a\0b", "text/plain", "(text/plain of 3 B, which is no text)"),
    ],
)  # fmt: skip
def test_bodies_come_back_as_what_they_are(
    internet: Internet, ask: Call, body: bytes, kind: str, found: Any
) -> None:
    internet.pages["/"] = answer(body, content_type=kind)

    assert ask()["body"] == found


def test_a_redirect_is_followed_and_told(internet: Internet, ask: Call) -> None:
    internet.pages["/old"] = redirect("/new")
    internet.pages["/new"] = answer(b"1", content_type="application/json")

    found = ask("/old")

    assert (found["url"], found["body"]) == (internet.url("/new"), 1)


def test_what_the_network_refuses_is_refused(internet: Internet, call: Call, ask: Call) -> None:
    with pytest.raises(ToolError, match=r"127\.0\.0\.1:80 is not granted"):
        call("http_request", url="http://127.0.0.1/")
    with pytest.raises(ToolRetry, match="is not an address of the web"):
        call("http_request", url="file:///etc/passwd")
    with pytest.raises(ToolRetry, match="the header 'host' is set for you"):
        ask(headers={"Host": "internal"})
