"""Programs without a sandbox, for those who say `sandbox: none`: with your own rights.

The limits hold as far as they can without a namespace: a program that wants to get away from them
can.  Nothing keeps it from other files, from the network, or from you.

A job says `/work` and `/inputs/NAME`, and such paths do not exist here.  Where they stand as words
in the arguments, in the environment or on stdin, the real ones are put in their place; whoever
writes a program finds them in its environment, as WORK and INPUTS.  Relative paths work with and
without a sandbox: programs start in the work folder.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from agentkit.cancel import CancelToken
from agentkit.errors import Cancelled, ToolError
from agentkit.jobs import INPUTS, WORK, Job, JobResult, Limits
from agentkit.sandbox.checks import checked
from agentkit.sandbox.growth import Growth
from agentkit.sandbox.rlimits import ENDED_BY, confine, first_to_go
from agentkit.sandbox.usage import Processes, Use
from agentkit.sandbox.watch import watch
from agentkit.sandbox.work import lent

WAIT = 'kill -STOP $$; exec "$@"'
"""A shell that waits to be told to go on, and then becomes the program."""

PROC = Path("/proc")


class NoSandbox:
    """See `ports.Sandbox`, but for the one thing: it keeps nothing apart."""

    def run(self, job: Job, cancel: CancelToken | None = None) -> JobResult:
        """See `ports.Sandbox.run`."""
        job = checked(job)
        token = cancel or CancelToken()
        try:
            with lent(job.work, token) as work:
                before = work.contents()
                try:
                    with _outside(replace(job, work=work.path)) as real:
                        result = _run(real, work.descriptor, token)
                finally:
                    left = work.settle(before)
        except Cancelled:
            return JobResult(-signal.SIGKILL, b"", b"", 0.0, "cancelled")
        alone = "" if job.apart is None else "without a sandbox a program cannot be shown a copy"
        return replace(result, changed=left.changed, removed=left.removed, alone=alone)


@contextmanager
def _outside(job: Job) -> Iterator[Job]:
    """The job with real paths, and with the whole environment of its program."""
    with tempfile.TemporaryDirectory(prefix="agentkit-") as folder:
        inputs, scratch = Path(folder, "inputs"), Path(folder, "tmp")
        inputs.mkdir()
        scratch.mkdir()
        for name, path in job.inputs.items():
            (inputs / name).symlink_to(path)
        real = _replacing({WORK: str(job.work), INPUTS: str(inputs)})
        environment = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}",
            "HOME": str(job.work),
            "LANG": "C.UTF-8",
            "TMPDIR": str(scratch),
            "PWD": str(job.work),
            "WORK": str(job.work),
            "INPUTS": str(inputs),
            **{name: real(value) for name, value in job.environment.items()},
        }
        argv = tuple(map(real, job.argv))
        stdin = real(job.stdin.decode("utf-8", "surrogateescape"))
        yield replace(
            job,
            argv=(_located(argv[0], job.work, environment["PATH"]), *argv[1:]),
            environment=environment,
            stdin=stdin.encode("utf-8", "surrogateescape"),
        )


def _replacing(places: dict[str, str]) -> Callable[[str], str]:
    """A function that puts real paths into a text, where inner ones stand as words."""
    inner = re.compile(r"(?<![\w/.~-])(" + "|".join(map(re.escape, places)) + r")(?![\w.~-])")
    return lambda text: inner.sub(lambda match: places[match[1]], text)


def _located(program: str, work: Path, path: str) -> str:
    found = str(work / program) if "/" in program else program
    if program in ("python", "python3"):
        return sys.executable
    place = shutil.which(found, path=path)
    if place is None:
        raise ToolError(f"there is no program {program!r} that could be run")
    return place


def _run(job: Job, folder: int, token: CancelToken) -> JobResult:
    with ExitStack() as stack:
        program = stack.enter_context(_held(job, Growth(folder)))
        if sys.platform == "linux":
            confine(program.process.pid, job.limits, processes=None)
            first_to_go(program.process.pid)
        program.release()
        ending = watch(program, job.limits, token)
    code = program.process.returncode
    stopped = ending.stopped or ENDED_BY.get(code, "")
    return JobResult(code, ending.stdout, ending.stderr, ending.seconds, stopped)


@dataclass(slots=True)
class _Bare:
    """See `watch.Program`.  `ended` is a pipe that is closed when the first process has ended."""

    process: subprocess.Popen[bytes]
    ended: int
    growth: Growth
    proc: int | None

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
        os.kill(self.process.pid, signal.SIGCONT)

    def use(self, limits: Limits, *, last: bool = False) -> Use:
        """See `watch.Program.use`.  Where there is no /proc, it is the disk only."""
        if self.proc is None:
            disk = self.growth.now(None, exactly=last)
            return Use(disk=disk.bytes, files=disk.entries, deep=disk.deep)
        members = family(self.process.pid)
        processes = Processes(self.proc, lambda: members)
        disk = self.growth.now(processes, exactly=last)
        return Use(
            cpu=processes.cpu(),
            memory=processes.memory(0, limits.memory),
            processes=processes.count(),
            disk=disk.bytes,
            files=disk.entries,
            deep=disk.deep,
        )

    def kill(self) -> None:
        """See `watch.Program.kill`."""
        for member in family(self.process.pid):
            with suppress(ProcessLookupError, PermissionError):
                os.kill(int(member), signal.SIGKILL)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)


@contextmanager
def _held(job: Job, growth: Growth) -> Iterator[_Bare]:
    """The program, stopped before it begins.  Afterwards it has been killed, with its family."""
    with ExitStack() as stack:
        stdin = stack.enter_context(tempfile.TemporaryFile())
        stdin.write(job.stdin)
        stdin.seek(0)
        process = stack.enter_context(
            subprocess.Popen(  # noqa: S603 (a program of others is what we are here for)
                ["/bin/sh", "-c", WAIT, "sh", *job.argv],
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                cwd=job.work,
                env=dict(job.environment),
                start_new_session=True,
            )
        )
        with ExitStack() as failed:
            failed.callback(process.kill)  # it stops itself, and Popen would wait for its end
            proc = None
            if PROC.is_dir():
                proc = os.open(PROC, os.O_RDONLY | os.O_DIRECTORY)
                stack.callback(os.close, proc)
            ended, ending = os.pipe()
            stack.callback(os.close, ended)
            failed.callback(os.close, ending)
            os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
            waiter = threading.Thread(target=_wait, args=(process, ending), name="agentkit-waiter")
            waiter.start()
            failed.pop_all()
        bare = _Bare(process, ended, growth, proc)
        try:
            yield bare
        finally:
            bare.kill()
            waiter.join()


def _wait(process: subprocess.Popen[bytes], ending: int) -> None:
    process.wait()
    os.close(ending)


def family(pid: int) -> list[str]:
    """A process and what came of it: its descendants, and the session that it leads."""
    members = {str(pid)}
    parents, sessions = {}, {}
    for place in PROC.glob("[0-9]*/stat") if PROC.is_dir() else ():
        with suppress(OSError):
            fields = place.read_bytes().rpartition(b")")[2].split()
            parents[place.parent.name] = fields[1].decode()
            sessions[place.parent.name] = fields[3].decode()
    members |= {one for one, session in sessions.items() if session == str(pid)}
    while more := {one for one, parent in parents.items() if parent in members} - members:
        members |= more
    return sorted(members)
