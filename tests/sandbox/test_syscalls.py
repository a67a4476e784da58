"""The filter itself, run like the kernel runs it: also for the processor that we are not on."""

from __future__ import annotations

import errno
import os
import socket
import struct
import tempfile
from collections.abc import Callable
from typing import Any

import pyseccomp
import pytest

from agentkit.sandbox import syscalls

ALLOWED = pyseccomp.ALLOW
KILLED = pyseccomp.KILL_PROCESS
REFUSED = pyseccomp.ERRNO(errno.EPERM)
ABSENT = pyseccomp.ERRNO(errno.ENOSYS)
NO_FAMILY = pyseccomp.ERRNO(errno.EAFNOSUPPORT)

X32 = 0x4000_0000


class Tolerant:
    """A filter for another processor: libseccomp translates only calls whose names it knows."""

    def __init__(self, architecture: int) -> None:
        self.rules = pyseccomp.SyscallFilter(ALLOWED)
        self.rules.set_attr(pyseccomp.Attr.ACT_BADARCH, KILLED)
        if architecture != pyseccomp.system_arch():
            self.rules.add_arch(architecture)
            self.rules.remove_arch(pyseccomp.Arch.NATIVE)

    def add_rule(self, action: int, number: int, *arguments: Any) -> None:
        try:
            self.rules.add_rule(action, number, *arguments)
        except OSError as error:
            if error.errno != errno.EFAULT:
                raise

    def compiled(self) -> bytes:
        with tempfile.TemporaryFile() as file:
            self.rules.export_bpf(file)
            file.seek(0)
            return file.read()


def verdict(program: bytes, architecture: int, number: int, arguments: tuple[int, ...]) -> int:
    """What a classic BPF program returns for a call: the instructions that libseccomp uses."""
    words = [word & 0xFFFF_FFFF_FFFF_FFFF for word in (*arguments, *[0] * (6 - len(arguments)))]
    data = struct.pack("<IIQ6Q", number & 0xFFFF_FFFF, architecture, 0, *words)
    code = list(struct.iter_unpack("<HBBI", program))
    tests: dict[int, Callable[[int, int], bool]] = {
        0x15: lambda a, k: a == k,
        0x25: lambda a, k: a > k,
        0x35: lambda a, k: a >= k,
        0x45: lambda a, k: bool(a & k),
    }
    place = accumulator = 0
    while True:
        operation, yes, no, value = code[place]
        place += 1
        if operation == 0x20:
            (accumulator,) = struct.unpack_from("<I", data, value)
        elif operation == 0x54:
            accumulator &= value
        elif operation == 0x05:
            place += value
        elif operation == 0x06:
            return int(value)
        else:
            place += yes if tests[operation](accumulator, value) else no


ARCHITECTURES = {"x86_64": pyseccomp.Arch.X86_64, "aarch64": pyseccomp.Arch.AARCH64}


@pytest.fixture(params=ARCHITECTURES, scope="module")
def ask(request: pytest.FixtureRequest) -> Callable[..., int]:
    architecture = ARCHITECTURES[request.param]
    if architecture == pyseccomp.system_arch():
        program = syscalls.program()
    else:
        rules = Tolerant(architecture)
        syscalls.refuse(rules)
        program = rules.compiled()

    def ask(name: str | int, *arguments: int, arch: int = architecture) -> int:
        number = name
        if isinstance(name, str):
            number = pyseccomp.resolve_syscall(architecture, name)
            if number < 0:
                number = syscalls.NUMBERS.get(name, number)
            if number < 0:
                pytest.fail(f"{request.param} has no call {name}")
        return verdict(program, arch, int(number), arguments)

    return ask


EVERYWHERE = [
    "mount", "umount2", "pivot_root", "chroot", "unshare", "setns", "ptrace", "process_vm_readv",
    "process_vm_writev", "keyctl", "add_key", "request_key", "bpf", "perf_event_open",
    "userfaultfd", "kexec_load", "init_module", "finit_module", "delete_module", "reboot", "swapon",
    "acct", "quotactl", "open_by_handle_at", "name_to_handle_at", "open_tree", "move_mount",
    "fsopen", "fsconfig", "fsmount", "fspick", "mount_setattr", "pidfd_getfd", "syslog",
]  # fmt: skip


@pytest.mark.parametrize("name", EVERYWHERE)
def test_it_is_forbidden(ask: Callable[..., int], name: str) -> None:
    assert ask(name) == ask(name, *[2**64 - 1] * 6) == REFUSED


@pytest.mark.parametrize(
    "name",
    ["clone3", "openat2", "io_uring_setup", "io_uring_enter", "io_uring_register", "memfd_create",
     "shmget", "msgget", "semget"],
)  # fmt: skip
def test_it_does_not_exist(ask: Callable[..., int], name: str) -> None:
    assert ask(name) == ABSENT


