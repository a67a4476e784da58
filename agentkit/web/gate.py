"""Who may come in: somebody who knows a token, by a name that is ours, for what the token is for.

A page in a browser can be made to send requests here, under a name of its own that it points to
this machine (DNS rebinding).  They carry that name as `Host`, or the page's own as `Origin`.
"""

from __future__ import annotations

import hmac
import ipaddress
import logging
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from agentkit.errors import MachineError
from agentkit.runtime import Scope as TokenScope
from agentkit.runtime import Tokens
from agentkit.web.problems import refuse

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

Need = TokenScope | Literal["owner", "nothing"]
"""What a token has to be for; `owner`: only the one in the home, which may do everything."""

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

log = logging.getLogger(__name__)

HERE = ("127.0.0.1", "localhost", "::1")
OPEN = ("/health", "/ready", "/hooks/")
"""What needs no token: hooks are signed, each with a secret of its own."""
OWNERS = ("/api/approvals", "/api/models")
"""What widens what runs may do, or disturbs them all: for the owner alone."""
INFERENCE = ("/v1/", "/tokenize", "/detokenize")


def needed(method: str, path: str) -> Need:
    """What a request has to have a token for; what nobody thought of is for the owner."""
    if path in OPEN or path.startswith("/hooks/"):
        return "nothing"
    if path.startswith(INFERENCE):
        return "inference"
    if method in ("GET", "HEAD"):
        return "read"
    if not path.startswith("/api/") or path.startswith(OWNERS) or method == "DELETE":
        return "owner"
    if path.startswith("/api/memory/") and path.endswith("/forget"):
        return "owner"
    return "run"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: the name of a token, and what it is for; the owner for everything."""

    name: str
    scopes: tuple[TokenScope, ...] = ()
    owner: bool = False

    def may(self, need: Need) -> bool:
        """Whether the token is for that."""
        return (
            need == "nothing"
            or self.owner
            or need in self.scopes
            or (need == "read" and "run" in self.scopes)
        )


NOBODY = Caller("")


class Gate:
    """An ASGI application in front of another, which finds the `Caller` in `scope["caller"]`."""

    def __init__(
        self,
        app: App,
        *,
        secret: str,
        tokens: Tokens,
        port: int,
        names: Sequence[str] = (),
        origins: Sequence[str] = (),
        loopback: bool = True,
    ) -> None:
        self._app = app
        self._secret = secret.encode()
        self._tokens = tokens
        self._port = port
        self._names = {name.lower() for name in (*HERE, *names)}
        self._origins = {origin.rstrip("/").lower() for origin in origins}
        self._loopback = loopback

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what may come in."""
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        if scope["type"] != "http":
            return None
        if scope["method"] not in METHODS:
            return await refuse(send, 405, "method_not_allowed", "not in this way")
        headers = _Headers(scope["headers"])
        if not self._is_ours(headers.all(b"host")):
            return await refuse(send, 421, "wrong_host", "this is not the host that was asked for")
        if not all(self._may_ask(origin) for origin in headers.all(b"origin")):
            return await refuse(send, 403, "wrong_origin", "no web page may ask")
        need = needed(scope["method"], scope["path"])
        try:
            caller = self._caller(headers.all(b"authorization"))
        except MachineError as error:  # the file of tokens is broken
            log.error("%s", error)
            return await refuse(send, 503, "machine_error", "tokens cannot be read: see the log")
        if need != "nothing" and caller is NOBODY:
            said = "the token is missing or wrong: Authorization: Bearer TOKEN"
            challenge = (b"www-authenticate", b'Bearer realm="agentkit"')
            return await refuse(send, 401, "invalid_api_key", said, [challenge])
        if not caller.may(need):
            said = f"this token is not for that: it takes one for {need!r}"
            return await refuse(send, 403, "insufficient_scope", said)
        scope["caller"] = caller
        return await self._app(scope, receive, send)

    def _is_ours(self, hosts: list[bytes]) -> bool:
        """One value that is right is not enough."""
        return bool(hosts) and all(self._is_our_name(host.decode("latin-1")) for host in hosts)

    def _is_our_name(self, host: str) -> bool:
        name, port = _split(host.lower())
        if port not in (str(self._port), ""):
            return False
        if name in self._names:
            return True
        return not self._loopback and _is_address(name)  # an address cannot be pointed elsewhere

    def _may_ask(self, origin: bytes) -> bool:
        text = origin.decode("latin-1").lower()
        scheme, _, host = text.partition("://")
        return text in self._origins or (scheme == "http" and self._is_our_name(host))

    def _caller(self, given: list[bytes]) -> Caller:
        scheme, _, secret = given[0].partition(b" ") if len(given) == 1 else (b"", b"", b"")
        secret = secret.strip()
        if scheme.lower() != b"bearer" or not secret:
            return NOBODY
        if hmac.compare_digest(secret, self._secret):
            return Caller("owner", owner=True)
        token = self._tokens.find(secret.decode("latin-1"))
        return NOBODY if token is None else Caller(token.name, token.scopes)


class _Headers:
    def __init__(self, raw: Sequence[tuple[bytes, bytes]]) -> None:
        self._raw = raw

    def all(self, name: bytes) -> list[bytes]:
        return [value.strip() for key, value in self._raw if key.lower() == name]


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
