"""What a program finds around it: the system read-only, its work folder, its inputs, and no more.

Of /etc only what programs cannot do without is there; homes, /root, /var, /run, /sys and whatever
else the host has do not exist.  What can be written to, besides the work folder, is memory, and has
a size.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

from agentkit.errors import ToolError, did_you_mean
from agentkit.jobs import INPUTS, WORK, Job
from agentkit.sandbox.interpreter import Interpreter
from agentkit.sandbox.sealed import sealed

SYSTEM = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
"""Beside /usr; links into it on most systems."""

SETTINGS = ("/etc/ld.so.cache", "/etc/alternatives")
"""The dynamic linker's list, and what the links of /usr/bin lead to."""

LOCALTIME = Path("/etc/localtime")

USERS = "root:x:0:0::/:/sbin/nologin\nuser:x:{0}:{0}::{1}:/bin/sh\n"
GROUPS = "root:x:0:\nuser:x:{0}:\n"

PROGRAMS = ("/usr/local/bin", "/usr/bin", "/bin")

IN_MEMORY = ("/tmp", "/dev/shm")  # noqa: S108 (inside the sandbox)
"""Folders that lie in memory.  Each holds at most half of a job's memory."""

NAMESPACES = ("--unshare-net", "--unshare-pid", "--unshare-ipc", "--unshare-uts",
              "--unshare-cgroup", "--hostname", "sandbox")  # fmt: skip


def options(
    job: Job,
    inputs: Mapping[str, Path],
    work: Path,
    python: Interpreter,
    number: int,
    files: ExitStack,
) -> tuple[list[str], list[int]]:
    """Options of bubblewrap, and the descriptors they name, which `files` will close.

    `inputs` are those of the job, as the program can read them; `number` is who it is.
    """
    users = files.enter_context(sealed(USERS.format(number, WORK).encode()))
    groups = files.enter_context(sealed(GROUPS.format(number).encode()))
    made = [*NAMESPACES, "--proc", "/proc", "--dev", "/dev"]
    for folder in IN_MEMORY:
        size = str(max(1, job.limits.memory // 2))
        made += ["--perms", "1777", "--size", size, "--tmpfs", folder]
    made += [*_folders(python), *_system()]
    made += ["--perms", "0444", "--file", str(users), "/etc/passwd"]
    made += ["--perms", "0444", "--file", str(groups), "/etc/group"]
    for inside, outside in python.shown.items():
        made += ["--ro-bind", str(outside), str(inside)]
    for link, target in python.links.items():
        made += ["--symlink", str(target), str(link)]
    for name, path in inputs.items():
        made += ["--ro-bind", str(path), f"{INPUTS}/{name}"]
    made += ["--bind", str(work), WORK, "--remount-ro", "/dev", "--remount-ro", "/"]
    return made, [users, groups]


def _folders(python: Interpreter) -> Iterator[str]:
    """What other things lie in.  Left to itself, bubblewrap closes some of them to all but root."""
    inside = [*python.shown, *python.links]
    parents = {parent for path in inside for parent in path.parents} - {Path("/")}
    for folder in sorted({Path("/etc"), Path(INPUTS)} | parents - set(map(Path, IN_MEMORY))):
        yield from ("--perms", "0755", "--dir", str(folder))


def _system() -> Iterator[str]:
    yield from ("--ro-bind", "/usr", "/usr")
    for name in SYSTEM:
        path = Path("/", name)
        if path.is_symlink():
            yield from ("--symlink", str(path.readlink()), str(path))
        elif path.is_dir():
            yield from ("--ro-bind", str(path), str(path))
    for setting in SETTINGS:
        yield from ("--ro-bind-try", setting, setting)
    zone = LOCALTIME.resolve()
    if zone.is_relative_to("/usr"):
        yield from ("--symlink", str(zone), str(LOCALTIME))


def environment(job: Job, python: Interpreter) -> dict[str, str]:
    """All that the program has in its environment."""
    path = dict.fromkeys((str(python.folder), *PROGRAMS))
    return {
        "PATH": ":".join(path),
        "HOME": WORK,
        "LANG": "C.UTF-8",
        "TMPDIR": IN_MEMORY[0],
        **job.environment,
    }


def locate(job: Job, work: Path, python: Interpreter) -> str:
    """The program of a job, as a path inside.  Raises `ToolError` if there is none."""
    program = job.argv[0]
    if "/" not in program:
        return _on_path(program, python)
    inside = os.path.normpath(os.path.join(WORK, program))  # noqa: PTH118
    outside = _outside(inside, job, work, python)
    if outside is None or not os.path.lexists(outside):
        raise ToolError(f"there is no program {program!r} in the sandbox")
    if outside.is_symlink():
        return inside  # it leads somewhere inside
    if not stat.S_ISREG(outside.stat().st_mode):
        raise ToolError(f"{program!r} is a folder, not a program")
    if not outside.stat().st_mode & 0o111:
        raise ToolError(
            f"{program!r} cannot be executed: chmod +x, or run it with an interpreter (python3, sh)"
        )
    return inside


def _on_path(program: str, python: Interpreter) -> str:
    own = {path.name: str(path) for path in (*python.links, *python.shown)
           if path.parent == python.folder}  # fmt: skip
    if program in own:
        return own[program]
    for folder in PROGRAMS:
        if os.access(f"{folder}/{program}", os.X_OK):
            return f"{folder}/{program}"
    known = {*own, *(path.name for path in Path("/usr/bin").iterdir())}
    raise ToolError(
        f"there is no program {program!r} in the sandbox.{did_you_mean(program, known)}"
    )


def _outside(inside: str, job: Job, work: Path, python: Interpreter) -> Path | None:
    """Where a path leads to on the host; None for what is not shown."""
    path = Path(inside)
    places = {Path(WORK): work, Path("/usr"): Path("/usr")}
    places |= {Path(INPUTS, name): Path(place) for name, place in job.inputs.items()}
    places |= {Path("/", name): Path("/", name) for name in SYSTEM}
    places |= {
        **python.shown,
        **{link: python.shown.get(to, to) for link, to in python.links.items()},
    }
    for place, outside in places.items():
        if path.is_relative_to(place):
            return outside / path.relative_to(place)
    return None