@pytest.mark.parametrize(
    "name",
    ["read", "write", "execve", "mmap", "futex", "wait4", "kill", "prctl", "pipe2", "sendmsg",
     "connect", "bind", "setresuid", "setgroups", "capset", "statx", "renameat2", "pidfd_open"],
)  # fmt: skip
def test_what_programs_need_is_allowed(ask: Callable[..., int], name: str) -> None:
    assert ask(name) == ALLOWED


def test_new_namespaces_are_forbidden_and_threads_are_not(ask: Callable[..., int]) -> None:
    thread = 0x003D_0F00
    fork = 0x0120_0011

    assert ask("clone", thread) == ask("clone", fork) == ALLOWED
    for flag in syscalls.NEW_NAMESPACES.values():
        assert ask("clone", fork | flag) == ask("clone", (1 << 40) | thread | flag) == REFUSED


@pytest.mark.parametrize("name", ["socket", "socketpair"])
def test_sockets_are_of_one_family(ask: Callable[..., int], name: str) -> None:
    assert ask(name, socket.AF_UNIX, socket.SOCK_STREAM) == ALLOWED
    for family in range(64):
        if family != socket.AF_UNIX:
            assert ask(name, family, socket.SOCK_STREAM) == NO_FAMILY
    assert ask(name, (1 << 32) | socket.AF_INET) == NO_FAMILY


def test_nobody_types_into_a_terminal(ask: Callable[..., int]) -> None:
    for request in syscalls.TERMINAL_INPUT.values():
        assert ask("ioctl", 0, request) == ask("ioctl", 0, (7 << 32) | request) == REFUSED
    assert ask("ioctl", 0, 0x5401) == ALLOWED


def test_no_file_may_lend_its_owners_rights(ask: Callable[..., int]) -> None:
    for bit in (0o4000, 0o2000):
        assert ask("fchmod", 3, 0o755 | bit) == REFUSED
        assert ask("fchmodat", 3, 0, 0o755 | bit) == REFUSED
        assert ask("fchmodat2", 3, 0, 0o755 | bit, 0) in (REFUSED, ALLOWED)
        assert ask("mknodat", 3, 0, 0o100755 | bit) == REFUSED
        assert ask("openat", 3, 0, os.O_CREAT | os.O_WRONLY, 0o755 | bit) == REFUSED
        assert ask("openat", 3, 0, os.O_TMPFILE | os.O_WRONLY, 0o755 | bit) == REFUSED
        assert ask("openat", 3, 0, os.O_RDONLY, 0o755 | bit) == ALLOWED  # no mode is looked at
    assert ask("fchmod", 3, 0o1777) == ask("openat", 3, 0, os.O_CREAT, 0o666) == ALLOWED


def test_a_personality_is_the_usual_one(ask: Callable[..., int]) -> None:
    assert ask("personality", 0) == ALLOWED
    assert ask("personality", 0x0040000) == ask("personality", 8) == REFUSED


def test_the_limit_on_core_dumps_stays_as_it_is(ask: Callable[..., int]) -> None:
    done = pyseccomp.ERRNO(0)

    assert ask("prlimit64", 0, 4, 0x1234, 0) == ask("setrlimit", 4, 0x1234) == done
    assert ask("prlimit64", 0, 4, 0, 0x1234) == ask("prlimit64", 0, 7, 0x1234, 0) == ALLOWED


def test_calls_that_nobody_has_looked_at_do_not_exist() -> None:
    for number in (syscalls.NEWEST + 1, 480, syscalls.BEYOND - 1):
        assert verdict(syscalls.program(), pyseccomp.system_arch(), number, ()) == ABSENT


def test_other_kinds_of_programs_are_ended(ask: Callable[..., int]) -> None:
    for other in (pyseccomp.Arch.X86, pyseccomp.Arch.ARM, pyseccomp.Arch.MIPS64):
        assert ask(20, arch=other) == KILLED


def test_x32_is_another_kind_of_program() -> None:
    if pyseccomp.system_arch() == pyseccomp.Arch.X86_64:
        program = syscalls.program()
    else:
        rules = Tolerant(pyseccomp.Arch.X86_64)
        syscalls.refuse(rules)
        program = rules.compiled()

    assert verdict(program, pyseccomp.Arch.X86_64, X32 | 39, ()) == KILLED


def test_the_numbers_are_those_of_libseccomp_where_it_knows_them() -> None:
    for name, number in syscalls.NUMBERS.items():
        for architecture in ARCHITECTURES.values():
            assert pyseccomp.resolve_syscall(architecture, name) in (number, -1)


def test_nothing_is_listed_twice() -> None:
    listed = [*syscalls.FORBIDDEN, *syscalls.ABSENT]

    assert len(listed) == len(set(listed))
