"""A loopback server that plays the internet, and misbehaves as it is told.

Its hosts are names that no resolver knows (`site.example`), so who reaches it went to the address
that it was handed.
"""

from __future__ import annotations

import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

HERE = Path(__file__).parent
AUTHORITY = HERE / "authority.pem"
"""Made for these tests, and its key was thrown away; it vouches for `secure.example`."""

PATIENCE = 30.0
"""Seconds that a server waits for a client that should have gone."""


@dataclass(frozen=True)
class Visit:
    """A request that arrived."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


class Line:
    """The server's end of a connection."""

    def __init__(self, connection: socket.socket, internet: Internet) -> None:
        self._connection = connection
        self._internet = internet

    def send(self, raw: bytes) -> None:
        """Raises `OSError` when the client has gone."""
        self._connection.sendall(raw)
        self._internet.sent += len(raw)

    def wait_until_gone(self) -> None:
        """Say nothing more."""
        self._connection.settimeout(PATIENCE)
        while self._connection.recv(4096):
            pass


Page = bytes | Callable[[Line], None]


def answer(body: bytes = b"", status: int = 200, **headers: str) -> bytes:
    """A whole response; `content_type="text/html"` becomes a header."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    lines = {"content-type": "text/plain", "content-length": str(len(body)), **named}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n{head}\r\n".encode() + body


def redirect(target: str, status: int = 302) -> bytes:
    return answer(status=status, location=target)


class Internet(socketserver.ThreadingTCPServer):
    """Answers each path with the page laid down for it, `/` included; counts what it sent."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, *, host: str = "127.0.0.1", secure: bool = False) -> None:
        super().__init__((host, 0), _Handler)
        self.pages: dict[str, Page] = {}
        self.visits: list[Visit] = []
        self.sent = 0
        self.tls: ssl.SSLContext | None = None
        if secure:
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain(HERE / "secure.example.pem")
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def url(self, path: str = "/", host: str | None = None) -> str:
        scheme, usual = ("https", "secure.example") if self.tls else ("http", "site.example")
        return f"{scheme}://{host or usual}:{self.port}{path}"

    def paths(self) -> list[str]:
        return [visit.target for visit in self.visits]

    def close(self) -> None:
        self.shutdown()
        self.server_close()
        self._thread.join()


class _Handler(socketserver.BaseRequestHandler):
    server: Internet

    def handle(self) -> None:
        with suppress(OSError):
            if self.server.tls is None:
                self._serve()
                return
            with self.server.tls.wrap_socket(self.request, server_side=True) as encrypted:
                self.request = encrypted
                self._serve()

    def _serve(self) -> None:
        with self.request.makefile("rb") as incoming:
            first = incoming.readline().decode("latin-1").split()
            if len(first) != 3:
                return
            headers = {}
            while line := incoming.readline().strip():
                name, _, value = line.decode("latin-1").partition(":")
                headers[name.lower()] = value.strip()
            body = incoming.read(int(headers.get("content-length", "0")))
        method, target, _ = first
        self.server.visits.append(Visit(method, target, headers, body))
        page = self.server.pages.get(target.split("?")[0], answer(b"no such page", 404))
        line_out = Line(self.request, self.server)
        if isinstance(page, bytes):
            line_out.send(page)
        else:
            page(line_out)


class Resolver:
    """Names to addresses, as it is told; the last answer for ever.  Remembers what was asked."""

    def __init__(self, names: Mapping[str, Sequence[Sequence[str]]]) -> None:
        self._names = {name: list(answers) for name, answers in names.items()}
        self.asked: list[str] = []

    def __call__(self, name: str) -> Sequence[str]:
        self.asked.append(name)
        answers = self._names.get(name)
        if answers is None:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return answers.pop(0) if len(answers) > 1 else answers[0]


def trusting(authority: Path = AUTHORITY) -> ssl.SSLContext:
    """What trusts the authority of these tests and nobody else."""
    return ssl.create_default_context(cafile=str(authority))
