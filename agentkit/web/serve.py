"""From settings to a listening process, and to its orderly end.

While it is up it says so in a file in the home, which the command line looks for.  One service for
a home: a lock of the kernel, which ends with the process however it ends.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

import uvicorn

from agentkit.errors import MachineError, UserError
from agentkit.runtime import Runtime
from agentkit.secret_file import secret_in
from agentkit.web.app import LOOPBACK, application
from agentkit.web.connections import Connection
from agentkit.web.notify import notify
from agentkit.web.service import Service
from agentkit.whereabouts import alone, said

log = logging.getLogger(__name__)

GRACE = 3
"""Seconds that answers have to end when the server does."""
BACKLOG = 512
"""Connections that wait to be taken."""


@dataclass(frozen=True, slots=True)
class Ready:
    """What a person wants to know when it is up."""

    url: str
    token: str
    """The file that it is in."""
    warning: str = ""


def serve(runtime: Runtime, ready: Callable[[Ready], None]) -> list[str]:
    """Serve until SIGINT or SIGTERM; the runs that were parked at the end.

    Raises `UserError` if a service is up in this home, `MachineError` for a port that cannot be
    had.
    """
    settings = runtime.settings
    secret = secret_in(settings.service_token)
    with alone(settings), _listening(settings.service.host, settings.service.port) as listening:
        port: int = listening.getsockname()[1]
        service = Service.of(runtime)
        config = uvicorn.Config(
            application(service, secret=secret, port=port),
            http=Connection,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=15,
            timeout_graceful_shutdown=GRACE,
        )
        url = f"http://{_shown(settings.service.host)}:{port}"
        with said(settings, url):
            service.start()
            asyncio.run(_serve(_Server(config, service), listening, service, ready, url))
            return service.stop()


class _Server(uvicorn.Server):
    """uvicorn's, which ends without a word about answers that have not ended by themselves.

    Whoever still reads one sees it break off, and that it is not whole.
    """

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """See uvicorn."""
        self._service.stopping = True
        logging.getLogger("uvicorn.error").addFilter(_worth_saying)
        await super().shutdown(sockets)


def _worth_saying(record: logging.LogRecord) -> bool:
    """Not that an answer was cancelled, which only this end of the server does."""
    error = record.exc_info[1] if record.exc_info else None
    return not (isinstance(error, asyncio.CancelledError) or record.msg.startswith("Cancel %s"))


async def _serve(
    server: uvicorn.Server,
    listening: socket.socket,
    service: Service,
    ready: Callable[[Ready], None],
    url: str,
) -> None:
    settings = service.runtime.settings
    warning = ""
    if settings.service.host not in LOOPBACK:
        warning = f"it listens on {settings.service.host}: whoever has a token gets in, unencrypted"
    with _signals(server, service):
        ready(Ready(url, str(settings.service_token), warning))
        notify("READY=1")
        await server.serve([listening])
        notify("STOPPING=1")


@contextmanager
def _signals(server: uvicorn.Server, service: Service) -> Iterator[None]:
    """A signal ends the server, and nothing else: uvicorn sends it once more when it has ended."""

    def stop(number: int, frame: FrameType | None) -> None:
        service.stopping = True
        server.force_exit = server.should_exit  # a second one does not wait for answers
        server.should_exit = True

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _listening(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listening = socket.create_server((host, port), family=family, backlog=BACKLOG)
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # connections inherit it
        return listening
    except OSError as error:
        if (error.errno or 0) < 0:  # of getaddrinfo: create_server makes all of one kind
            raise UserError(f"there is no address {host!r}", hint="--host 127.0.0.1") from None
        why = os.strerror(error.errno or 0).lower()
        hint = "take another port: agentkit serve --port N (0: any that is free)"
        if error.errno == errno.EADDRNOTAVAIL:
            hint = "take an address of this machine: agentkit serve --host 127.0.0.1"
        raise MachineError(f"{_shown(host)}:{port} cannot be had: {why}", hint=hint) from None


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host
