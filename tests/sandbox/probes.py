"""Attempts to get out of the sandbox, made from inside.  It is told on stdin what there is to get.

Each attempt is made in a process of its own and says what came of it: the name of the error that
it met, or what it got.  No attempt does harm if it succeeds: calls get arguments that mean nothing.
"""
# System calls are what is tried here, not paths.
# ruff: noqa: PTH101, PTH104, PTH108, PTH110, PTH112, PTH123, PTH208, PTH211

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import mmap
import os
import platform
import pty
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

WORLD: dict[str, Any] = {}
"""What there is outside: paths, process ids, ports."""

PROBES: dict[str, Callable[[], object]] = {}

LIBC = ctypes.CDLL(None, use_errno=True)

X86 = platform.machine() == "x86_64"

CALLS = {
    # name: number on x86_64, on aarch64
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51),
    "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430),
    "mount_setattr": (442, 442), "unshare": (272, 97), "setns": (308, 268), "clone3": (435, 435),
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "kcmp": (312, 272), "pidfd_getfd": (438, 438), "process_madvise": (440, 440),
    "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219),
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    "memfd_create": (319, 279), "memfd_secret": (447, 447), "shmget": (29, 194),
    "msgget": (68, 186), "semget": (64, 190), "openat2": (437, 437),
    "init_module": (175, 105), "finit_module": (313, 273), "delete_module": (176, 106),
    "kexec_load": (246, 104), "kexec_file_load": (320, 294), "reboot": (169, 142),
    "swapon": (167, 224), "swapoff": (168, 225), "acct": (163, 89), "quotactl": (179, 60),
    "quotactl_fd": (443, 443), "syslog": (103, 116), "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265), "fanotify_init": (300, 262), "settimeofday": (164, 170),
    "clock_settime": (227, 112), "adjtimex": (159, 171), "sethostname": (170, 161),
    "setdomainname": (171, 162), "vhangup": (153, 58), "from the future": (511, 511),
}  # fmt: skip
"""System calls that are made with five zeros."""

FAMILIES = {
    "AX25": 3, "IPX": 4, "APPLETALK": 5, "X25": 9, "INET": 2, "INET6": 10, "NETLINK": 16,
    "PACKET": 17, "RDS": 21, "CAN": 29, "TIPC": 30, "BLUETOOTH": 31, "ALG": 38, "NFC": 39,
    "VSOCK": 40, "KCM": 41, "QIPCRTR": 42, "SMC": 43, "XDP": 44,
}  # fmt: skip

NAMESPACES = {
    "mount": 0x00020000, "cgroup": 0x02000000, "uts": 0x04000000, "ipc": 0x08000000,
    "user": 0x10000000, "pid": 0x20000000, "net": 0x40000000,
}  # fmt: skip


def probe(made: Callable[[], object]) -> Callable[[], object]:
    PROBES[made.__name__] = made
    return made


def attempt(what: Callable[[], object]) -> object:
    try:
        return what() or "done"
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, repr(error))


def call(number: int, *arguments: int) -> int:
    words = [ctypes.c_ulong(argument) for argument in arguments]
    result = int(LIBC.syscall(ctypes.c_long(number), *words))
    if result == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def number_of(name: str) -> int:
    return CALLS[name][0 if X86 else 1]


def writes(path: str) -> object:
    def write() -> None:
        with open(path, "r+b", buffering=0) as file:
            file.write(b"x")

    return attempt(write)


def makes(path: str) -> object:
    return attempt(lambda: os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)))


def reads(path: str) -> object:
    return attempt(lambda: Path(path).read_bytes().decode("latin-1"))


# -- files ---------------------------------------------------------------------------------------


@probe
def read_secret() -> object:
    return reads(WORLD["secret"])


@probe
def read_secret_by_other_roots() -> object:
    ways = ("/proc/self/root", "/proc/1/root", "/proc/1/cwd", "/proc/self/cwd/../..", "/work/../..")
    return {way: reads(way + WORLD["secret"]) for way in ways}


@probe
def read_secret_by_link() -> object:
    os.symlink(WORLD["secret"], "link-to-secret")
    return reads("link-to-secret")


@probe
def list_home() -> object:
    return attempt(lambda: os.listdir(WORLD["home"]))


@probe
def read_shadow() -> object:
    return reads("/etc/shadow")


@probe
def list_etc() -> object:
    return sorted(os.listdir("/etc"))


@probe
def read_users() -> object:
    return reads("/etc/passwd")


