"""Who a program is: never root, not even root without its rights.

An ordinary user's program runs in a user namespace, as somebody without capabilities.  A namespace
of root's would map to the kernel's uid 0, which owns the system's files and is not held to a number
of processes.  So root's program is started without one and becomes a user that exists nowhere else:
a number for each running program, so that none can touch another's.  Files are handed to it (see
`ownership`), and its environment is put back only when all rights are gone: until then, a variable
like LD_PRELOAD would be code that runs with them.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from agentkit.errors import MachineError
from agentkit.jobs import WORK
from agentkit.sandbox.diagnosis import IN_A_CONTAINER, install
from agentkit.sandbox.rlimits import counts_by_namespace

NUMBERS = (range(2_100_000_000, 2_100_001_000), range(64_000, 65_000))
"""Users that nobody has: beyond what is given to people and containers, or in one of 65,536."""

ORDINARY = 1000
"""What an ordinary user's program thinks it is."""

CAP_SYS_ADMIN = 21

RESTORER = "agentkit-sandbox"
"""What the shell that gives the environment back calls itself in its complaints."""


class Identity(Protocol):
    """The user and group of a program, as numbers inside."""

    @property
    def number(self) -> int:
        """User and group alike."""

    @property
    def owner(self) -> int | None:
        """The user and group to hand files to; None if it is ourselves."""

    def processes(self, wanted: int) -> int | None:
        """The limit on this user's processes that leaves so many to the program; None if there is
        no such limit."""

    def start(
        self, argv: Sequence[str], environment: Mapping[str, str]
    ) -> tuple[list[str], list[str]]:
        """Options of bubblewrap and the command that becomes this user and runs the program."""


@dataclass(frozen=True, slots=True)
class Mapped:
    """Ourselves, under another number, in a user namespace."""

    number: int = ORDINARY
    owner: None = None

    def processes(self, wanted: int) -> int | None:
        """See `Identity.processes`.  Bubblewrap's own counts; on old kernels, all of ours do."""
        return wanted + 1 if counts_by_namespace() else None

    def start(
        self, argv: Sequence[str], environment: Mapping[str, str]
    ) -> tuple[list[str], list[str]]:
        """See `Identity.start`."""
        options = ["--unshare-user", "--uid", str(self.number), "--gid", str(self.number)]
        options += ["--cap-drop", "ALL", "--chdir", WORK]
        return [*options, *_set(environment)], [*argv]


@dataclass(frozen=True, slots=True)
class Leased:
    """A user of its own, for as long as the program runs."""

    number: int
    setpriv: str

    @property
    def owner(self) -> int:
        """See `Identity.owner`."""
        return self.number

    def processes(self, wanted: int) -> int:
        """See `Identity.processes`."""
        return wanted

    def start(
        self, argv: Sequence[str], environment: Mapping[str, str]
    ) -> tuple[list[str], list[str]]:
        """See `Identity.start`."""
        options = ["--cap-drop", "ALL", "--chdir", "/"]
        for capability in ("CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP"):
            options += ["--cap-add", capability]
        become = [self.setpriv, f"--reuid={self.number}", f"--regid={self.number}"]
        become += ["--clear-groups", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"]
        hidden, restore = _hide(environment)
        return [*options, *_set(hidden)], [*become, "--", *restore, *argv]


@contextmanager
def identity() -> Iterator[Identity]:
    """Who a program may be, while the block runs.

    Raises `MachineError` where we are root and cannot become anybody else.
    """
    if os.geteuid() != 0:
        yield Mapped()
        return
    numbers = _usable()
    if not numbers and not _is_root_outside():
        yield Mapped()
        return
    if not numbers:
        raise MachineError(
            "this container's root has no rights to keep programs apart with", hint=IN_A_CONTAINER
        )
    setpriv = shutil.which("setpriv", path="/usr/bin:/bin:/usr/sbin:/sbin")
    if setpriv is None:
        raise MachineError("the program setpriv is missing", hint=install("util-linux"))
    with _lease(numbers) as number:
        yield Leased(number, setpriv)


def is_like(number: int, leased: int) -> bool:
    """Whether a file's owner is such a user as this one: somebody whom a crash has left it to."""
    return any(number in numbers and leased in numbers for numbers in NUMBERS)


@contextmanager
def _lease(numbers: Sequence[int]) -> Iterator[int]:
    """A number that no other program on this machine has now.

    The claim is an abstract socket: it is there or not, and goes with its process.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as claim:
        first = random.randrange(len(numbers))  # noqa: S311 (it only has to be another one)
        for number in (*numbers[first:], *numbers[:first]):
            try:
                claim.bind(f"\0agentkit-sandbox-{number}")
            except OSError:
                continue
            yield number
            return
    raise MachineError(f"{len(numbers)} programs run in sandboxes already", hint="try again later")


def _usable() -> Sequence[int]:
    """The numbers that we can become, empty if we have no such rights."""
    capabilities = re.search(r"^CapEff:\s+(\w+)", _read("/proc/self/status"), re.MULTILINE)
    if not capabilities or not int(capabilities[1], 16) >> CAP_SYS_ADMIN & 1:
        return ()
    maps = [_ranges("/proc/self/uid_map"), _ranges("/proc/self/gid_map")]
    for numbers in NUMBERS:
        if all(any(numbers[0] in one and numbers[-1] in one for one in ranges) for ranges in maps):
            return numbers
    return ()


def _is_root_outside() -> bool:
    """Whether our root is the kernel's root: not in a container with users of its own."""
    return [int(word) for word in _read("/proc/self/uid_map").split()[:2]] == [0, 0]


def _ranges(path: str) -> list[range]:
    lines = (line.split() for line in _read(path).splitlines())
    return [range(int(inside), int(inside) + int(count)) for inside, _, count in lines]


def _read(path: str) -> str:
    return Path(path).read_text(encoding="ascii")


def _set(environment: Mapping[str, str]) -> list[str]:
    return [word for pair in environment.items() for word in ("--setenv", *pair)]


def _hide(environment: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """The environment under names that mean nothing, and the command that gives it back.

    The command also goes to the work folder, which nobody but the user may enter.
    """
    prefix = "_" * (1 + max(map(len, environment), default=0))  # longer than any name: no clash
    hidden = {f"{prefix}{count}": name for count, name in enumerate(environment)}
    script = [f"cd {WORK} || exit 126", "unset OLDPWD"]
    script += [f'export {name}="${one}"; unset {one}' for one, name in hidden.items()]
    return (
        {one: environment[name] for one, name in hidden.items()},
        ["/bin/sh", "-c", "; ".join([*script, 'exec "$@"']), RESTORER],
    )
