"""System calls that a script has no business with, refused by a seccomp filter.

What is listed is refused, the rest is allowed: a list of what programs need would be longer than
any that we could keep right.  The kernel has refused most of these already, to a program without
capabilities in namespaces of its own; the filter takes away the code behind them, where its faults
are found.  A call that is newer than this list does not exist (`ENOSYS`), so that nothing that a
later kernel brings slips through.

libseccomp turns the list into a filter (through `pyseccomp`); other ABIs of the same processor
(32 bits, x32) end the program.
"""

from __future__ import annotations

import errno
import socket
import stat
import tempfile
from functools import cache
from typing import Any

NEWEST = 469
"""The last call that was looked at (`file_setattr`, Linux 6.17)."""
BEYOND = 512
"""Where the numbers of x86_64 go on with something else."""

FORBIDDEN = """
    mount umount umount2 pivot_root chroot mount_setattr open_tree open_tree_attr move_mount
    fsopen fsconfig fsmount fspick statmount listmount
    unshare setns
    ptrace process_vm_readv process_vm_writev process_madvise kcmp pidfd_getfd
    add_key request_key keyctl
    bpf perf_event_open userfaultfd lookup_dcookie
    init_module finit_module delete_module create_module query_module get_kernel_syms
    kexec_load kexec_file_load reboot swapon swapoff acct quotactl quotactl_fd syslog
    name_to_handle_at open_by_handle_at fanotify_init
    settimeofday stime clock_settime clock_adjtime adjtimex
    sethostname setdomainname vhangup iopl ioperm modify_ldt
    uselib ustat sysfs _sysctl nfsservctl
""".split()
"""Answered with `EPERM`."""

ABSENT = """
    clone3 openat2
    io_uring_setup io_uring_enter io_uring_register
    memfd_create memfd_secret
    shmget shmat shmctl shmdt msgget msgsnd msgrcv msgctl semget semop semctl semtimedop
""".split()
"""Answered with `ENOSYS`, as by an older kernel, for which programs have another way.

`clone3` and `openat2` keep their arguments where a filter cannot look; io_uring does anything
without a call.  The others hold memory that belongs to no process and would not be counted.
"""

NUMBERS = {
    "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "open_tree": 428,
    "move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432, "fspick": 433,
    "clone3": 435, "openat2": 437, "pidfd_getfd": 438, "process_madvise": 440,
    "mount_setattr": 442, "quotactl_fd": 443, "memfd_secret": 447, "fchmodat2": 452,
    "statmount": 457, "listmount": 458, "open_tree_attr": 467,
}  # fmt: skip
"""What an older libseccomp has no names for; from 424 on, all processors number alike."""

NEW_NAMESPACES = {
    "NEWNS": 0x00020000, "NEWCGROUP": 0x02000000, "NEWUTS": 0x04000000, "NEWIPC": 0x08000000,
    "NEWUSER": 0x10000000, "NEWPID": 0x20000000, "NEWNET": 0x40000000,
}  # fmt: skip
"""Flags of `clone`."""

TERMINAL_INPUT = {"TIOCSTI": 0x5412, "TIOCLINUX": 0x541C}
"""Requests of `ioctl` that type into a terminal."""

MODES = {
    "chmod": 1, "fchmod": 1, "fchmodat": 2, "fchmodat2": 2, "creat": 1, "mknod": 1, "mknodat": 2,
}  # fmt: skip
"""Calls that set the mode of a file, and which argument it is."""

OPENS = {"open": (1, 2), "openat": (2, 3)}
"""Calls that may make a file: the arguments that are flags and mode."""
MAKES_A_FILE = {"O_CREAT": 0o100, "__O_TMPFILE": 0o20_000_000}
"""Flags without which the mode is not looked at, and may be anything."""

CORE_LIMIT = {"setrlimit": (0, 1), "prlimit64": (1, 2)}
"""Calls that set limits: the arguments that are the limit and its new value."""
RLIMIT_CORE = 4

WORD = 0xFFFF_FFFF
"""The kernel looks at the lower half of these arguments only."""


@cache
def program() -> bytes:
    """The filter for this processor, as the kernel takes it.

    Raises `ImportError` without pyseccomp, `RuntimeError` without libseccomp.
    """
    seccomp = _library()
    rules = seccomp.SyscallFilter(seccomp.ALLOW)
    rules.set_attr(seccomp.Attr.ACT_BADARCH, seccomp.KILL_PROCESS)
    refuse(rules)
    with tempfile.TemporaryFile() as file:
        rules.export_bpf(file)
        file.seek(0)
        return file.read()


def refuse(rules: Any) -> None:
    """Add all that is refused to a `pyseccomp.SyscallFilter`."""
    seccomp = _library()
    forbidden, absent = seccomp.ERRNO(errno.EPERM), seccomp.ERRNO(errno.ENOSYS)
    for name in FORBIDDEN:
        rules.add_rule(forbidden, _number(name))
    for name in ABSENT:
        rules.add_rule(absent, _number(name))
    for number in range(NEWEST + 1, BEYOND):
        rules.add_rule(absent, number)
    for flag in NEW_NAMESPACES.values():
        rules.add_rule(forbidden, _number("clone"), _has(0, flag))
    for name, argument in MODES.items():
        for bit in (stat.S_ISUID, stat.S_ISGID):
            rules.add_rule(forbidden, _number(name), _has(argument, bit))
    for name, (flags, mode) in OPENS.items():
        for bit in (stat.S_ISUID, stat.S_ISGID):
            for flag in MAKES_A_FILE.values():
                rules.add_rule(forbidden, _number(name), _has(flags, flag), _has(mode, bit))
    for request in TERMINAL_INPUT.values():
        same = seccomp.Arg(1, seccomp.MASKED_EQ, WORD, request)
        rules.add_rule(forbidden, _number("ioctl"), same)
    rules.add_rule(forbidden, _number("personality"), seccomp.Arg(0, seccomp.NE, 0))
    for name, (limit, value) in CORE_LIMIT.items():  # done, it is said: see rlimits.NO_CORE
        core = seccomp.Arg(limit, seccomp.MASKED_EQ, WORD, RLIMIT_CORE)
        rules.add_rule(seccomp.ERRNO(0), _number(name), core, seccomp.Arg(value, seccomp.NE, 0))
    elsewhere = seccomp.Arg(0, seccomp.NE, socket.AF_UNIX)
    for name in ("socket", "socketpair"):
        rules.add_rule(seccomp.ERRNO(errno.EAFNOSUPPORT), _number(name), elsewhere)


def _has(argument: int, bits: int) -> Any:
    return _library().Arg(argument, _library().MASKED_EQ, bits, bits)


def _number(name: str) -> int:
    number = int(_library().resolve_syscall(_library().Arch.NATIVE, name))
    return NUMBERS[name] if number == -1 else number


def _library() -> Any:
    import pyseccomp

    return pyseccomp
