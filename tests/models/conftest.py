"""A small web server that misbehaves on request, GGUF files and wheels of a few bytes."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import struct
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from agentkit.models import Catalog, ModelStore
from agentkit.models.sources import web

BLOCK = 64 << 10


def sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def git_sha1(body: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(body) + body, usedforsecurity=False).hexdigest()


def noise(size: int, seed: str = "noise") -> bytes:
    """Bytes that do not compress, the same ones each time."""
    block = b"".join(hashlib.sha256(f"{seed}{n}".encode()).digest() for n in range(2048))
    return (block * (size // len(block) + 1))[:size]


@dataclass
class Route:
    """What the server does with one path."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    failures: list[int] = field(default_factory=list)
    """Statuses of the first answers, before it works."""
    cuts: list[int] = field(default_factory=list)
    """The first answers end with a broken connection after so many bytes."""
    hold_after: int | None = None
    """The first answer stops here until `FileServer.release` is set."""
    ranges: bool = True


@dataclass(frozen=True)
class Asked:
    """A line of the server's log."""

    method: str
    path: str
    headers: dict[str, str]

    @property
    def range(self) -> str | None:
        return self.headers.get("range")


class FileServer(ThreadingHTTPServer):
    """Serves routes on this machine and remembers what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.routes: dict[str, Route] = {}
        self.log: list[Asked] = []
        self.holding = threading.Event()
        self.release = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def serve(self, path: str, body: bytes = b"", **how: Any) -> str:
        """Offer a body; returns its address."""
        self.routes[path] = Route(body, **how)
        return self.url + path

    def gets(self, path: str) -> list[Asked]:
        return [asked for asked in self.log if (asked.method, asked.path) == ("GET", path)]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FileServer

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing on stderr."""

    def do_HEAD(self) -> None:
        self._answer(send_body=False)

    def do_GET(self) -> None:
        self._answer(send_body=True)

    def _answer(self, *, send_body: bool) -> None:
        headers = {key.lower(): value for key, value in self.headers.items()}
        self.server.log.append(Asked(self.command, self.path, headers))
        route = self.server.routes.get(self.path, Route(status=404))
        status = route.failures.pop(0) if route.failures else route.status
        body, extra = route.body, {}
        etag = route.headers.get("ETag")
        current = headers.get("if-range") in (None, etag)
        if send_body and status == 200 and route.ranges and current and "range" in headers:
            start = int(headers["range"].removeprefix("bytes=").removesuffix("-"))
            if start >= len(body):
                status, body = 416, b""
            else:
                status, body = 206, body[start:]
                extra["Content-Range"] = f"bytes {start}-{len(route.body) - 1}/{len(route.body)}"
        self.send_response(status)
        for key, value in {"Content-Length": str(len(body)), **route.headers, **extra}.items():
            self.send_header(key, value)
        self.end_headers()
        if send_body:
            self._send(body, route)

    def _send(self, body: bytes, route: Route) -> None:
        cut = route.cuts.pop(0) if route.cuts else None
        hold, route.hold_after = route.hold_after, None
        if hold is not None:
            self.wfile.write(body[:hold])
            self.wfile.flush()
            self.server.holding.set()
            self.server.release.wait(60)
            body = body[hold:]
        if cut is not None:
            body, self.close_connection = body[:cut], True
        self.wfile.write(body)


@pytest.fixture
def make_server() -> Iterator[Callable[[], FileServer]]:
    servers: list[FileServer] = []

    def make() -> FileServer:
        server = FileServer()
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        servers.append(server)
        return server

    yield make
    for server in servers:
        server.release.set()
        server.shutdown()
        server.server_close()


@pytest.fixture
def server(make_server: Callable[[], FileServer]) -> FileServer:
    return make_server()


