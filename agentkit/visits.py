"""Whether a request over HTTP was meant for us, and does not come from somebody's web page.

A page in a browser can be made to send requests here, under a name of its own that it points to
this machine (DNS rebinding).  They carry that name as `Host`, or the page's own as `Origin`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence

Headers = Sequence[tuple[bytes, bytes]]

HERE = frozenset({"127.0.0.1", "localhost", "::1"})
HTTP_PORT = 80
"""Which clients leave out."""


class Door:
    """A port of this machine, and the names under which it is asked.

    `names` are others that it has, behind a proxy perhaps: with them the port may be missing.
    `origins` are web pages that may ask.  `addresses`: it may be asked by any address, too, since
    nobody can point an address elsewhere.
    """

    def __init__(
        self,
        port: int,
        names: Iterable[str] = (),
        origins: Iterable[str] = (),
        *,
        addresses: bool = False,
    ) -> None:
        self._port = port
        self._names = frozenset(name.lower() for name in names)
        self._origins = frozenset(origin.rstrip("/").lower() for origin in origins)
        self._addresses = addresses

    def refusal(self, headers: Headers) -> tuple[int, str, str] | None:
        """Status, kind and words; None: it was meant for us.  All values have to be right."""
        hosts = [host.decode("latin-1").lower() for host in values(headers, b"host")]
        if not hosts or not all(map(self._is_ours, hosts)):
            return 421, "wrong_host", "this is not the host that was asked for"
        origins = [origin.decode("latin-1").lower() for origin in values(headers, b"origin")]
        if not all(map(self._may_ask, origins)):
            return 403, "wrong_origin", "no web page may ask"
        return None

    def _is_ours(self, host: str) -> bool:
        name, port = _split(host)
        if not port:
            return name in self._names or (self._port == HTTP_PORT and self._is_named(name))
        return port == str(self._port) and self._is_named(name)

    def _is_named(self, name: str) -> bool:
        return name in HERE or name in self._names or (self._addresses and _is_address(name))

    def _may_ask(self, origin: str) -> bool:
        scheme, _, host = origin.partition("://")
        return origin in self._origins or (scheme == "http" and self._is_ours(host))


def values(headers: Headers, name: bytes) -> list[bytes]:
    """All that a request says under one name."""
    return [value.strip() for key, value in headers if key.lower() == name]


def bearer(headers: Headers) -> bytes:
    """The token of a request; empty if it has none, or several."""
    given = values(headers, b"authorization")
    scheme, _, token = given[0].partition(b" ") if len(given) == 1 else (b"", b"", b"")
    return token.strip() if scheme.lower() == b"bearer" else b""


def _split(host: str) -> tuple[str, str]:
    """A name and its port, if it has one: `[::1]:80` has the name `::1`."""
    if host.startswith("["):
        name, _, rest = host[1:].partition("]")
        return name, rest.removeprefix(":")
    name, _, port = host.partition(":")
    return name, port


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
