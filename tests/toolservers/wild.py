"""A server over HTTP that answers as it is told, byte by byte."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

Message = dict[str, Any]


class WildServer:
    """`answer` gets each message that is sent, and returns status, headers and body; the body may
    be pieces, sent one by one.  `seen` are the headers of all requests."""

    def __init__(self, answer: Callable[[Message], tuple[int, dict[str, str], Any]]) -> None:
        self.seen: list[dict[str, str]] = []
        self.done = threading.Event()
        wild = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                wild.seen.append({name.lower(): value for name, value in self.headers.items()})
                body = self.rfile.read(int(self.headers["content-length"]))
                status, headers, said = answer(json.loads(body))
                pieces = [said] if isinstance(said, bytes) else said
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                if isinstance(said, bytes):
                    self.send_header("Content-Length", str(len(said)))
                else:
                    self.send_header("Connection", "close")
                self.end_headers()
                try:
                    for piece in pieces:
                        self.wfile.write(piece)
                except OSError:
                    self.close_connection = True

            def do_GET(self) -> None:
                self.send_error(405)

            do_DELETE = do_GET

            def log_message(self, *said: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/mcp"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.done.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


JSON = {"Content-Type": "application/json"}
STREAM = {"Content-Type": "text/event-stream"}


def result(message: Message, **given: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": message.get("id"), "result": given}).encode()


def honest(message: Message) -> tuple[int, dict[str, str], Any]:
    """One tool, `speak`, that says "sense"."""
    match message["method"]:
        case "initialize":
            version = message["params"]["protocolVersion"]
            about = {"name": "wild", "version": "1"}
            return (
                200,
                JSON,
                result(
                    message, protocolVersion=version, capabilities={"tools": {}}, serverInfo=about
                ),
            )
        case "tools/list":
            tool = {"name": "speak", "inputSchema": {"type": "object"}}
            return 200, JSON, result(message, tools=[tool])
        case "tools/call":
            return 200, JSON, result(message, content=[{"type": "text", "text": "sense"}])
    return 202, {}, b""
