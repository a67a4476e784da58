"""One server, as long as it is wanted: opened when first asked, kept, opened again after it died.

Callers come from any thread; what they ask is done on the loop, where there are no locks.
"""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

from agentkit.cancel import CancelToken
from agentkit.config import ServerSettings
from agentkit.errors import MachineError, ToolError, ToolRetry
from agentkit.messages import ToolSchema
from agentkit.toolservers.address import Address
from agentkit.toolservers.connection import Connection, Way
from agentkit.toolservers.loop import LOOP
from agentkit.toolservers.offered import Offered, read
from agentkit.toolservers.program import Program
from agentkit.toolservers.results import value_of
from agentkit.toolservers.trouble import Forgotten, Refused, Trouble

T = TypeVar("T")


class McpServer:
    """`ports.ToolServer` for a program or an address that speaks the Model Context Protocol."""

    def __init__(self, name: str, settings: ServerSettings) -> None:
        self._name = name
        self._settings = settings
        self._offered = Offered()
        self._connection: Connection | None = None
        self._connections: set[Connection] = set()
        self._lock = threading.Lock()
        self._entered = False
        self._closed = False

    @property
    def name(self) -> str:
        """See `ports.ToolServer.name`."""
        return self._name

    @property
    def refused(self) -> Mapping[str, str]:
        """Tools that it listed last and that cannot be offered, with the rest of a sentence."""
        return self._offered.refused

    def tools(self) -> tuple[ToolSchema, ...]:
        """See `ports.ToolServer.tools`."""
        try:
            listed = self._run(lambda connection: connection.tools())
        except Trouble as trouble:
            said = f"{self._who} cannot be used: {trouble}"
            raise MachineError(said, hint=self._hint(trouble)) from None
        self._offered = read(listed)
        return self._offered.tools

    def call(self, tool: str, arguments: Mapping[str, Any], cancel: CancelToken | None) -> Any:
        """See `ports.ToolServer.call`."""
        try:
            json.dumps(arguments, ensure_ascii=False, allow_nan=False).encode()
        except (TypeError, ValueError) as error:
            raise ToolRetry(f"the arguments cannot be sent as JSON: {error}") from None
        try:
            result = self._run(lambda connection: connection.call(tool, arguments), cancel)
        except Refused as no:
            kind = ToolRetry if no.invalid else ToolError
            raise kind(f"{self._who} says: {no}") from None
        except Trouble as trouble:
            said = f"{self._who} did not finish {tool!r}: {trouble}"
            raise ToolError(said, hint=self._hint(trouble)) from None
        return value_of(result, self._offered.outputs.get(tool), f"{self._who} says")

    def close(self) -> None:
        """See `ports.ToolServer.close`."""
        with self._lock:
            entered, self._entered, self._closed = self._entered, False, True
        if entered:
            LOOP.run(self._end())
            LOOP.leave()

    # -- on the loop -----------------------------------------------------------------------------

    async def _ask(self, question: Callable[[Connection], Coroutine[Any, Any, T]]) -> T:
        connection = await self._open()
        try:
            return await question(connection)
        except Forgotten:  # it was started anew in between, and has done nothing
            connection = await self._open()
            return await question(connection)

    async def _open(self) -> Connection:
        """The connection that there is, or a new one.  Raises `Trouble`."""
        if self._closed:
            raise Trouble("it was closed")
        connection = self._connection
        if connection is None or connection.over:
            connection = Connection(self._way(), self._settings.timeout)
            self._connection = connection
            self._connections = {one for one in self._connections if not one.gone} | {connection}
        await connection.open()
        return connection

    async def _end(self) -> None:
        self._connection = None
        await asyncio.gather(*(connection.close() for connection in self._connections))

    def _way(self) -> Way:
        settings = self._settings
        if settings.url is not None:
            token = self._token(settings.token_env) if settings.token_env else None
            return Address(settings.url, token, settings.timeout)
        assert settings.command is not None
        passed = {name: self._variable(name) for name in settings.pass_environment}
        return Program(settings.command, {**passed, **settings.environment})

    def _token(self, name: str) -> str:
        token = self._variable(name).strip()
        if not token.isascii() or not token.isprintable() or " " in token:
            raise Trouble(f"the variable {name} holds what is no token")
        return token

    def _variable(self, name: str) -> str:
        value = os.environ.get(name)
        if not value:
            raise Trouble(f"the variable {name} that it needs is not set")
        return value

    # -- from outside ----------------------------------------------------------------------------

    def _run(
        self,
        question: Callable[[Connection], Coroutine[Any, Any, T]],
        cancel: CancelToken | None = None,
    ) -> T:
        with self._lock:
            if self._closed:
                raise Trouble("it was closed")
            if not self._entered:
                LOOP.enter()
                self._entered = True
        return LOOP.run(self._ask(question), cancel)

    @property
    def _who(self) -> str:
        return f"the server {self._name!r}"

    def _hint(self, trouble: Trouble) -> str:
        key, said = f"mcp.{self._name}", str(trouble)
        if "longer than" in said or "within" in said:
            return f"more time for it: {key}.timeout in settings"
        if "401" in said or "403" in said:
            return f"its token comes from the variable that {key}.token_env names"
        what = "command" if self._settings.command else "url"
        return f"is {key}.{what} in settings right?"
