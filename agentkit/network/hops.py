"""One request as it is sent, and what becomes of it behind a redirect.  Pure.

What a caller put into a request is meant for the host that it named.  Behind a redirect to another
one there are no headers of the caller's but the harmless ones, and no body.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from agentkit import __version__
from agentkit.errors import ToolError, ToolRetry
from agentkit.hosts import DEFAULT_PORTS, Location
from agentkit.network.body import ACCEPTED
from agentkit.ports import HttpRequest

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
"""CONNECT would make a tunnel, TRACE tell what was sent."""

REDIRECTS = (301, 302, 303, 307, 308)

OURS = frozenset(
    "accept-encoding connection content-length expect host keep-alive proxy-authorization "
    "proxy-connection te trailer transfer-encoding upgrade".split()
)
"""Headers of the connection: another value would say something else than what is done."""

HARMLESS = frozenset(["accept", "accept-language", "user-agent"])
"""What may be told to any host."""

_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*")


@dataclass(frozen=True, slots=True)
class Hop:
    """One request to one place; `headers` are the caller's, in lower case."""

    location: Location
    method: str
    headers: Mapping[str, str]
    body: bytes = b""

    @classmethod
    def of(cls, request: HttpRequest) -> Hop:
        """The first one.  Raises `ToolRetry` for what cannot be sent."""
        method = request.method.upper()
        if method not in METHODS:
            raise ToolRetry(f"{request.method!r} is not a method: " + ", ".join(METHODS) + " are")
        headers = {name.lower(): value.strip() for name, value in request.headers.items()}
        for name, value in headers.items():
            if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
                raise ToolRetry(f"the header {name!r} has characters that a header cannot have")
            if name in OURS:
                raise ToolRetry(f"the header {name!r} is set for you: leave it out")
        return cls(Location.of(request.url), method, headers, request.body)

    def follow(self, status: int, target: Location) -> Hop:
        """The request behind a redirect.

        Raises `ToolRetry` where the caller should decide: a body for another host, a connection
        that is no longer encrypted.
        """
        here, there = self.location, target
        if here.scheme == "https" and there.scheme == "http":
            raise self._ask(there, "which is not encrypted")
        becomes_get = status == 303 or (status in (301, 302) and self.method == "POST")
        hop = replace(self, location=there)
        if becomes_get and self.method != "HEAD":
            kept = {k: v for k, v in self.headers.items() if not k.startswith("content-")}
            hop = replace(hop, method="GET", headers=kept, body=b"")
        if _same_host(here, there):
            return hop
        if hop.method not in ("GET", "HEAD", "OPTIONS"):
            raise self._ask(there, "another host")
        harmless = {k: v for k, v in hop.headers.items() if k in HARMLESS}
        return replace(hop, headers=harmless, body=b"")

    def _ask(self, there: Location, why: str) -> ToolError:
        return ToolRetry(
            f"{self.location.place} redirects to {there.url}, {why}: call it with that address "
            "if that is meant"
        )

    def wire_headers(self) -> list[tuple[bytes, bytes]]:
        """All headers as they are sent."""
        sent = {
            "host": self.location.authority,
            "user-agent": f"agentkit/{__version__}",
            "accept": "*/*",
            **self.headers,
            "accept-encoding": ACCEPTED,
            "connection": "close",
        }
        if self.body or self.method in ("POST", "PUT", "PATCH"):
            sent["content-length"] = str(len(self.body))
        return [(name.encode(), value.encode()) for name, value in sent.items()]


def _same_host(here: Location, there: Location) -> bool:
    """The same place, or the same host that from now on wants to be asked with encryption."""
    upgraded = here.scheme == "http" and there.scheme == "https" and here.host == there.host
    usual = here.port == DEFAULT_PORTS[here.scheme] and there.port == DEFAULT_PORTS[there.scheme]
    return (here.host, here.port, here.scheme) == (there.host, there.port, there.scheme) or (
        upgraded and usual
    )