@probe
def list_host_folders() -> object:
    names = ("home", "var", "run", "sys", "boot", "mnt", "media", "srv", "lost+found")
    return {name: attempt(lambda name=name: os.listdir(f"/{name}")) for name in names}  # type: ignore[misc]


@probe
def write_outside() -> object:
    places = ("/x", "/usr/x", "/usr/bin/x", "/etc/x", "/dev/x", "/inputs/x", "/opt/x", "/bin/x")
    return {place: makes(place) for place in places}


@probe
def write_python() -> object:
    return {path: makes(f"{path}/x") for path in sys.path if os.path.isdir(path)}


@probe
def write_input() -> object:
    return {
        "write": writes("/inputs/given"),
        "truncate": attempt(lambda: os.truncate("/inputs/given", 0)),
        "unlink": attempt(lambda: os.unlink("/inputs/given")),
        "rename": attempt(lambda: os.rename("/inputs/given", "/work/given")),
        "chmod": attempt(lambda: os.chmod("/inputs/given", 0o666)),
        "utime": attempt(lambda: os.utime("/inputs/given")),
        "hard link": attempt(lambda: os.link("/inputs/given", "/work/given")),
        "new file": makes("/inputs/folder/new"),
    }


@probe
def hard_link_to_system() -> object:
    return attempt(lambda: os.link("/etc/ld.so.cache", "/work/cache"))


@probe
def give_file_away() -> object:
    Path("given-away").touch()
    return {
        "owner": attempt(lambda: os.chown("given-away", 0, -1)),
        "group": attempt(lambda: os.chown("given-away", -1, 0)),
    }


@probe
def make_setuid_file() -> object:
    Path("setuid").touch()
    descriptor = os.open("setuid", os.O_RDONLY)
    found = {
        "chmod": attempt(lambda: os.chmod("setuid", 0o4755)),
        "setgid": attempt(lambda: os.chmod("setuid", 0o2755)),
        "fchmod": attempt(lambda: os.fchmod(descriptor, 0o4755)),
        "fchmodat": attempt(lambda: os.chmod("setuid", 0o4755, dir_fd=os.open(".", os.O_RDONLY))),
        "fchmodat2": attempt(lambda: call(452, descriptor, 0, 0o4755, 0)),
        "open": attempt(lambda: os.open("setuid-2", os.O_CREAT | os.O_WRONLY, 0o4755)),
        "tmpfile": attempt(lambda: os.open(".", os.O_TMPFILE | os.O_WRONLY, 0o4755)),
        "mknod": attempt(lambda: os.mknod("setuid-3", 0o104755)),
    }
    return {**found, "plain": attempt(lambda: os.chmod("setuid", 0o755))}


@probe
def run_setuid_program() -> object:
    """Its loader, asked what the kernel told it: not to be careful, and no other user."""
    program = WORLD["setuid_program"]
    environment = {"LD_SHOW_AUXV": "1"}
    told = subprocess.run([program, "--help"], env=environment, capture_output=True).stdout
    facts = dict(line.split(b":", 1) for line in told.splitlines() if line.startswith(b"AT_"))
    return [int(facts.get(name, b"-1")) for name in (b"AT_SECURE", b"AT_EUID", b"AT_UID")]


@probe
def make_devices() -> object:
    return {
        "block": attempt(lambda: os.mknod("disk", 0o060600, os.makedev(254, 0))),
        "character": attempt(lambda: os.mknod("memory", 0o020600, os.makedev(1, 1))),
    }


@probe
def list_devices() -> object:
    return sorted(os.listdir("/dev"))


@probe
def write_proc() -> object:
    places = {
        "/proc/sys/kernel/core_pattern", "/proc/sys/kernel/hostname", "/proc/sys/vm/drop_caches",
        "/proc/sys/kernel/modprobe", "/proc/sys/net/ipv4/ip_forward", "/proc/sysrq-trigger",
        "/proc/sys/user/max_user_namespaces", "/proc/sys/fs/protected_symlinks",
    }  # fmt: skip
    return {place: writes(place) for place in sorted(places)}


@probe
def write_sys() -> object:
    return writes("/sys/kernel/mm/transparent_hugepage/enabled")


@probe
def open_handles() -> object:
    return WORLD["handles"]


# -- processes -----------------------------------------------------------------------------------


@probe
def environment() -> object:
    return dict(os.environ)


