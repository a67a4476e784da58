"""The sandbox: a program in namespaces of its own, built by bubblewrap.

How it comes to run: bubblewrap builds the view and then waits, while limits are set on its first
process from outside; only then does the program begin, with the filter of system calls on it.  With
that first process all others end: the kernel takes everything in its process namespace along, so
that nothing is left that could meddle with the work folder while it is cleaned up.
"""

from __future__ import annotations

import os
import shutil
import signal
from contextlib import ExitStack
from dataclasses import replace

from agentkit.cancel import CancelToken
from agentkit.errors import Cancelled
from agentkit.jobs import Apart, Job, JobResult
from agentkit.sandbox import syscalls, view
from agentkit.sandbox.apart import CannotCopyError, copied
from agentkit.sandbox.cgroup import group
from agentkit.sandbox.checks import checked
from agentkit.sandbox.diagnosis import no_bubblewrap, no_seccomp, unsupported
from agentkit.sandbox.identity import Identity, identity
from agentkit.sandbox.interpreter import interpreter
from agentkit.sandbox.ownership import handed_over, readable
from agentkit.sandbox.process import held
from agentkit.sandbox.rlimits import ENDED_BY, confine, first_to_go
from agentkit.sandbox.sealed import sealed
from agentkit.sandbox.watch import watch
from agentkit.sandbox.work import Left, WorkFolder, lent


class BubblewrapSandbox:
    """See `ports.Sandbox`.  Holds nothing between two runs."""

    def run(self, job: Job, cancel: CancelToken | None = None) -> JobResult:
        """See `ports.Sandbox.run`."""
        job = checked(job)
        means, token = _means(), cancel or CancelToken()
        try:
            if job.apart is None:
                return _in_turn(means, job, token)[0]
            return _apart(means, job, job.apart, token)
        except Cancelled:
            return JobResult(-signal.SIGKILL, b"", b"", 0.0, "cancelled")


def _in_turn(means: Means, job: Job, token: CancelToken) -> tuple[JobResult, Left]:
    """In the work folder itself, which nobody else works in meanwhile."""
    with ExitStack() as stack:
        work = stack.enter_context(lent(job.work, token))
        who = stack.enter_context(identity())
        stack.enter_context(handed_over(work.descriptor, work.path, who.owner))
        before = work.contents()
        try:
            result = _run(*means, job, work, who, token)
        finally:
            left = work.settle(before)
    return replace(result, changed=left.changed, removed=left.removed), left


def _apart(means: Means, job: Job, apart: Apart, token: CancelToken) -> JobResult:
    """In a copy of the work folder, if there can be one."""
    with ExitStack() as stack:
        try:
            copy = stack.enter_context(copied(job.work, apart.place, token))
        except CannotCopyError as why:
            result, left = _in_turn(means, job, token)
            apart.changed.update(dict.fromkeys(left.touched, apart.name))
            return replace(result, alone=str(why))
        result, left = _in_turn(means, replace(job, work=copy.path), token)
        conflicts = copy.bring_back(left, apart, token)
        return replace(result, conflicts=conflicts, changed=() if conflicts else result.changed)


Means = tuple[str, bytes]


def _means() -> Means:
    """Bubblewrap and the filter of system calls.  Raises `MachineError` without them."""
    if fault := unsupported():
        raise fault
    bwrap = shutil.which("bwrap")
    if bwrap is None:
        raise no_bubblewrap()
    try:
        return bwrap, syscalls.program()
    except (ImportError, RuntimeError, OSError):
        raise no_seccomp() from None


def _run(
    bwrap: str, filters: bytes, job: Job, work: WorkFolder, who: Identity, token: CancelToken
) -> JobResult:
    """What came of a job, but for the files."""
    python = interpreter()
    program = view.locate(job, work.path, python)
    becoming, command = who.start((program, *job.argv[1:]), view.environment(job, python))
    with ExitStack() as stack:
        inputs = stack.enter_context(readable(job.inputs, who.owner))
        options, passed = view.options(job, inputs, work.path, python, who.number, stack)
        calls = stack.enter_context(sealed(filters))
        options += [*becoming, "--seccomp", str(calls)]
        sandboxed = stack.enter_context(
            held(bwrap, options, [*passed, calls], command, job.stdin, work.descriptor)
        )
        together = stack.enter_context(group(job.limits, sandboxed.pid))
        confine(sandboxed.pid, job.limits, processes=who.processes(job.limits.processes))
        first_to_go(sandboxed.pid)
        if who.owner is not None:  # or it could not open /dev/stdout
            for pipe in (sandboxed.stdout, sandboxed.stderr):
                os.fchown(pipe, who.owner, who.owner)
        sandboxed.release()
        ending = watch(sandboxed, job.limits, token)
        exit_code = sandboxed.exit_code(job.argv[0], ending)
        starved = together is not None and together.ran_out_of_memory()
    stopped = ending.stopped or ("memory" if starved else ENDED_BY.get(exit_code, ""))
    return JobResult(exit_code, ending.stdout, ending.stderr, ending.seconds, stopped)
