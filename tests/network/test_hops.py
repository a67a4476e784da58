"""What becomes of a request behind a redirect: the cases that need ports 80 and 443."""

from __future__ import annotations

import pytest

from agentkit.errors import ToolRetry
from agentkit.hosts import Location
from agentkit.network.hops import Hop
from agentkit.ports import HttpRequest

SECRET = {"authorization": "Bearer x"}


def behind(url: str, status: int, target: str, method: str = "POST") -> Hop:
    request = HttpRequest(url, method, SECRET, b"data")
    return Hop.of(request).follow(status, Location.of(target))


@pytest.mark.parametrize(
    "target", ["https://example.org/", "https://EXAMPLE.org:443/b", "http://example.org:80/b"]
)
def test_a_host_that_wants_encryption_from_now_on_is_the_same_host(target: str) -> None:
    hop = behind("http://example.org/", 308, target)

    assert (hop.method, hop.headers, hop.body) == ("POST", SECRET, b"data")


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("http://example.org/", "http://www.example.org/"),
        ("http://example.org/", "http://example.org:8080/"),
        ("http://example.org/", "https://example.org:8443/"),
        ("http://example.org:8080/", "https://example.org/"),
        ("https://example.org/", "https://example.org:8443/"),
        ("http://example.org/", "https://example.net/"),
    ],
)
def test_any_other_place_is_another_host(url: str, target: str) -> None:
    with pytest.raises(ToolRetry, match="another host"):
        behind(url, 308, target)

    assert behind(url, 308, target, "GET").headers == {}


def test_an_encrypted_host_does_not_lead_to_itself_without() -> None:
    with pytest.raises(ToolRetry, match="which is not encrypted"):
        behind("https://example.org/", 302, "http://example.org/")


def test_the_usual_port_goes_without_saying() -> None:
    sent = dict(Hop.of(HttpRequest("https://example.org:443/")).wire_headers())

    assert sent[b"host"] == b"example.org"
    assert b"content-length" not in sent