@probe
def secrets_of_processes() -> object:
    """What the environments and command lines of all processes say, and the memory of the first."""
    seen = b""
    for process in filter(str.isdecimal, os.listdir("/proc")):
        for name in ("environ", "cmdline"):
            with suppress(OSError):
                seen += Path("/proc", process, name).read_bytes()
    with suppress(OSError), open("/proc/1/mem", "rb", buffering=0) as memory:
        for line in Path("/proc/1/maps").read_text().splitlines():
            begin, _, end = line.split()[0].partition("-")
            with suppress(OSError, ValueError, OverflowError):
                memory.seek(int(begin, 16))
                seen += memory.read(int(end, 16) - int(begin, 16))
    return WORLD["password"][::-1] if WORLD["password"].encode() in seen else "nothing"


@probe
def memory_of_host_process() -> object:
    return attempt(lambda: open(f"/proc/{WORLD['victim']}/mem", "rb").close())


@probe
def environment_of_host_process() -> object:
    return reads(f"/proc/{WORLD['victim']}/environ")


@probe
def kill_host_process() -> object:
    return attempt(lambda: os.kill(WORLD["victim"], signal.SIGKILL))


@probe
def kill_first_process() -> object:
    with suppress(PermissionError):
        os.kill(1, signal.SIGKILL)
    return "it lives" if os.path.exists("/proc/1/stat") else "dead"


@probe
def visible_processes() -> object:
    return max(int(name) for name in os.listdir("/proc") if name.isdecimal()) < 2000


@probe
def become_root() -> object:
    return {
        "setuid": attempt(lambda: os.setuid(0)),
        "setgid": attempt(lambda: os.setgid(0)),
        "setgroups": attempt(lambda: os.setgroups([0])),
        "setresuid": attempt(lambda: os.setresuid(0, 0, 0)),
    }


