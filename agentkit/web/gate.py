"""Who may come in: somebody who knows a token, by a name of ours, for what the token is for.

Who is refused again and again is told to come later, by the address that he has.  Who knows a token
is let in all the same: another program of this machine, a web page in its browser, or whoever is
behind the same proxy cannot lock him out.
"""

from __future__ import annotations

import hmac
import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from agentkit.errors import MachineError
from agentkit.runtime import Scope as TokenScope
from agentkit.runtime import Tokens
from agentkit.visits import Door, Headers, bearer
from agentkit.web.pace import Pace
from agentkit.web.problems import refuse, too_much

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

Need = TokenScope | Literal["owner", "nothing"]
"""What a token has to be for; `owner`: only the one in the home, which may do everything."""

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

log = logging.getLogger(__name__)

ALWAYS = ("/health", "/ready")
"""What is answered however much there is to do."""
REFUSALS = 10.0
"""Refusals in a second that one address gets explained, on average."""
OPEN = (*ALWAYS, "/hooks/")
"""What needs no token: hooks are signed, each with a secret of its own."""
OWNERS = ("/api/approvals", "/api/models", "/api/transcripts")
"""What widens what runs may do, disturbs them all, or names files: for the owner alone."""
MEMORY_OWNERS = ("/forget", "/documents", "/import", "/reembed")
"""Likewise, of a collection."""
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
    if path.startswith("/api/memory/") and path.endswith(MEMORY_OWNERS):
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
        self._refusals = Pace(REFUSALS)
        self._door = Door(port, names, origins, addresses=not loopback)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what may come in."""
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        if scope["type"] != "http":
            return None
        if scope["method"] not in METHODS:
            return await self._no(scope, send, 405, "method_not_allowed", "not in this way")
        if refusal := self._door.refusal(scope["headers"]):
            return await self._no(scope, send, *refusal)
        need = needed(scope["method"], scope["path"])
        try:
            caller = self._caller(scope["headers"])
        except MachineError as error:  # the file of tokens is broken
            log.error("%s", error)
            said = "tokens cannot be read: see the log"
            return await refuse(scope, send, 503, "machine_error", said)
        if need != "nothing" and caller is NOBODY:
            said = "the token is missing or wrong: Authorization: Bearer TOKEN"
            challenge = (b"www-authenticate", b'Bearer realm="agentkit"')
            return await self._no(scope, send, 401, "invalid_api_key", said, [challenge])
        if not caller.may(need):
            said = f"this token is not for that: it takes one for {need!r}"
            return await self._no(scope, send, 403, "insufficient_scope", said)
        scope["caller"] = caller
        return await self._app(scope, receive, send)

    async def _no(
        self,
        scope: Scope,
        send: Send,
        code: int,
        kind: str,
        said: str,
        headers: Sequence[tuple[bytes, bytes]] = (),
    ) -> None:
        """Refuse, and count it: who is refused too often is told no more than that."""
        peer = (scope.get("client") or ("",))[0]
        wait = 0.0
        if scope["path"] not in ALWAYS:
            wait = self._refusals.take(peer, time.monotonic())
        if wait:
            often = "this address was refused too often: it needs a token that is for that"
            return await too_much(scope, send, often, 1 + int(wait))
        return await refuse(scope, send, code, kind, said, headers)

    def _caller(self, headers: Headers) -> Caller:
        secret = bearer(headers)
        if not secret:
            return NOBODY
        if hmac.compare_digest(secret, self._secret):
            return Caller("owner", owner=True)
        token = self._tokens.find(secret.decode("latin-1"))
        return NOBODY if token is None else Caller(token.name, token.scopes)