@pytest.fixture(autouse=True)
def no_outside_world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test reaches the hub, a package index or somebody's own settings."""
    for name in list(os.environ):
        if name.startswith(("HF_", "PIP_", "AGENTKIT_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    monkeypatch.setenv("AGENTKIT_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(web, "BACKOFF_SECONDS", (0.0, 0.0, 0.0))
    (tmp_path / "wheels").mkdir()


MakeStore = Callable[..., ModelStore]


@pytest.fixture
def make_store(tmp_path: Path) -> MakeStore:
    """A store whose catalog is given as plain data: `make_store(name={...})`."""

    def make(**models: dict[str, Any]) -> ModelStore:
        entries = {
            name.replace("_", "-"): {"role": "chat", **entry} for name, entry in models.items()
        }
        return ModelStore(tmp_path / "home" / "models", Catalog.model_validate({"models": entries}))

    return make


@dataclass
class Home:
    """A home folder for the real command line."""

    folder: Path

    def catalog(self, **models: dict[str, Any]) -> None:
        entries = {name: {"role": "chat", **entry} for name, entry in models.items()}
        self.folder.mkdir(exist_ok=True)
        text = json.dumps({"models": entries})  # JSON is YAML
        (self.folder / "catalog.yaml").write_text(text, encoding="utf-8")

    def partials(self) -> list[Path]:
        return sorted((self.folder / "models" / "blobs").glob("*.partial"))


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


# -- GGUF ------------------------------------------------------------------------------------------


def _text(text: str) -> bytes:
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw


def _value(value: Any) -> bytes:
    """A value with its type in front."""
    if isinstance(value, bool):
        return struct.pack("<I?", 7, value)
    if isinstance(value, int):
        return struct.pack("<IQ", 10, value)
    if isinstance(value, float):
        return struct.pack("<Id", 12, value)
    if isinstance(value, str):
        return struct.pack("<I", 8) + _text(value)
    items = [_value(item) for item in value]
    return (
        struct.pack("<I", 9)
        + items[0][:4]
        + struct.pack("<Q", len(items))
        + b"".join(item[4:] for item in items)
    )


FACTS: dict[str, Any] = {
    "general.architecture": "llama",
    "general.name": "Tiny",
    "general.file_type": 15,
    "general.license": "mit",
    "llama.block_count": 2,
    "llama.context_length": 8192,
    "llama.embedding_length": 64,
    "llama.attention.head_count": 4,
    "llama.attention.head_count_kv": 2,
    "tokenizer.ggml.model": "gpt2",
    "tokenizer.ggml.tokens": ["a", "b", "c"],
    "tokenizer.chat_template": "{{ messages }}",
}


def make_gguf(
    facts: dict[str, Any] | None = None,
    tensors: tuple[tuple[str, tuple[int, ...], int], ...] = (("blk.0.w", (256, 4), 12),),
    data: int | None = None,
    version: int = 3,
) -> bytes:
    """A GGUF file: `facts` over the usual ones, tensors as (name, dimensions, ggml type)."""
    kept = {key: value for key, value in {**FACTS, **(facts or {})}.items() if value is not None}
    out = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(kept))
    out += b"".join(_text(key) + _value(value) for key, value in kept.items())
    offset = 0
    for name, dimensions, kind in tensors:
        out += _text(name) + struct.pack("<I", len(dimensions))
        out += struct.pack(f"<{len(dimensions)}Q", *dimensions) + struct.pack("<IQ", kind, offset)
        offset += 576
    out += b"\0" * (-len(out) % 32)
    return out + noise(576 * len(tensors) if data is None else data)


@pytest.fixture
def gguf() -> Callable[..., bytes]:
    return make_gguf


# -- wheels ----------------------------------------------------------------------------------------


def make_wheel(folder: Path, package: str, version: str, members: dict[str, bytes]) -> Path:
    """A wheel that pip accepts."""
    stem = f"{package.replace('-', '_')}-{version}"
    info = f"{stem}.dist-info"
    files = {
        **members,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = [
        f"{path},sha256={base64.urlsafe_b64encode(hashlib.sha256(body).digest()).decode()}"
        f",{len(body)}".replace("=,", ",")
        for path, body in files.items()
    ]
    files[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,"]).encode()
    wheel = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, body in files.items():
            archive.writestr(path, body)
    return wheel


@pytest.fixture
def wheel(tmp_path: Path) -> Callable[..., Path]:
    """Offer a wheel to pip: `wheel("package", "1.0", {"inside/path": b"..."})`."""

    def make(package: str, version: str, members: dict[str, bytes]) -> Path:
        return make_wheel(tmp_path / "wheels", package, version, members)

    return make


# -- shorthand -------------------------------------------------------------------------------------


def entry(
    body: bytes, *sources: dict[str, Any], path: str = "m.bin", **over: Any
) -> dict[str, Any]:
    """A catalog entry for one file."""
    file = {"path": path, "size": len(body), "sha256": sha256(body), **over}
    return {"files": [file], "sources": list(sources)}


@dataclass(frozen=True)
class Make:
    """The helpers above as one fixture, because test modules cannot import each other."""

    noise: Callable[..., bytes]
    entry: Callable[..., dict[str, Any]]
    sha256: Callable[[bytes], str]
    git_sha1: Callable[[bytes], str]


@pytest.fixture
def make() -> Make:
    return Make(noise, entry, sha256, git_sha1)
