"""The process of a server: how it begins, and that it ends."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from .conftest import LIMIT, ROOT, Home

CLIENT_GOES = {"mark": "client-goes"}
PIPES = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}


class Spoken:
    """A server that is spoken to line by line."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self.stdin, self.stdout, self.stderr = process.stdin, process.stdout, process.stderr
        about = {"protocolVersion": "2025-11-25", "capabilities": {},
                 "clientInfo": {"name": "by hand", "version": "1"}}  # fmt: skip
        self.send(id=1, method="initialize", params=about)
        assert self.hear()["result"]["serverInfo"]["name"] == "agentkit"
        self.send(method="notifications/initialized")

    def send(self, **message: Any) -> None:
        self.stdin.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        self.stdin.flush()

    def hear(self) -> dict[str, Any]:
        heard: dict[str, Any] = json.loads(self.stdout.readline())
        return heard

    def wait(self, mark: str) -> None:
        """Have it make a call that waits, and return when it does."""
        params = {"name": "wait", "arguments": {"mark": mark}, "_meta": {"progressToken": mark}}
        self.send(id=2, method="tools/call", params=params)
        assert self.hear()["method"] == "notifications/progress"


@contextmanager
def spoken(home: Home) -> Iterator[Spoken]:
    process = home.start(**PIPES)
    try:
        yield Spoken(process)
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            assert pipe is not None
            with suppress(BrokenPipeError):
                pipe.close()


def test_it_ends_with_its_client_and_ends_what_it_does(home: Home) -> None:
    with spoken(home) as server:
        server.wait("client-goes")
        server.stdin.close()
        assert server.process.wait(LIMIT) == 0
        rest, errors = server.stdout.read(), server.stderr.read()
    assert all(json.loads(line)["jsonrpc"] == "2.0" for line in rest.splitlines())
    assert "Traceback" not in errors
    assert (home.folder / "marks" / "client-goes").read_text() == "cancelled by the client"
    with home.runtime() as runtime:
        (status,) = [run.status for run in runtime.journal.runs() if run.inputs == CLIENT_GOES]
    assert status == "cancelled"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_and_what_it_does(home: Home, number: signal.Signals) -> None:
    with spoken(home) as server:
        server.wait(number.name)
        server.process.send_signal(number)
        assert server.process.wait(LIMIT) == 0
        assert "Traceback" not in server.stderr.read()
    assert (home.folder / "marks" / number.name).read_text()


def test_a_client_that_talks_nonsense_and_goes_is_no_mistake_of_ours(home: Home) -> None:
    with spoken(home) as server:
        server.stdin.write("nonsense\n{}\n[]\n\n")
        server.send(id=4, method="ping")
        assert server.hear() == {"jsonrpc": "2.0", "id": 4, "result": {}}
        server.stdout.close()
        server.send(id=5, method="tools/list")
        server.stdin.close()
        assert server.process.wait(LIMIT) == 0
        assert "Traceback" not in server.stderr.read()


def test_a_signal_ends_it_over_http_too(home: Home) -> None:
    process = home.start("--http", "--port", "0", stderr=subprocess.PIPE)
    assert process.stderr is not None
    with process.stderr:
        assert "serving on" in process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(LIMIT) == 0
        assert "Traceback" not in process.stderr.read()


def test_a_port_that_is_taken_is_said_with_the_way_out(home: Home) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = home.run("mcp", "--http", "--port", str(port))
    assert done.returncode == 1
    assert f"port {port} cannot be had: address already in use" in done.stderr
    assert "agentkit mcp --http --port N" in done.stderr


def test_help_and_a_run_without_servers_do_not_load_the_sdk() -> None:
    code = (
        "import sys\n"
        "from agentkit.cli import cli\n"
        "from agentkit.runtime import Runtime\n"
        "cli.main(['--help'], standalone_mode=False)\n"
        "Runtime().toolbox.names()\n"
        "print(sorted(name for name in sys.modules if name.split('.')[0] in ('mcp', 'mcp_types')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.splitlines()[-1] == "[]"
