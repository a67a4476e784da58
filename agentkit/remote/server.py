"""One server over HTTP: connections that can be broken off, waits, bounds, and no secrets told.

Each request has a connection of its own, and a watcher beside it that shuts it down when the
request is to stop: that also wakes a read that waits for the first byte, and it is how a server
learns that nobody listens any more.  Between requests nothing is open.
"""

from __future__ import annotations

import email.utils
import ipaddress
import json
import random
import socket
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from typing import Any, NoReturn

import httpx

from agentkit.errors import AgentkitError, MachineError, ModelBusy, ModelError, UserError
from agentkit.messages import FinishReason
from agentkit.remote.sse import EventStream

Stop = Callable[[], FinishReason | None]
"""Why a request should end now, or None."""

POLL_SECONDS = 0.05
FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 30.0
MAX_JSON_BYTES = 32 << 20
MAX_STREAM_BYTES = 512 << 20
MAX_WORDS = 400

BUSY = {429, 502, 503, 504}
"""The server, or a proxy before it, has no room now; a model may still be loading."""


class Interrupted(ModelError):
    """A request ended because it was told to stop."""

    def __init__(self, reason: FinishReason) -> None:
        super().__init__(f"the request was broken off: {reason}")
        self.reason = reason


class Refused(Exception):
    """The server said no: a status, its own words, and the JSON it sent with them, if any."""

    def __init__(self, status: int, words: str, details: Mapping[str, Any]) -> None:
        super().__init__(f"{status}: {words}")
        self.status = status
        self.words = words
        self.details = details


class TryAgain(Exception):
    """This attempt failed, the next may not.  `final` is what to raise if it does, too."""

    def __init__(self, final: AgentkitError, after: float | None = None) -> None:
        super().__init__(str(final))
        self.final = final
        self.after = after


class ServerBusy(ModelBusy):
    """A server that had no room, however often it was asked."""

    def __init__(self, url: str, status: int, words: str) -> None:
        ModelError.__init__(
            self,
            f"{url} has no room now: it answered {status}" + (f" ({words})" if words else ""),
            hint="try again later, or let the server answer more requests at once",
        )
        self.waiting = 0


