"""Source `url:`, and the downloads behind `hf:`: HTTP that continues where it broke off.

What it holds to: HTTPS, unless the host is this machine or the digest is pinned for an address that
was written with `http:`; a token goes to the one host that it belongs to, however requests are
redirected; a connection that breaks is taken up again from the bytes that are here.
"""

from __future__ import annotations

import ipaddress
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from socket import SHUT_RDWR
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx

from agentkit.cancel import CancelToken
from agentkit.models.blobs import CHUNK, Expected, Partial, ensure_room
from agentkit.models.catalog import ModelFile
from agentkit.models.sources.base import SourceFailed

CONNECT_SECONDS = 10.0
READ_SECONDS = 60.0
BACKOFF_SECONDS = (0.5, 1.0, 2.0)
"""Waits before the tries after the first, as long as none of them brings anything new."""

MAX_REDIRECTS = 5
CANCEL_POLL_SECONDS = 0.1


class Web:
    """An HTTP client for one pull.  `token` goes to the origin of `token_for`, nowhere else."""

    def __init__(self, cancel: CancelToken, *, token: str = "", token_for: str = "") -> None:
        self._cancel = cancel
        self._token = token
        self._token_origin = _origin(token_for) if token_for else None
        self._reached: set[str] = set()

    @cached_property
    def _client(self) -> httpx.Client:
        return httpx.Client(
            timeout=httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS),
            headers={"User-Agent": "agentkit", "Accept-Encoding": "identity"},
        )

    def close(self) -> None:
        """Close the connections."""
        if "_client" in self.__dict__:
            self._client.close()

    def head(self, url: str, *, plain_http: bool = False) -> httpx.Headers:
        """The headers of a resource; follows relative redirects only.

        A redirect to a full address is an answer: its headers describe what lies there.
        """
        found = httpx.Headers()

        def ask() -> None:
            nonlocal found
            with self._send("HEAD", url, {}, plain_http, absolute=False) as response:
                _check_status(response)
                found = response.headers

        self._retrying(ask, url, lambda: 0)
        return found

    def download(self, url: str, partial: Partial, *, plain_http: bool = False) -> None:
        """Append what is missing of a file, in as many requests as it takes."""

        def receive() -> None:
            if partial.remaining != 0:
                self._receive(url, partial, plain_http)

        self._retrying(receive, url, lambda: partial.size)

    def _retrying(self, action: Callable[[], None], url: str, done: Callable[[], int]) -> None:
        """Run `action` until it succeeds, or fails too often without bringing anything new."""
        failures = 0
        while True:
            before = done()
            try:
                return action()
            except (httpx.HTTPError, _TryAgain) as error:
                self._cancel.check()
                failures = 1 if done() - before >= CHUNK else failures + 1
                new_host = _host(url) not in self._reached
                if new_host or failures > len(BACKOFF_SECONDS):
                    raise SourceFailed(_reason(error, url), whole=new_host) from None
                self._pause(BACKOFF_SECONDS[failures - 1])

    def _pause(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._cancel.check()
            time.sleep(min(CANCEL_POLL_SECONDS, left))

    def _receive(self, url: str, partial: Partial, plain_http: bool) -> None:
        headers = _range_headers(partial)
        with self._send("GET", url, headers, plain_http) as response:
            _check_status(response)
            if not _continues(response, partial):
                partial.restart()
            if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
                raise _TryAgain("does not have the range that was asked for")
            _check_length(response, partial)
            if etag := _strong_etag(response):
                partial.remember(etag=etag)
            for chunk in response.iter_raw():
                partial.write(chunk)

    @contextmanager
    def _send(
        self,
        method: str,
        url: str,
        headers: dict[str, str],
        plain_http: bool,
        *,
        absolute: bool = True,
    ) -> Iterator[httpx.Response]:
        home = url
        for _ in range(MAX_REDIRECTS + 1):
            self._cancel.check()
            _check_address(url, plain_http=plain_http and home.startswith("http:"))
            request = self._client.build_request(
                method, url, headers=self._with_token(url, headers)
            )
            response = self._client.send(request, stream=True)
            self._reached.add(_host(url))
            with _closed_on_cancel(response, self._cancel):
                location = response.headers.get("location", "")
                if not response.has_redirect_location or (
                    urlsplit(location).netloc and not absolute
                ):
                    yield response
                    return
                url = urljoin(url, location)
        raise SourceFailed(f"more than {MAX_REDIRECTS} redirects")

    def _with_token(self, url: str, headers: dict[str, str]) -> dict[str, str]:
        if self._token and _origin(url) == self._token_origin:
            return {**headers, "Authorization": f"Bearer {self._token}"}
        return headers


class Address:
    """Source `url:`: one file, or a folder (ending in `/`) with all files of the model."""

    def __init__(self, label: str, url: str, cancel: CancelToken) -> None:
        self.label = label
        self._url = url
        self._web = Web(cancel)

    def look(self, file: ModelFile) -> Expected:
        """What the catalog says; nothing is asked."""
        return Expected(size=file.size, sha256=file.sha256, address=self._place(file))

    def fetch(self, file: ModelFile, partial: Partial) -> None:
        """Download what is missing."""
        self._web.download(self._place(file), partial, plain_http=file.sha256 is not None)

    def close(self) -> None:
        """Close the connections."""
        self._web.close()

    def _place(self, file: ModelFile) -> str:
        return self._url + file.path if self._url.endswith("/") else self._url


class _TryAgain(Exception):
    """An answer that may be another one in a moment."""


def _range_headers(partial: Partial) -> dict[str, str]:
    """Ask for the rest.  Without a digest only if the resource is still the same one."""
    if not partial.size:
        return {}
    span = {"Range": f"bytes={partial.size}-"}
    if partial.expected.pinned:
        return span
    etag = partial.memory().get("etag")
    if isinstance(etag, str):
        return {**span, "If-Range": etag}
    partial.restart()
    return {}


def _continues(response: httpx.Response, partial: Partial) -> bool:
    if response.status_code == httpx.codes.PARTIAL_CONTENT:
        start = response.headers.get("content-range", "").removeprefix("bytes ").split("-")[0]
        if start != str(partial.size):
            raise SourceFailed("sends another range than was asked for")
        return True
    return partial.size == 0


def _check_status(response: httpx.Response) -> None:
    status = response.status_code
    if status < 400 or status == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
        return
    if status >= 500 or status in (408, 429):
        raise _TryAgain(f"HTTP {status}")
    said = response.headers.get("x-error-message", "")
    raise SourceFailed(f"HTTP {status}" + (f" ({said})" if said else ""))


def _check_length(response: httpx.Response, partial: Partial) -> None:
    """See before the first byte that an answer is not the file, or would not fit on the disk."""
    length = response.headers.get("content-length", "")
    if not length.isdecimal():
        return
    if partial.remaining is not None and int(length) != partial.remaining:
        total = partial.size + int(length)
        raise SourceFailed(f"offers {total} bytes, expected {partial.expected.size}")
    ensure_room(partial.path.parent, int(length), "the rest of the file")


def _strong_etag(response: httpx.Response) -> str:
    etag: str = response.headers.get("etag", "")
    return etag if etag.startswith('"') else ""


def _host(url: str) -> str:
    return urlsplit(url).hostname or url


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    return parts.scheme, parts.hostname, port


def is_loopback(url: str) -> bool:
    """Whether an address is on this very machine."""
    host = _host(url)
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def _check_address(url: str, *, plain_http: bool) -> None:
    if url.startswith("https:") or is_loopback(url):
        return
    if url.startswith("http:") and plain_http:
        return
    raise SourceFailed(f"{_host(url)} is not asked without encryption (https)")


def _reason(error: Exception, url: str) -> str:
    host = _host(url)
    text = str(error)
    lowered = text.lower()
    if isinstance(error, _TryAgain):
        return text
    if isinstance(error, httpx.ConnectTimeout):
        return f"no answer from {host} within {CONNECT_SECONDS:.0f} s"
    if isinstance(error, httpx.ReadTimeout):
        return f"{host} sent nothing for {READ_SECONDS:.0f} s"
    if isinstance(error, httpx.ProxyError):
        return f"no way to {host}: the proxy said {text}"
    if "certificate" in lowered:
        return f"the certificate of {host} cannot be verified"
    if "name or service" in lowered or "name resolution" in lowered or "nodename" in lowered:
        return f"no answer from {host}: its name could not be resolved"
    if isinstance(error, httpx.ConnectError):
        said = text.split("] ")[-1].lower() or "no connection"
        return f"no answer from {host}: {said}"
    return f"the connection to {host} broke off: {text.lower() or type(error).__name__}"


@contextmanager
def _closed_on_cancel(response: httpx.Response, cancel: CancelToken) -> Iterator[None]:
    """Close a response at the end, and wake up a read that waits for bytes when it is cancelled."""
    finished = threading.Event()
    stream: Any = response.extensions.get("network_stream")

    def watch() -> None:
        while not finished.wait(CANCEL_POLL_SECONDS):
            if cancel.cancelled:
                with suppress(OSError, AttributeError):
                    stream.get_extra_info("socket").shutdown(SHUT_RDWR)
                return

    watcher = threading.Thread(target=watch, name="cancel-download", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        finished.set()
        watcher.join()
        response.close()
