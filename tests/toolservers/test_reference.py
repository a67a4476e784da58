"""A server that is written with the SDK, over both transports: list, call, data, errors, cancel."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from agentkit.cancel import CancelToken
from agentkit.errors import Cancelled, ToolError
from agentkit.toolservers import McpServer

from .conftest import Start, running


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with running("reference", "http") as port:
        yield f"http://127.0.0.1:{port}/mcp"


@pytest.fixture(params=["pipes", "http"])
def server(request: pytest.FixtureRequest, start: Start, address: str) -> McpServer:
    return start("reference") if request.param == "pipes" else start(url=address)


def test_a_reference_server_is_listed_and_called(server: McpServer) -> None:
    add, *_ = server.tools()

    assert (add.name, add.description) == ("add", "Add two numbers.")
    assert add.parameters["required"] == ["a", "b"]
    assert add.parameters["properties"]["a"]["type"] == "integer"
    assert server.refused == {}

    assert server.call("add", {"a": 40, "b": 2}, None) == {"result": 42}
    assert server.call("weather", {"city": "Bonn"}, None) == {"city": "Bonn", "degrees": 21.5}
    assert server.call("greet", {"name": "Ada"}, None) == "hello Ada"
    assert server.call("picture", {}, None) == (
        "look:\n[a picture was left out: 3 kB of image/png]\na note"
    )
    with pytest.raises(ToolError, match=r"the server '.*' says: Error executing tool fail"):
        server.call("fail", {"why": "no luck"}, None)
    with pytest.raises(ToolError, match="says: Unknown tool: nothing"):
        server.call("nothing", {}, None)
    with pytest.raises(ToolError, match="Elicitation not supported"):
        server.call("ask", {}, None)


def test_a_cancel_reaches_the_server_and_costs_nobody_else(server: McpServer) -> None:
    cancel = CancelToken()
    caught: list[BaseException] = []

    def wait() -> None:
        try:
            server.call("wait", {}, cancel)
        except Cancelled as stop:
            caught.append(stop)

    thread = threading.Thread(target=wait)
    thread.start()
    server.call("watch", {"what": "waiting"}, None)
    cancel.cancel("enough")
    thread.join(10)

    assert str(caught[0]) == "enough"
    assert server.call("watch", {"what": "cancelled"}, None) == "cancelled"
    assert server.call("greet", {"name": "Ada"}, None) == "hello Ada"


def test_calls_from_many_threads_go_on_at_the_same_time(server: McpServer) -> None:
    together = threading.Barrier(8)
    sums: list[int] = []

    def add(number: int) -> None:
        together.wait(10)
        for turn in range(5):
            sums.append(server.call("add", {"a": number, "b": turn}, None)["result"])

    threads = [threading.Thread(target=add, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert sorted(sums) == sorted(n + t for n in range(8) for t in range(5))
