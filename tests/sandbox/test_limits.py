"""Programs that take more than they may, or will not go: all are ended, and nothing lives on."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import pytest

from agentkit.errors import ToolError
from agentkit.jobs import JobResult

from .runner import Runner, running, survivors, users

MB = 1_000_000


TO_THE_END = {"wall": 30.0, "cpu": 30.0}
"""Limits that are not meant here; who sleeps for longer has not been ended in time."""

BEGIN = "import os, sys, time, mmap, signal, socket, threading\n"


def run(runner: Runner, mark: str, program: str, **how: Any) -> JobResult:
    return runner.run("python3", "-S", "-c", BEGIN + program, mark, **{**TO_THE_END, **how})


ENDED: dict[str, tuple[str, str, dict[str, Any]]] = {
    "a fork bomb": (
        "while True:\n try: os.fork()\n except OSError: pass",
        "cpu wall",
        {"processes": 20, "wall": 1.5},
    ),
    "a shell's fork bomb": (
        "os.execlp('sh', 'sh', '-c', 'f() { f | f & }; f; sleep 100', sys.argv[1])",
        "cpu wall",
        {"processes": 20, "wall": 1.5},
    ),
    "memory in one process": (
        "x = b'x' * 150_000_000\ntime.sleep(100)",
        "memory",
        {"memory": 100 * MB},
    ),
    "memory in many processes": (
        "for _ in range(8):\n if os.fork() == 0:\n  x = b'x' * 30_000_000\n  time.sleep(100)\n"
        "time.sleep(100)",
        "memory",
        {"memory": 100 * MB},
    ),
    "memory that is shared": (
        "x = mmap.mmap(-1, 150_000_000)\nx.write(b'x' * 1_000_000)\n"
        "for _ in range(149): x.write(b'x' * 1_000_000)\ntime.sleep(100)",
        "memory",
        {"memory": 100 * MB},
    ),
    "memory as files in /tmp and /dev/shm": (
        "for folder in ('/tmp', '/dev/shm'):\n"
        " with open(folder + '/x', 'wb', buffering=0) as f:\n"
        "  try:\n"
        "   while True: f.write(bytes(1_000_000))\n"
        "  except OSError: pass\n"
        "time.sleep(100)",
        "memory",
        {"memory": 60 * MB},
    ),
    "files without content in /tmp": (
        "for n in range(3_000): open(f'/tmp/{n}', 'w').close()\ntime.sleep(100)",
        "disk",
        {"files": 1_000},
    ),
    "a disk full of files": (
        "for n in range(40): open(str(n), 'wb').write(b'x' * 1_000_000)\ntime.sleep(100)",
        "disk",
        {"disk": 20 * MB},
    ),
    "a disk filled in one moment": (
        "open('x', 'wb').write(b'x' * 30_000_000)",
        "disk",
        {"disk": 20 * MB},
    ),
    "a file without a name": (
        "f = open('x', 'wb')\nos.unlink('x')\nf.write(b'x' * 30_000_000)\ntime.sleep(100)",
        "disk",
        {"disk": 20 * MB},
    ),
    "a folder that was closed": (
        "os.mkdir('d')\nf = open('d/x', 'wb')\nos.chmod('d', 0)\nf.write(b'x' * 30_000_000)\n"
        "f.flush()\ntime.sleep(100)",
        "disk",
        {"disk": 20 * MB},
    ),
    "files without content": (
        "for n in range(3_000): open(str(n), 'w').close()\ntime.sleep(100)",
        "disk",
        {"files": 1_000},
    ),
    "folders without content": (
        "for n in range(3_000): os.mkdir(str(n))\ntime.sleep(100)",
        "disk",
        {"files": 1_000},
    ),
    "folders within folders": (
        "for n in range(200): os.mkdir('d'); os.chdir('d')\ntime.sleep(100)",
        "disk",
        {},
    ),
    "a file that is too large": (
        "signal.signal(signal.SIGXFSZ, signal.SIG_DFL)\nopen('x', 'wb').write(b'x' * 3_000_000)",
        "disk",
        {"file": 1 * MB},
    ),
    "endless output": ("while True: print('x' * 1000)", "output", {"output": 100_000}),
    "endless errors": (
        "while True: print('x' * 1000, file=sys.stderr)", "output", {"output": 100_000}
    ),
    "much output and an end": ("print('x' * 200_000)", "output", {"output": 100_000}),
    "burning the processor": ("while True: pass", "cpu", {"cpu": 0.7}),
    "burning it in many processes": (
        "for _ in range(3): os.fork()\nwhile True: pass",
        "cpu",
        {"cpu": 0.9},
    ),
    "burning it in one after the other": (
        "while True:\n"
        " if os.fork() == 0:\n"
        "  end = time.process_time() + 0.1\n"
        "  while time.process_time() < end: pass\n"
        "  os._exit(0)\n"
        " os.wait()",
        "cpu",
        {"cpu": 0.9},
    ),
    "sleeping for ever": ("time.sleep(1000)", "wall", {"wall": 0.4}),
    "waiting for input": ("a, b = socket.socketpair(); a.recv(1)", "wall", {"wall": 0.4}),
    "deaf to signals": (
        "signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())\n"
        "for number in set(signal.valid_signals()) - {signal.SIGKILL, signal.SIGSTOP}:\n"
        " try: signal.signal(number, signal.SIG_IGN)\n"
        " except OSError: pass\n"
        "while True: time.sleep(1)",
        "wall",
        {"wall": 1.0},
    ),
    "stopped": ("os.kill(os.getpid(), signal.SIGSTOP)", "wall", {"wall": 1.0}),
    "with its output closed": (
        "os.close(1); os.close(2); time.sleep(1000)", "wall", {"wall": 1.0}
    ),
    "a session of its own": (
        "os.fork() or os.setsid()\ntime.sleep(1000)",
        "wall",
        {"wall": 1.0},
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", ENDED)
def test_it_is_ended_at_its_limit(runner: Runner, mark: str, what: str) -> None:
    program, stopped, limits = ENDED[what]

    result = run(runner, mark, program, **limits)

    assert result.stopped in stopped.split(), result
    assert len(result.stdout + result.stderr) <= limits.get("output", 2 * MB)


REFUSED: dict[str, tuple[str, str, dict[str, Any]]] = {
    "more processes": (
        "n = 0\n"
        "try:\n"
        " while True:\n"
        "  if os.fork() == 0: time.sleep(1000)\n"
        "  n += 1\n"
        "except BlockingIOError: print(15 < n < 20)",
        "True",
        {"processes": 20},
    ),
    "more threads": (
        "n = 0\n"
        "try:\n"
        " while True:\n"
        "  threading.Thread(target=time.sleep, args=(99,), daemon=True).start()\n"
        "  n += 1\n"
        "except RuntimeError: print(15 < n < 20, flush=True); os._exit(0)",
        "True",
        {"processes": 20},
    ),
    "more memory than could ever be": (
        "try: x = bytearray(10**10)\nexcept MemoryError: print('no')", "no", {"memory": 100 * MB}
    ),
    "a larger file": (
        "try: open('x', 'wb').write(b'x' * 3_000_000)\nexcept OSError as e: print(e.errno)",
        "27",
        {"file": 1 * MB},
    ),
    "a larger file in /tmp": (
        "try: open('/tmp/x', 'wb').truncate(3_000_000)\nexcept OSError as e: print(e.errno)",
        "27",
        {"file": 1 * MB},
    ),
    "more in /tmp than fits": (
        "f = open('/tmp/x', 'wb', buffering=0)\n"
        "try:\n while True: f.write(bytes(100_000))\nexcept OSError as e: print(e.errno)",
        "28",
        {"memory": 100 * MB, "file": 100 * MB},
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_it_is_refused_and_goes_on(runner: Runner, mark: str, what: str) -> None:
    program, said, limits = REFUSED[what]

    result = run(runner, mark, program, **limits)

    assert (result.stdout.decode().strip(), result.exit_code, result.stopped) == (said, 0, "")


def test_pages_that_processes_share_count_once(runner: Runner, mark: str) -> None:
    program = (
        "x = b'x' * 60_000_000\n"
        "for _ in range(4):\n if os.fork() == 0: time.sleep(0.6); os._exit(0)\n"
        "for _ in range(4): os.wait()\n"
        "print('done')"
    )

    result = run(runner, mark, program, memory=150 * MB)

    assert (result.stdout, result.stopped) == (b"done\n", "")


def test_a_file_with_many_names_counts_once(runner: Runner, mark: str) -> None:
    program = (
        "open('x', 'wb').write(b'x' * 5_000_000)\nfor n in range(20): os.link('x', str(n))\n"
        "time.sleep(0.3)"
    )

    assert run(runner, mark, program, disk=20 * MB).stopped == ""


def test_what_was_in_the_folder_before_does_not_count(runner: Runner, mark: str) -> None:
    work = runner.new_folder()
    runner.write(work / "before", "x" * 2 * MB)

    result = run(runner, mark, "time.sleep(0.3)", work=work, disk=1 * MB, files=1)

    assert result.stopped == ""


def test_a_child_does_not_outlive_the_program(runner: Runner, mark: str) -> None:
    """Not even as a daemon that keeps the output open; and nobody waits for it."""
    work = runner.new_folder()
    program = (
        "if os.fork() == 0:\n os.setsid()\n if os.fork() == 0:\n  print('begun', flush=True)\n"
        "  open('begun', 'w').close()\n  time.sleep(1)\n  open('late', 'w').close()\n"
        "  time.sleep(1000)\n"
        "while not os.path.exists('begun'): time.sleep(0.01)"
    )

    result = run(runner, mark, program, work=work)

    assert (result.stdout, result.exit_code, result.stopped) == (b"begun\n", 0, "")
    assert survivors(mark) == []
    assert result.changed == ("begun",)


def test_a_program_that_is_cancelled(runner: Runner, mark: str) -> None:
    work = runner.new_folder()
    program = "print('begun', flush=True); open('begun', 'w').close(); time.sleep(1000)"

    result = run(runner, mark, program, work=work, cancel_when=work / "begun")

    assert (result.stopped, result.exit_code, result.stdout) == ("cancelled", -9, b"begun\n")


def test_output_up_to_the_limit_is_kept(runner: Runner, mark: str) -> None:
    result = run(runner, mark, "while True: print('abc')", output=10_001)

    assert result.stdout == b"abc\n" * 2500 + b"a"


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"argv": ("true", "x" * 200_000)}, "200000 bytes long"),
        ({"argv": ("true", *["x"] * 9_000)}, "too many"),
        ({"argv": ("true", *["x" * 1_000] * 3_900)}, "too long together"),
        ({"environment": {"A": "x" * 200_000}}, "200002 bytes long"),
        ({"environment": {f"A{n}": "x" * 100_000 for n in range(60)}}, "too long"),
        ({"environment": {"A=B": "x"}}, "no name for a variable"),
        ({"argv": ("true", "a\0b")}, "zero byte"),
        ({"argv": ()}, "no program"),
        ({"wall": 0}, "leaves nothing"),
    ],
)
def test_what_cannot_be_handed_over_is_said_before(
    runner: Runner, how: dict[str, Any], said: str
) -> None:
    how = {"argv": ("true",), **how}

    with pytest.raises(ToolError, match=said):
        runner.run(*how.pop("argv"), **how)


@pytest.mark.parametrize("user", users())
def test_when_agentkit_is_killed_its_programs_end(user: str, mark: str) -> None:
    with running(user) as runner:
        work = runner.new_folder()
        program = "open('begun', 'w'); import time; time.sleep(1000)"
        runner.send("python3", "-c", program, mark, work=work)
        until(lambda: (work / "begun").exists())
        assert survivors(mark)

        os.kill(runner.pid, signal.SIGKILL)

        until(lambda: not survivors(mark))


def until(what: Any) -> None:
    deadline = time.monotonic() + 20
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.02)