class Server:
    """Where requests go.  `url` is its address up to `/v1`, without anything secret in it.

    Raises `UserError` for an address or a token that cannot be one.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None,
        connect_seconds: float,
        read_seconds: float,
        retries: int,
    ) -> None:
        self.url = _checked_url(url)
        self._token = (token or "").strip()
        if not self._token.isascii() or not self._token.isprintable():
            raise UserError(f"the token for {self.url} has characters that a token cannot have")
        self._read_seconds = read_seconds
        self._retries = retries
        headers = {
            "User-Agent": "agentkit",
            "Accept": "application/json, text/event-stream",
            "Accept-Encoding": "identity",
        }
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        self._client = httpx.Client(
            headers=headers,
            timeout=httpx.Timeout(read_seconds, connect=connect_seconds),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
            follow_redirects=False,
            trust_env=not _is_loopback(self.url),
        )

    def patience(self, stop: Stop) -> Patience:
        """How long one request is tried."""
        return Patience(self._retries, stop)

    def ask(self, path: str, body: Mapping[str, Any] | None, stop: Stop) -> Mapping[str, Any]:
        """GET a path, or POST a body to it; the JSON object of the answer.

        A path that begins with `/` is below the root, another one below `/v1`.
        Raises `Refused`, `Interrupted`, `ModelBusy`, `MachineError`, `ModelError`.
        """
        patience = self.patience(stop)
        while True:
            try:
                with self._open(path, body, stop) as response:
                    return _object(_read(response, MAX_JSON_BYTES))
            except TryAgain as again:
                patience.wait(again)

    def events(self, path: str, body: Mapping[str, Any], stop: Stop) -> Iterator[Mapping[str, Any]]:
        """POST a body and yield the events of the answer, up to `[DONE]` or the end; one attempt.

        Raises as `ask` does, and `TryAgain`.
        """
        with closing(self._data(path, body, stop)) as told:
            for data in told:
                if data.strip() == "[DONE]":
                    return
                if data.strip():
                    yield self._event(data)

    def _data(self, path: str, body: Mapping[str, Any], stop: Stop) -> Generator[str]:
        received, events = 0, EventStream()
        with self._open(path, body, stop) as response:
            kind = response.headers.get("content-type", "")
            if not kind.startswith("text/event-stream"):
                raise ModelError(
                    f"{self.url} does not stream its answers: it sent {_words(kind) or 'no type'}"
                )
            for chunk in response.iter_raw():
                received += len(chunk)
                if received > MAX_STREAM_BYTES:
                    raise ModelError(f"{self.url} does not end its answer")
                yield from events.push(chunk)
        yield from events.end()

    def _event(self, data: str) -> Mapping[str, Any]:
        event = _object(data.encode())
        if event.get("error"):
            raise self._refused(500, event)
        return event

    # -- one connection --------------------------------------------------------------------------

    @contextmanager
    def _open(
        self, path: str, body: Mapping[str, Any] | None, stop: Stop
    ) -> Iterator[httpx.Response]:
        """A response whose status is fine, closed at the end or as soon as `stop` says so."""
        root = self.url.removesuffix("/v1") if path.startswith("/") else self.url + "/"
        with _watched(stop) as trace:
            try:
                request = self._client.build_request(
                    "GET" if body is None else "POST",
                    root + path,
                    content=None if body is None else json.dumps(body).encode(),
                    headers={} if body is None else {"Content-Type": "application/json"},
                    extensions={"trace": trace},
                )
                response = self._client.send(request, stream=True)
                try:
                    self._check(response)
                    yield response
                finally:
                    response.close()
            except httpx.HTTPError as error:
                _interrupt(stop)
                self._explain(error)
        _interrupt(stop)

    def _check(self, response: httpx.Response) -> None:
        status = response.status_code
        if status == httpx.codes.OK:
            return
        raw = _read(response, MAX_JSON_BYTES)
        try:
            body = _object(raw)
        except ModelError:
            body = {"message": raw.decode("utf-8", "replace")}
        refused = self._refused(status, body)
        if status in BUSY:
            busy = ServerBusy(self.url, status, refused.words)
            raise TryAgain(busy, _retry_after(response.headers.get("retry-after", "")))
        if response.has_redirect_location:
            refused.words = response.headers["location"].split("?")[0]
        raise refused

    def _refused(self, status: int, body: Mapping[str, Any]) -> Refused:
        """`{"error": {"message": ...}}`, or one of the ways in which others put it."""
        error = body.get("error", body)
        details = error if isinstance(error, Mapping) else {"message": error}
        words = details.get("message") or details.get("detail") or ""
        code = details.get("code")
        if status == 500 and isinstance(code, int) and 400 <= code < 600:
            status = code
        text = words if isinstance(words, str) else json.dumps(words)
        if self._token:
            text = text.replace(self._token, "…")
        return Refused(status, _words(text), details)

    def _explain(self, error: httpx.HTTPError) -> NoReturn:
        """What went wrong with a connection, and whether it is worth another one."""
        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.ProxyError):
            said = str(error).split("] ")[-1].lower() or "no connection"
            raise MachineError(
                f"no answer from {self.url}: {said}",
                hint="is the server running? start it, or correct its address in settings",
            ) from None
        if isinstance(error, httpx.ReadTimeout):
            raise ModelError(
                f"{self.url} sent nothing for {self._read_seconds:g} s",
                hint="it may be stuck, or need more time: read_seconds",
            ) from None
        said = str(error).split("] ")[-1].lower() or type(error).__name__
        broken = MachineError(
            f"the connection to {self.url} broke off: {said}",
            hint="does the server still run? its own log may say more",
        )
        raise TryAgain(broken) from None


class Patience:
    """How often one request is tried, and how long it waits before the next time."""

    def __init__(self, retries: int, stop: Stop) -> None:
        self.waited = 0.0
        self._retries = retries
        self._stop = stop
        self._failures = 0

    def wait(self, again: TryAgain) -> None:
        """Wait as long as the server asks for, or twice as long as before, more or less."""
        wanted = again.after
        if self._failures >= self._retries or (wanted or 0) > LONGEST_WAIT_SECONDS:
            raise again.final from None
        if wanted is None:
            wanted = min(FIRST_WAIT_SECONDS * 2**self._failures, LONGEST_WAIT_SECONDS)
        self._failures += 1
        began = time.monotonic()
        end = began + wanted * random.uniform(1.0, 1.5)  # noqa: S311 - no secret
        while (left := end - time.monotonic()) > 0:
            _interrupt(self._stop)
            time.sleep(min(POLL_SECONDS, left))
        self.waited += time.monotonic() - began


@contextmanager
def _watched(stop: Stop) -> Iterator[Callable[[str, Mapping[str, Any]], None]]:
    """Shut the connections of a request down when it is to stop; gives httpx's `trace` for it."""
    finished = threading.Event()
    opened: list[socket.socket] = []

    def trace(event: str, info: Mapping[str, Any]) -> None:
        if event.endswith(("connect_tcp.complete", "start_tls.complete")):
            opened.append(info["return_value"].get_extra_info("socket"))

    def watch() -> None:
        while not finished.wait(POLL_SECONDS):
            if stop() is not None:
                for connection in list(opened):
                    with suppress(OSError):  # not SSLSocket's own: it would forget to decrypt
                        socket.socket.shutdown(connection, socket.SHUT_RDWR)

    threading.Thread(target=watch, name="remote-stop", daemon=True).start()
    try:
        yield trace
    finally:
        finished.set()


