"""Searching with a server that answers as SearXNG does, and with ddgs behind a proxy."""

from __future__ import annotations

import json
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from ddgs.results import TextResult

from agentkit.errors import Cancelled, InvalidInput, ToolError, ToolRetry
from agentkit.hosts import HostPolicy
from agentkit.network import GuardedHttp
from tests.network.internet import Internet, answer

Call = Callable[..., Any]

FOUND = {
    "query": "bread",
    "number_of_results": 0,
    "results": [
        {
            "url": "https://example.org/bread",
            "title": "Bread -\n Example",
            "content": "  How to  bake it. ",
            "engine": "brave",
            "score": 4.0,
        },
        {"url": "https://example.org/flour", "title": "Flour", "content": "x" * 2000},
        {"url": "javascript:alert(1)", "title": "Not an address", "content": ""},
        {"url": "http://example.org/salt", "title": None, "content": None},
    ],
    "answers": [],
    "unresponsive_engines": [["google", "CAPTCHA"]],
}


@pytest.fixture
def searxng() -> Iterator[Internet]:
    made = Internet()
    yield made
    made.close()


@pytest.fixture
def search(searxng: Internet, call: Call, context: Any, monkeypatch: pytest.MonkeyPatch) -> Call:
    """`search("bread")`, with an instance on this machine that settings name."""
    url = searxng.url("/engine/", host="127.0.0.1")
    context.settings = {"engine": "searxng", "url": url}
    granted = HostPolicy.of([f"127.0.0.1:{searxng.port}"])
    monkeypatch.setattr(context, "http", GuardedHttp(granted))
    return lambda query, **more: call("web_search", query=query, **more)


def page(answered: Any, status: int = 200) -> bytes:
    return answer(json.dumps(answered).encode(), status, content_type="application/json")


def test_what_searxng_finds_comes_back(searxng: Internet, search: Call) -> None:
    searxng.pages["/engine/search"] = page(FOUND)

    assert search("bread & butter?", limit=10) == {
        "results": [
            {
                "title": "Bread - Example",
                "url": "https://example.org/bread",
                "snippet": "How to bake it.",
            },
            {"title": "Flour", "url": "https://example.org/flour", "snippet": "x" * 500},
            {"title": "", "url": "http://example.org/salt", "snippet": ""},
        ]
    }
    assert searxng.paths() == ["/engine/search?q=bread+%26+butter%3F&format=json"]


def test_no_more_results_than_wanted_come_back(searxng: Internet, search: Call) -> None:
    searxng.pages["/engine/search"] = page(FOUND)

    assert len(search("bread", limit=1)["results"]) == 1


def test_engines_that_did_not_answer_are_noted_where_nothing_was_found(
    searxng: Internet, search: Call, context: Any
) -> None:
    searxng.pages["/engine/search"] = page({**FOUND, "results": []})

    assert search("bread") == {"results": []}
    assert context.warnings == [
        'some engines behind SearXNG did not answer: [["google", "CAPTCHA"]]'
    ]


@pytest.mark.parametrize(
    "page_",
    [
        answer(b"<!doctype html>Forbidden", 403, content_type="text/html"),
        answer(b"<!doctype html>a page", content_type="text/html"),
        page({"no": "results"}),
        page(["a list"]),
        page({"results": 7}),
    ],
)
def test_an_instance_that_does_not_answer_in_json_is_told_with_the_setting(
    searxng: Internet, search: Call, page_: bytes
) -> None:
    searxng.pages["/engine/search"] = page_

    with pytest.raises(ToolError) as raised:
        search("bread")

    assert "does not answer in JSON (its status is " in str(raised.value)
    assert "`search: {formats: [html, json]}` in the settings.yml" in str(raised.value.hint)
    assert "tools.options.web_search" in str(raised.value.hint)


def test_an_instance_that_is_busy_may_be_asked_again(searxng: Internet, search: Call) -> None:
    searxng.pages["/engine/search"] = answer(b"Too Many Requests", 429)

    with pytest.raises(ToolRetry, match="try again in a minute"):
        search("bread")


def test_searching_is_off_until_settings_name_an_engine(call: Call) -> None:
    with pytest.raises(ToolError) as raised:
        call("web_search", query="bread")

    assert str(raised.value) == "searching the web is off until settings name an engine"
    assert "set tools.options.web_search in settings to {engine: searxng" in str(raised.value.hint)


def test_searxng_needs_an_address(call: Call, context: Any) -> None:
    context.settings = {"engine": "searxng"}

    with pytest.raises(ToolError, match="needs the url of your SearXNG instance"):
        call("web_search", query="bread")


@pytest.mark.parametrize("limit", [0, 21, -1])
def test_the_number_of_results_is_bounded(call: Call, limit: int) -> None:
    with pytest.raises(InvalidInput, match="limit"):
        call("web_search", query="bread", limit=limit)


def test_an_empty_query_is_told(search: Call) -> None:
    with pytest.raises(ToolRetry, match="the query is empty"):
        search("  ")


# -- ddgs ----------------------------------------------------------------------------------------


def test_engines_that_cannot_be_reached_are_told(
    call: Call, context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        monkeypatch.setenv("DDGS_PROXY", f"http://127.0.0.1:{gone.getsockname()[1]}")
    context.settings = {"engine": "ddgs"}

    with pytest.raises(ToolError, match=r"^no search engine answered: \w+"):
        call("web_search", query="bread")


def test_a_cancel_ends_a_search_with_ddgs(
    call: Call, context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    timer = threading.Timer(0.3, context.cancel.cancel, args=["enough"])
    context.settings = {"engine": "ddgs"}
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("DDGS_PROXY", f"http://127.0.0.1:{silent.getsockname()[1]}")
        timer.start()
        with pytest.raises(Cancelled, match="enough"):
            call("web_search", query="bread")
    timer.join()


def test_what_ddgs_finds_has_the_names_that_are_read(call: Call) -> None:
    with pytest.raises(ToolError):
        call("web_search", query="loads the tool")
    loaded = next(name for name in sys.modules if name.endswith("_web_search"))
    row = vars(TextResult("Bread", "https://example.org/bread", "How to bake it."))

    assert list(sys.modules[loaded]._plain([row])) == [
        {"title": "Bread", "url": "https://example.org/bread", "snippet": "How to bake it."}
    ]
