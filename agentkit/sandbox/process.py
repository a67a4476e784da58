"""Bubblewrap as a process: started, held until its limits are set, released, ended."""

from __future__ import annotations

import errno
import json
import os
import re
import select
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field

from agentkit.errors import MachineError, ToolError
from agentkit.jobs import Limits
from agentkit.sandbox.diagnosis import refused
from agentkit.sandbox.growth import Growth
from agentkit.sandbox.identity import RESTORER
from agentkit.sandbox.inside import Inside, look_inside
from agentkit.sandbox.sealed import sealed
from agentkit.sandbox.usage import Use
from agentkit.sandbox.watch import Ending

PATIENCE = 30.0
"""Seconds until it has to be possible to look into a sandbox."""

NO_START = (126, 127)
"""What shells and `setpriv` end with when they cannot start a program."""


@dataclass(slots=True)
class Sandboxed:
    """A program in its sandbox.

    `pid` is the process that all others end with, and `ended` its descriptor; `hold` keeps the
    program from beginning, `status` is where bubblewrap tells how it ended.
    """

    process: subprocess.Popen[bytes]
    pid: int
    ended: int
    hold: int
    status: int
    growth: Growth
    began: float = field(default_factory=time.monotonic)
    inside: Inside | None = None

    @property
    def stdout(self) -> int:
        """See `watch.Program`."""
        assert self.process.stdout is not None
        return self.process.stdout.fileno()

    @property
    def stderr(self) -> int:
        """See `watch.Program`."""
        assert self.process.stderr is not None
        return self.process.stderr.fileno()

    def release(self) -> None:
        """Let it begin."""
        os.write(self.hold, b"!")

    def use(self, limits: Limits, *, last: bool = False) -> Use:
        """See `watch.Program.use`.  Raises `MachineError` where it cannot be told."""
        if self.inside is None:
            self.inside = look_inside(self.pid)
        if self.inside is None:
            if time.monotonic() > self.began + PATIENCE:
                raise MachineError("a sandbox cannot be looked into, so its limits cannot be kept")
            disk = self.growth.now(None, exactly=last)
            return Use(disk=disk.bytes, files=disk.entries, deep=disk.deep)
        processes = self.inside.processes
        disk = self.growth.now(processes, exactly=last)
        in_memory, files = self.inside.memory_files()
        return Use(
            cpu=processes.cpu(),
            memory=processes.memory(in_memory, limits.memory),
            processes=processes.count() - 1,  # bubblewrap's own
            disk=disk.bytes,
            files=disk.entries + files,
            deep=disk.deep,
        )

    def kill(self) -> None:
        """See `watch.Program.kill`."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.ended, signal.SIGKILL)

    def end(self) -> None:
        """Kill it if it runs, and wait until nothing does."""
        self.kill()
        ended = select.poll()
        ended.register(self.ended, select.POLLIN)
        ended.poll()
        self.process.wait()
        if self.inside:
            self.inside.close()

    def exit_code(self, program: str, ending: Ending) -> int:
        """What it ended with: of its own, or of a signal.  To be asked when it has ended.

        Bubblewrap tells both alike: who exits with 128 + n is taken for ended by signal n.

        Raises `ToolError` if the program could not be started, `MachineError` if there was no
        sandbox to start it in.
        """
        said = ending.stderr.decode("utf-8", "replace")
        code = self._reported()
        if code is None:
            if ending.stopped:
                return -signal.SIGKILL
            if self.process.wait() < 0:  # somebody killed bubblewrap
                return self.process.returncode
            raise (
                _not_started(program, said) if said.startswith("bwrap: execvp ") else refused(said)
            )
        if code in NO_START and re.match(r"setpriv: (?!failed to execute)", said):
            raise refused(said)
        if code in NO_START and said.startswith(f"{RESTORER}: "):
            raise _not_started(program, said)
        return -(code - 128) if code - 128 in signal.valid_signals() else code

    def _reported(self) -> int | None:
        """What bubblewrap says of its end; nothing if the program did not begin."""
        with open(self.status, "rb", closefd=False) as file:
            last = file.read().splitlines()[-1:]
        return int(json.loads(last[0])["exit-code"]) if last else None


@contextmanager
def held(
    bwrap: str, options: Sequence[str], passed: Sequence[int], command: Sequence[str],
    stdin: bytes, work: int,
) -> Iterator[Sandboxed]:  # fmt: skip
    """A sandbox that stands, with a program that waits to begin.  Afterwards nothing of it runs.

    `passed` are the descriptors that options name, `work` is the open work folder.
    """
    growth = Growth(work)
    with ExitStack() as stack:
        hold = stack.enter_context(_closing(_pipe_to_itself()))
        status, report = os.pipe()
        stack.enter_context(_closing(status))
        with _closing(report):
            words = [*options, "--new-session", "--die-with-parent", "--block-fd", str(hold)]
            words += ["--json-status-fd", str(report)]
            arguments = stack.enter_context(sealed(os.fsencode("\0".join(words))))
            process = _spawn(
                [bwrap, "--args", str(arguments), "--", *command],
                stack.enter_context(sealed(stdin)),
                (*passed, hold, report, arguments),
            )
        with process:
            try:
                pid, ended = _first_process(status, process)
            except BaseException:
                process.kill()
                raise
            stack.enter_context(_closing(ended))
            sandboxed = Sandboxed(process, pid, ended, hold, status, growth)
            try:
                yield sandboxed
            finally:
                sandboxed.end()


def _spawn(command: list[str], stdin: int, passed: tuple[int, ...]) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(  # noqa: S603 (a program of others is what we are here for)
            command,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            env={},
            pass_fds=passed,
            start_new_session=True,
        )
    except OSError as error:
        if error.errno == errno.E2BIG:
            raise ToolError(
                "its arguments are too long together: hand them over in a file, or on stdin"
            ) from None
        raise


def _first_process(status: int, process: subprocess.Popen[bytes]) -> tuple[int, int]:
    """The process that is number 1 inside, and a descriptor of it.

    Raises `MachineError` if bubblewrap has none, or has it no more.
    """
    said = b""
    while b"\n" not in said:
        block = os.read(status, 4096)
        if not block:
            raise refused(process.communicate()[1].decode("utf-8", "replace"))
        said += block
    pid = int(json.loads(said.partition(b"\n")[0])["child-pid"])
    try:
        return pid, os.pidfd_open(pid)
    except ProcessLookupError:
        raise refused(process.communicate()[1].decode("utf-8", "replace")) from None


def _not_started(program: str, said: str) -> ToolError:
    reason = said.strip().splitlines()[-1].rpartition(": ")[2]
    return ToolError(f"{program!r} cannot be started: {reason}")


def _pipe_to_itself() -> int:
    """A pipe with one descriptor for both ends.

    Bubblewrap takes the end of a pipe for leave to go on.  This one has none as long as bubblewrap
    itself holds it, so a program never begins without limits because we have died.
    """
    reading, writing = os.pipe()
    try:
        return os.open(f"/proc/self/fd/{reading}", os.O_RDWR | os.O_CLOEXEC)
    finally:
        os.close(reading)
        os.close(writing)


@contextmanager
def _closing(descriptor: int) -> Iterator[int]:
    try:
        yield descriptor
    finally:
        os.close(descriptor)
