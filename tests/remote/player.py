"""A server that plays recorded bytes, and misbehaves as it is told."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

from agentkit.remote import RemoteChatModel

RECORDED = Path(__file__).parent / "recorded"

MODELS = "/v1/models"
CHAT = "/v1/chat/completions"

STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"


@dataclass(frozen=True)
class Asked:
    """A request that arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


def reply(body: Any, status: int = 200, **headers: str) -> bytes:
    """A whole response; a body that is not bytes is sent as JSON."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    more = {name.replace("_", "-"): value for name, value in headers.items()}
    lines = {"Content-Type": "application/json", "Content-Length": str(len(raw)), **more}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n{head}\r\n".encode() + raw


def stream(*events: Any, end: str = "data: [DONE]\n\n") -> bytes:
    """A streamed answer that ends with the connection; an event may be JSON or bytes."""
    lines = [e if isinstance(e, bytes) else f"data: {json.dumps(e)}\n\n".encode() for e in events]
    return STREAM + b"\r\n" + b"".join(lines) + end.encode()


def cut_off(*events: Any) -> bytes:
    """A streamed answer whose connection breaks before its end."""
    told = stream(*events, end="").partition(b"\r\n\r\n")[2]
    return STREAM + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n" % (len(told), told)


def text(content: Any = None, end: str | None = None, **more: Any) -> dict[str, Any]:
    """An event with a piece of the first answer."""
    delta = {"content": content, **more}
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": end}]}


USAGE = {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 2}}
FINE = stream(text("Good"), text(" day."), text(end="stop"), USAGE)


class Player(socketserver.ThreadingTCPServer):
    """Answers the requests to each path with what was laid down for it, the last one for ever.

    An answer that ends with `HOLD` is followed by silence: `holding` tells that it began, and
    `hung_up` that the client went away.
    """

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: dict[str, list[bytes]] = {MODELS: [reply({"data": [{"id": "m"}]})]}
        self.asked: list[Asked] = []
        self.holding = threading.Event()
        self.hung_up = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def on(self, path: str, *answers: bytes) -> None:
        self.answers[path] = list(answers)

    def bodies(self, path: str = CHAT) -> list[Any]:
        return [asked.body for asked in self.asked if asked.path == path]


HOLD = b"<hold>"

Make = Callable[..., RemoteChatModel]
"""Makes a model on the player."""


class _Handler(socketserver.StreamRequestHandler):
    server: Player

    def handle(self) -> None:
        try:
            method, path, _ = self.rfile.readline().decode().split()
        except ValueError:  # a connection without a request
            return
        lines = iter(lambda: self.rfile.readline().decode().strip(), "")
        headers = {
            name.lower(): value.strip() for name, _, value in (s.partition(":") for s in lines)
        }
        raw = self.rfile.read(int(headers.get("content-length", 0)))
        self.server.asked.append(Asked(method, path, headers, json.loads(raw) if raw else None))
        laid = self.server.answers.get(path, [reply({"error": "not found"}, 404)])
        answer = laid.pop(0) if len(laid) > 1 else laid[0]
        self.wfile.write(answer.removesuffix(HOLD))
        if answer.endswith(HOLD):
            self.server.holding.set()
            if not self.connection.recv(1):
                self.server.hung_up.set()