@probe
def rights() -> object:
    lines = Path("/proc/self/status").read_text().splitlines()
    status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    caps = {int(status[f"Cap{kind}"], 16) for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")}
    return [
        os.getuid() != 0,
        os.getgid() != 0,
        sorted(caps),
        status["NoNewPrivs"],
        status["Seccomp"],
    ]


@probe
def gain_capabilities() -> object:
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    wanted = (ctypes.c_uint32 * 6)(*[0xFFFFFFFF] * 6)
    return attempt(
        lambda: call(126 if X86 else 91, ctypes.addressof(header), ctypes.addressof(wanted))
    )


@probe
def raise_priority() -> object:
    real_time = os.sched_param(1)
    return {
        "nice": attempt(lambda: os.nice(-5)),
        "setpriority": attempt(lambda: os.setpriority(os.PRIO_PROCESS, 0, -20)),
        "real time": attempt(lambda: os.sched_setscheduler(0, os.SCHED_FIFO, real_time)),
        "disk": attempt(lambda: call(251 if X86 else 30, 1, 0, (1 << 13) | 0)),
    }


@probe
def raise_limits() -> object:
    found = {}
    for name in ("CPU", "AS", "FSIZE", "NOFILE", "NPROC"):
        limit = getattr(resource, f"RLIMIT_{name}")
        try:
            resource.setrlimit(limit, (resource.getrlimit(limit)[1] + 1,) * 2)
            found[name] = "done"
        except (ValueError, OSError) as error:
            found[name] = type(error).__name__
    return found


@probe
def core_dump() -> object:
    """Neither allowed, nor forbidden in a way that starts a crash handler all the same."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.prlimit(0, resource.RLIMIT_CORE, (2, 2))
    return resource.getrlimit(resource.RLIMIT_CORE)


@probe
def many_open_files() -> object:
    count = 0
    try:
        while count < 5000:
            os.open("/dev/null", os.O_RDONLY)
            count += 1
    except OSError as error:
        return [errno.errorcode[error.errno or 0], count < WORLD["open_files"]]
    return "no limit"


@probe
def message_queue() -> object:
    numbers = (240, 180)
    name = ctypes.create_string_buffer(b"queue")
    queue = numbers[0 if X86 else 1]
    return attempt(lambda: call(queue, ctypes.addressof(name), os.O_CREAT | os.O_RDWR, 0o600, 0))


# -- the kernel ----------------------------------------------------------------------------------


def forbidden(name: str) -> object:
    return attempt(lambda: call(number_of(name), 0, 0, 0, 0, 0))


for _name in CALLS:
    PROBES[f"call {_name}"] = lambda name=_name: forbidden(name)  # type: ignore[misc]


def new_namespace(flag: int) -> object:
    def clone() -> None:
        if call(56 if X86 else 220, flag | signal.SIGCHLD, 0, 0, 0, 0) == 0:
            os._exit(0)

    return {"clone": attempt(clone), "unshare": attempt(lambda: call(number_of("unshare"), flag))}


for _name, _flag in NAMESPACES.items():
    PROBES[f"namespace {_name}"] = lambda flag=_flag: new_namespace(flag)  # type: ignore[misc]


@probe
def plain_fork() -> object:
    """What the filter has to leave alone."""
    return subprocess.run(["true"]).returncode or "done"


@probe
def odd_personality() -> object:
    return attempt(lambda: call(135 if X86 else 92, 0x0040000))  # no random addresses


@probe
def type_into_terminal() -> object:
    _, terminal = pty.openpty()
    return {
        "TIOCSTI": attempt(lambda: fcntl.ioctl(terminal, 0x5412, b"x")),
        "TIOCLINUX": attempt(lambda: fcntl.ioctl(terminal, 0x541C, b"x")),
        "upper bits": attempt(lambda: call(16 if X86 else 29, terminal, 0x1_0000_5412, 0)),
    }


@probe
def terminal_of_host() -> object:
    return attempt(lambda: open("/dev/tty").close())


@probe
def thirty_two_bits() -> object:
    """`getpid` by the door of 32-bit programs."""
    if not X86:
        return "SIGSYS"  # 32-bit ARM is another processor mode: there is no such door
    code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    code.write(b"\xb8\x14\x00\x00\x00\xcd\x80\xc3")
    address = ctypes.addressof(ctypes.c_char.from_buffer(code))
    return ctypes.CFUNCTYPE(ctypes.c_int)(address)()


@probe
def x32() -> object:
    return attempt(lambda: call(0x4000_0000 + 39)) if X86 else "SIGSYS"


# -- the network ---------------------------------------------------------------------------------


def family(number: int) -> object:
    found = set()
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_SEQPACKET):
        found.add(attempt(lambda kind=kind: call(41 if X86 else 198, number, kind, 0)))  # type: ignore[misc]
    return sorted(map(str, found))


for _name, _number in FAMILIES.items():
    PROBES[f"family {_name}"] = lambda number=_number: family(number)  # type: ignore[misc]


@probe
def listen() -> object:
    return attempt(lambda: socket.create_server(("127.0.0.1", 0)))


@probe
def connect_to_host() -> object:
    return attempt(lambda: socket.create_connection(("127.0.0.1", WORLD["port"]), 2))


@probe
def look_up_name() -> object:
    try:
        return socket.getaddrinfo("example.com", 80)
    except OSError as error:
        return type(error).__name__


@probe
def socket_pairs() -> object:
    def talk() -> str:
        here, there = socket.socketpair()
        here.sendall(b"hello")
        return there.recv(5).decode()

    return {
        "unix": attempt(talk),
        "inet": attempt(lambda: socket.socketpair(socket.AF_INET, socket.SOCK_STREAM)),
    }


@probe
def own_unix_socket() -> object:
    server = socket.socket(socket.AF_UNIX)
    server.bind("/tmp/own")
    server.listen()
    client = socket.socket(socket.AF_UNIX)
    return attempt(lambda: client.connect("/tmp/own"))


@probe
def abstract_socket_of_host() -> object:
    client = socket.socket(socket.AF_UNIX)
    return attempt(lambda: client.connect("\0" + WORLD["abstract"]))


@probe
def unix_sockets_of_host() -> object:
    found = {}
    for path in (WORLD["socket"], "/run/docker.sock", "/var/run/docker.sock", "/run/systemd/notify",
                 "/run/dbus/system_bus_socket", "/tmp/.X11-unix/X0"):  # fmt: skip
        client = socket.socket(socket.AF_UNIX)
        found[path] = attempt(lambda client=client, path=path: client.connect(path))  # type: ignore[misc]
    return found


# -- making them ---------------------------------------------------------------------------------


def apart(what: Callable[[], object]) -> object:
    """What comes of it in a process of its own; the name of the signal if one ends it."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(10)
        try:
            said = json.dumps(what())
        except BaseException as error:
            said = json.dumps(f"{type(error).__name__}: {error}")
        with os.fdopen(writing, "w") as pipe:
            pipe.write(said)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        said = pipe.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return signal.Signals(os.WTERMSIG(status)).name
    return json.loads(said)


if __name__ == "__main__":
    WORLD["handles"] = sorted(int(name) for name in os.listdir("/proc/self/fd"))
    WORLD.update(json.load(sys.stdin))
    print(json.dumps({name: apart(what) for name, what in PROBES.items()}))
