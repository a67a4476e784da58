"""The kernel's limits of a process, set from outside on one that has not begun yet.

Its children inherit them, and nobody without privileges can raise them.
"""

from __future__ import annotations

import math
import os
import re
import resource
import signal
from contextlib import suppress
from pathlib import Path

from agentkit.jobs import Limits, Stopped

ADDRESSES = 4
"""Address space for each byte of memory: numpy, Go and Node reserve much that they do not use.  It
bounds what one process can take between two looks at it."""

NO_CORE = 1
"""A limit of 0 still starts the system's crash handler, 1 is the kernel's word for not at all.  The
filter of system calls keeps it so."""

ENDED_BY: dict[int, Stopped] = {-signal.SIGXCPU: "cpu", -signal.SIGXFSZ: "disk"}
"""Exit codes of programs that the kernel has ended at such a limit."""

SIGNALS = 1024
"""Signals that may wait: they are memory of the kernel."""


def confine(pid: int, limits: Limits, *, processes: int | None) -> None:
    """Set the limits of a process that waits to begin; one that is no more needs none.

    `processes` is the limit on processes of its user, None where others count as well.
    """
    wanted = {
        resource.RLIMIT_CPU: (math.ceil(limits.cpu), math.ceil(limits.cpu) + 1),
        resource.RLIMIT_AS: (limits.memory * ADDRESSES,) * 2,
        resource.RLIMIT_FSIZE: (limits.file,) * 2,
        resource.RLIMIT_NOFILE: (limits.open_files,) * 2,
        resource.RLIMIT_CORE: (NO_CORE,) * 2,
        resource.RLIMIT_MSGQUEUE: (0, 0),
        resource.RLIMIT_SIGPENDING: (SIGNALS,) * 2,
        resource.RLIMIT_NICE: (0, 0),
        resource.RLIMIT_RTPRIO: (0, 0),
    }
    if processes is not None:
        wanted[resource.RLIMIT_NPROC] = (processes, processes)
    with suppress(ProcessLookupError):
        for limit, (soft, hard) in wanted.items():
            _, most = resource.prlimit(pid, limit)
            if most != resource.RLIM_INFINITY:
                soft, hard = min(soft, most), min(hard, most)
            resource.prlimit(pid, limit, (soft, hard))


def first_to_go(pid: int) -> None:
    """When the machine runs out of memory, this process ends before any other."""
    with suppress(OSError):
        Path(f"/proc/{pid}/oom_score_adj").write_text("1000", encoding="ascii")


def counts_by_namespace() -> bool:
    """Whether the kernel counts a user's processes in each user namespace apart."""
    return kernel() >= (5, 14)


def kernel() -> tuple[int, int]:
    """The version of Linux."""
    major, minor = re.findall(r"\d+", os.uname().release)[:2]
    return int(major), int(minor)