def _interrupt(stop: Stop) -> None:
    reason = stop()
    if reason is not None:
        raise Interrupted(reason) from None


def _read(response: httpx.Response, limit: int) -> bytes:
    raw = b""
    for chunk in response.iter_raw():
        raw += chunk
        if len(raw) > limit:
            raise ModelError(f"the server answered with more than {limit} bytes")
    return raw


def _object(raw: bytes) -> Mapping[str, Any]:
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        said = _words(raw.decode("utf-8", "replace"))
        raise ModelError(f"the server sent what is not a JSON object: {said[:80]!r}")
    return value


def _words(text: str) -> str:
    """Somebody else's words on one line, without anything a terminal would obey."""
    line = " ".join(text.split())
    plain = "".join(character for character in line if character.isprintable())
    return plain if len(plain) <= MAX_WORDS else plain[:MAX_WORDS] + "…"


def _retry_after(header: str) -> float | None:
    """Seconds, or a date."""
    with suppress(ValueError):
        return max(0.0, float(header))
    with suppress(ValueError, TypeError):
        return max(0.0, email.utils.parsedate_to_datetime(header).timestamp() - time.time())
    return None


def _checked_url(url: str) -> str:
    """`http://host:port` or `http://host:port/v1`, as the latter."""
    hint = "such as http://127.0.0.1:8080/v1"
    try:
        parts = httpx.URL(url.strip())
    except httpx.InvalidURL as error:
        raise UserError(f"the address of a server is not valid: {error}", hint=hint) from None
    if parts.userinfo:
        raise UserError(
            f"the address of {parts.host} has a password in it",
            hint="take it out; a token has a place of its own",
        )
    if parts.scheme not in ("http", "https") or not parts.host or parts.query or parts.fragment:
        raise UserError(f"{url!r} is not the address of a server", hint=hint)
    plain = str(parts).rstrip("/")
    return plain if plain.endswith("/v1") else plain + "/v1"


def _is_loopback(url: str) -> bool:
    host = httpx.URL(url).host
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"
