"""A server that is a child process, spoken to over its stdin and stdout: one message a line.

The SDK has a transport for this.  This one differs in what a strange program needs: a line has a
greatest length, the environment holds what settings say and nothing else, the end of what the
program writes to stderr is kept for the sentence that says why it died, and its whole process group
is gone when it is closed.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, NoReturn

import anyio
import anyio.lowlevel
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from agentkit.errors import human_bytes
from agentkit.toolservers.plain import plain
from agentkit.toolservers.trouble import Trouble

if TYPE_CHECKING:
    from mcp.client._transport import TransportStreams
    from mcp.shared.message import SessionMessage

log = logging.getLogger(__name__)

MAX_MESSAGE = 16_000_000
"""Bytes of one message."""
CHUNK = 65_536
TAIL = 4_000
"""Bytes of stderr that are kept."""
MAX_WORDS = 1500
"""Characters of it that are told."""
INHERITED = ("PATH", "HOME", "LANG")
"""Variables that every program gets."""
GRACE = 1.0
"""Seconds to end by itself, and then after it was asked to."""
TICK = 0.01


class Program:
    """One start of a program."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._command = list(command)
        inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
        self._environment = {**inherited, **environment}
        self._fault = ""
        self._stderr: deque[int] = deque(maxlen=TAIL)
        self._heard_all, self._kept_all = anyio.Event(), anyio.Event()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[TransportStreams]:
        """Start it, and end it when the block ends.  Raises `Trouble`."""
        process = self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        pipes = (process.stdin, process.stdout, process.stderr)
        for pipe in pipes:
            os.set_blocking(pipe.fileno(), False)
        heard, incoming = anyio.create_memory_object_stream["SessionMessage | Exception"](0)
        outgoing, to_send = anyio.create_memory_object_stream["SessionMessage"](0)
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._listen, process.stdout.fileno(), heard)
                tasks.start_soon(self._speak, process.stdin.fileno(), to_send, heard)
                tasks.start_soon(self._keep, process.stderr.fileno())
                try:
                    yield incoming, outgoing
                finally:
                    if self._heard_all.is_set():
                        with anyio.CancelScope(shield=True):
                            await self._last_words(process)
                    tasks.cancel_scope.cancel()
        finally:
            for stream in (heard, incoming, outgoing, to_send):
                stream.close()
            for pipe in pipes:
                pipe.close()
            with anyio.CancelScope(shield=True):
                await _end(process)

    def refusal(self) -> str:
        """A pipe refuses nothing."""
        return ""

    def account(self) -> tuple[str, ...]:
        """What is known of its end, and what it wrote to stderr before."""
        words = plain(bytes(self._stderr).decode("utf-8", "replace"), TAIL)[-MAX_WORDS:]
        return self._fault, f"the last that it wrote to stderr: {words}" if words else ""

    def _start(self) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(  # noqa: S603 - settings name it
                self._command,
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                start_new_session=True,
            )
        except FileNotFoundError:
            _refuse(f"there is no program {self._command[0]!r}")
        except (OSError, ValueError) as error:
            said = getattr(error, "strerror", None) or str(error)
            _refuse(f"{self._command[0]!r} cannot be run: {said.lower()}")

    # -- its pipes -------------------------------------------------------------------------------

    async def _listen(
        self, stdout: int, heard: MemoryObjectSendStream[SessionMessage | Exception]
    ) -> None:
        """Lines become messages; one that is none is passed on as the exception that it is."""
        rest = bytearray()
        with heard, suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
            while chunk := await _read(stdout):
                searched = len(rest)
                rest += chunk
                while (end := rest.find(b"\n", searched)) >= 0:
                    text, rest, searched = bytes(rest[:end]), rest[end + 1 :], 0
                    if text.strip():
                        await heard.send(_message(text))
                if len(rest) > MAX_MESSAGE:
                    self._fault = f"it sent more than {human_bytes(MAX_MESSAGE)} at once"
                    return
            self._heard_all.set()

    async def _speak(
        self,
        stdin: int,
        to_send: MemoryObjectReceiveStream[SessionMessage],
        heard: MemoryObjectSendStream[SessionMessage | Exception],
    ) -> None:
        """Messages become lines.  Where nobody reads them, nothing more will be heard."""
        with to_send, heard:
            async for item in to_send:
                text = item.message.model_dump_json(by_alias=True, exclude_unset=True)
                try:
                    await _write(stdin, text.encode() + b"\n")
                except OSError:
                    self._heard_all.set()
                    return

    async def _keep(self, stderr: int) -> None:
        """The end of what it writes to stderr."""
        while chunk := await _read(stderr):
            self._stderr.extend(chunk[-TAIL:])
        self._kept_all.set()

    async def _last_words(self, process: subprocess.Popen[bytes]) -> None:
        """It said that it will say no more: see how it ends, and why."""
        self._fault = "it closed its output"
        if await _ends_within(GRACE / 2, process):
            self._fault = f"it ended by itself with {_manner(process)}"
            with anyio.move_on_after(GRACE / 2):
                await self._kept_all.wait()


async def _read(pipe: int) -> bytes:
    """What there is, empty at the end."""
    while True:
        await anyio.lowlevel.checkpoint()  # who never stops must not stop the others
        try:
            return os.read(pipe, CHUNK)
        except BlockingIOError:
            await anyio.wait_readable(pipe)


async def _write(pipe: int, data: bytes) -> None:
    """All of it.  Raises `OSError` where nobody reads."""
    left = memoryview(data)
    while left:
        try:
            left = left[os.write(pipe, left) :]
        except BlockingIOError:
            await anyio.wait_writable(pipe)


def _message(text: bytes) -> SessionMessage | Exception:
    from mcp.shared.message import SessionMessage
    from mcp.types import jsonrpc_message_adapter

    try:
        return SessionMessage(jsonrpc_message_adapter.validate_json(text, by_name=False))
    except (ValueError, RecursionError):
        return ValueError(text[:400].decode("utf-8", "replace"))


# -- its end ------------------------------------------------------------------------------------


async def _end(process: subprocess.Popen[bytes]) -> None:
    """Its pipes are closed: let it end, ask it to, make it; and all that it started with it."""
    if not await _ends_within(GRACE, process):
        _signal(process, signal.SIGTERM)
        await _ends_within(GRACE, process)
    _signal(process, signal.SIGKILL)  # while its number is still its own
    if await _ends_within(10 * GRACE, process):
        process.wait()
    else:
        log.warning("%s does not end: process %d", process.args, process.pid)


async def _ends_within(seconds: float, process: subprocess.Popen[bytes]) -> bool:
    with anyio.move_on_after(seconds):
        while _status(process) is None:
            await anyio.sleep(TICK)
    return _status(process) is not None


def _status(process: subprocess.Popen[bytes]) -> os.waitid_result | None:
    """How it ended; it stays a zombie, so that its number is not given to another."""
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)


def _manner(process: subprocess.Popen[bytes]) -> str:
    status = _status(process)
    assert status is not None
    if status.si_code == os.CLD_EXITED:
        return f"exit code {status.si_status}"
    return f"signal {signal.Signals(status.si_status).name}"


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def _refuse(why: str) -> NoReturn:
    raise Trouble(why) from None
