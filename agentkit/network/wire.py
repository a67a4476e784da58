"""A connection to an address that was checked.

httpcore would look the name up again when it connects, and a name may lead elsewhere the second
time.  Here it is handed the addresses; the name stays what TLS is checked against.  Sockets do not
block, so that every wait ends with its exchange.
"""

from __future__ import annotations

import errno
import os
import selectors
import socket
import ssl
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, TypeVar

import httpcore

from agentkit.errors import ToolError
from agentkit.hosts import IpAddress
from agentkit.network.patience import OutOfTime, Patience

CONNECT_SECONDS = 10.0
"""For one address; a host with several gets at least one other try in the time that is left."""

T = TypeVar("T")


class Wire(httpcore.NetworkStream):
    """A connected socket, plain or with TLS."""

    def __init__(self, connected: socket.socket, patience: Patience) -> None:
        self._socket = connected
        self._patience = patience

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Some bytes, or none at the end."""
        try:
            return self._do(lambda: self._socket.recv(max_bytes), selectors.EVENT_READ)
        except OSError as error:
            raise httpcore.ReadError(said(error)) from error

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """All of it."""
        left = memoryview(buffer)
        try:
            while left:
                sent = self._do(lambda: self._socket.send(left), selectors.EVENT_WRITE)  # noqa: B023
                left = left[sent:]
        except OSError as error:
            raise httpcore.WriteError(said(error)) from error

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        """The same connection, encrypted.  Raises `ToolError` where the host is not who it says."""
        try:
            wrapped = ssl_context.wrap_socket(
                self._socket, server_hostname=server_hostname, do_handshake_on_connect=False
            )
            self._socket = wrapped
            self._do(wrapped.do_handshake, selectors.EVENT_READ)
        except ssl.SSLCertVerificationError as error:
            raise ToolError(
                f"the certificate of {server_hostname} cannot be trusted: {error.verify_message}"
            ) from None
        except OSError as error:
            raise httpcore.ConnectError(f"no encryption: {said(error)}") from error
        return self

    def close(self) -> None:
        """Idempotent."""
        with suppress(OSError):
            self._socket.close()

    def get_extra_info(self, info: str) -> Any:
        """HTTP/1.1 is all that is spoken, so there is nothing to tell."""

    def _do(self, attempt: Callable[[], T], event: int) -> T:
        while True:
            self._patience.check()  # also where the socket never makes us wait
            try:
                return attempt()
            except ssl.SSLWantReadError:
                wanted = selectors.EVENT_READ
            except ssl.SSLWantWriteError:
                wanted = selectors.EVENT_WRITE
            except BlockingIOError:
                wanted = event
            wait_for(self._socket, wanted, self._patience)


class Wires(httpcore.NetworkBackend):
    """Where one exchange gets its connection from; closed with it."""

    def __init__(self, addresses: Sequence[IpAddress], patience: Patience) -> None:
        self._addresses = addresses
        self._patience = patience
        self._open: list[Wire] = []

    def __enter__(self) -> Wires:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for wire in self._open:
            wire.close()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to the first address that answers; the host is not looked at."""
        reason = "it has no address"
        for number, address in enumerate(self._addresses):
            share = self._patience.left / (len(self._addresses) - number)
            try:
                connected = _connect(address, port, self._patience.at_most(share))
            except OutOfTime:
                self._patience.check()
                reason = "it does not answer"
            except OSError as error:
                reason = said(error)
            else:
                wire = Wire(connected, self._patience)
                self._open.append(wire)
                return wire
        raise httpcore.ConnectError(reason)


def _connect(address: IpAddress, port: int, patience: Patience) -> socket.socket:
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setblocking(False)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        fault = made.connect_ex((str(address), port))
        if fault in (errno.EINPROGRESS, errno.EWOULDBLOCK):
            wait_for(made, selectors.EVENT_WRITE, patience.at_most(CONNECT_SECONDS))
            fault = made.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if fault:
            raise OSError(fault, os.strerror(fault))
    except BaseException:
        made.close()
        raise
    return made


def wait_for(waiting: socket.socket, event: int, patience: Patience) -> None:
    """Until a socket can be read or written.  Raises as `Patience.check` does."""
    with selectors.DefaultSelector() as selector:
        selector.register(waiting, event)
        patience.wait(selector.select)


def said(error: OSError) -> str:
    """What the system says, without numbers and the name of a source file."""
    words = getattr(error, "reason", None) or error.strerror or str(error) or type(error).__name__
    return str(words).replace("_", " ").lower()
