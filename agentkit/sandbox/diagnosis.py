"""Why programs cannot be kept apart on this machine, and the command that changes that."""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from agentkit.errors import MachineError
from agentkit.sandbox.rlimits import kernel

PROCESSORS = ("x86_64", "aarch64")
"""The ones whose system calls were looked at."""

OLDEST = (5, 3)
"""The kernel that first let us wait for a process that is not our child."""

WITHOUT = "or run such code with your own rights: `sandbox: none` in settings"

IN_A_CONTAINER = (
    "start the container with --cap-add SYS_ADMIN --cap-add NET_ADMIN --cap-add SYS_PTRACE "
    f"--security-opt apparmor=unconfined --security-opt seccomp=unconfined; {WITHOUT}"
)

PACKAGES = {
    "apt-get install": {"debian", "ubuntu"},
    "dnf install": {"fedora", "rhel", "centos"},
    "pacman -S": {"arch"},
    "zypper install": {"suse", "opensuse"},
    "apk add": {"alpine"},
}
"""How each family of systems installs a package."""

OTHER_NAMES = {
    ("libseccomp", "apt-get install"): "libseccomp2",
    ("libseccomp", "zypper install"): "libseccomp2",
}

PROFILE = Path("/etc/apparmor.d/bwrap")

APPARMOR = (
    "printf 'abi <abi/4.0>,\\nprofile bwrap /usr/bin/bwrap flags=(unconfined) { userns, }\\n'"
    f" | sudo tee {PROFILE} && sudo apparmor_parser -r {PROFILE}"
)
"""Allows user namespaces to bubblewrap, and to nothing else."""

SWITCHES_FOLDER = Path("/proc/sys")
SWITCHES = {
    "kernel/apparmor_restrict_unprivileged_userns": ("1", APPARMOR),
    "kernel/unprivileged_userns_clone": ("0", "sudo sysctl -w kernel.unprivileged_userns_clone=1"),
    "user/max_user_namespaces": ("0", "sudo sysctl -w user.max_user_namespaces=15000"),
}
"""Settings of the kernel: with this value, an ordinary user can have no namespaces; what helps."""


def install(package: str, release: Path = Path("/etc/os-release")) -> str:
    """The command that installs a package of the system."""
    text = release.read_text(encoding="utf-8") if release.exists() else ""
    words = set(re.findall(r"[\w.-]+", " ".join(re.findall(r"^ID(?:_LIKE)?=(.*)$", text, re.M))))
    words |= {word.split("-")[0] for word in words}  # opensuse-leap
    sudo = "" if os.geteuid() == 0 else "sudo "
    for command, families in PACKAGES.items():
        if families & words:
            return f"{sudo}{command} {OTHER_NAMES.get((package, command), package)}"
    return f"install {package} with the package manager of your system"


def unsupported() -> MachineError | None:
    """What no command can mend: another system, another processor."""
    if sys.platform != "linux":
        return MachineError(
            f"programs are kept apart by Linux only, and this is {platform.system()}", hint=WITHOUT
        )
    if kernel() < OLDEST:
        needed = ".".join(map(str, OLDEST))
        return MachineError(
            f"the sandbox needs Linux {needed}, and this is {platform.release()}", hint=WITHOUT
        )
    if platform.machine() not in PROCESSORS:
        return MachineError(
            f"the sandbox knows the system calls of {' and '.join(PROCESSORS)} only, and this is "
            f"{platform.machine()}",
            hint=WITHOUT,
        )
    return None


def no_bubblewrap() -> MachineError:
    """bwrap is not on the PATH."""
    return MachineError(
        "bubblewrap, which keeps programs apart, is not installed",
        hint=f"{install('bubblewrap')}; {WITHOUT}",
    )


def no_seccomp() -> MachineError:
    """libseccomp, or the package that binds it, cannot be loaded."""
    return MachineError(
        "libseccomp, which refuses dangerous system calls, cannot be loaded",
        hint=f"{install('libseccomp')}; {WITHOUT}",
    )


def refused(said: str) -> MachineError:
    """Bubblewrap could not build the sandbox, and said why."""
    said = said.strip().splitlines()[-1].removeprefix("bwrap: ") if said.strip() else "no word why"
    hints = _hints(said)
    return MachineError(
        f"bubblewrap cannot keep programs apart here: {said}",
        hint=next(hints, f"agentkit doctor; {WITHOUT}"),
    )


def _hints(said: str) -> Iterator[str]:
    if "Unknown option" in said:
        yield f"a newer bubblewrap is needed, 0.7 at least; {WITHOUT}"
    if os.geteuid() != 0:
        for name, (value, command) in SWITCHES.items():
            switch = SWITCHES_FOLDER / name
            if switch.exists() and switch.read_text(encoding="ascii").strip() == value:
                yield f"{command}; {WITHOUT}"
    if in_container():
        yield IN_A_CONTAINER


def in_container() -> bool:
    """Whether somebody put us into one."""
    marks = (Path("/.dockerenv"), Path("/run/.containerenv"), Path("/run/systemd/container"))
    return any(mark.exists() for mark in marks) or "container" in os.environ
