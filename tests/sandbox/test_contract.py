"""What everybody may rely on who has a `ports.Sandbox`, whichever it is."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from agentkit.cancel import CancelToken
from agentkit.errors import ToolError
from agentkit.jobs import INPUTS, WORK, Job, Limits
from agentkit.ports import Sandbox
from agentkit.sandbox import BubblewrapSandbox, NoSandbox

from .runner import open_descriptors


@pytest.fixture(params=[BubblewrapSandbox, NoSandbox])
def sandbox(request: pytest.FixtureRequest) -> Sandbox:
    made: Sandbox = request.param()
    return made


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


def test_output_errors_and_exit_code(sandbox: Sandbox, work: Path) -> None:
    result = sandbox.run(Job(("sh", "-c", "echo out; echo err >&2; exit 75"), work))

    assert (result.stdout, result.stderr, result.exit_code) == (b"out\n", b"err\n", 75)
    assert (result.stopped, result.changed) == ("", ())
    assert 0 < result.seconds < 60


# SIGHUP and SIGINT are ignored by what was started with `nohup`, and so by the tests
@pytest.mark.parametrize("signal", [10, 9, 15, 11])
def test_a_signal_is_a_negative_number(sandbox: Sandbox, work: Path, signal: int) -> None:
    assert sandbox.run(Job(("sh", "-c", f"kill -{signal} $$"), work)).exit_code == -signal


@pytest.mark.parametrize("size", [0, 1, 5_000_000])
def test_input_of_any_size(sandbox: Sandbox, work: Path, size: int) -> None:
    job = Job(("sh", "-c", "wc -c"), work, stdin=b"x" * size)

    assert int(sandbox.run(job).stdout) == size


def test_the_three_have_names(sandbox: Sandbox, work: Path) -> None:
    script = "cat /dev/stdin > /dev/stdout; echo err > /dev/stderr; cat < /proc/self/fd/0"

    result = sandbox.run(Job(("sh", "-c", script), work, stdin=b"in\n"))

    assert (result.stdout, result.stderr) in ((b"in\n", b"err\n"), (b"in\nin\n", b"err\n"))


def test_input_that_nobody_reads(sandbox: Sandbox, work: Path) -> None:
    assert sandbox.run(Job(("true",), work, stdin=b"x" * 5_000_000)).exit_code == 0


def test_much_output_on_both(sandbox: Sandbox, work: Path) -> None:
    program = (
        "import sys\nfor _ in range(500): print('o' * 1000); print('e' * 1000, file=sys.stderr)"
    )

    result = sandbox.run(Job(("python3", "-S", "-c", program), work))

    assert len(result.stdout) == len(result.stderr) == 500 * 1001


def test_it_starts_in_its_folder_which_is_its_home(sandbox: Sandbox, work: Path) -> None:
    (work / "here").write_text("it is")

    said = sandbox.run(Job(("sh", "-c", 'cat here; cat ~/here; cat "$PWD/here"'), work)).stdout

    assert said == b"it is" * 3


def test_work_and_inputs_can_be_named(sandbox: Sandbox, work: Path, tmp_path: Path) -> None:
    (tmp_path / "input").write_text("input")
    (work / "mine").write_text("mine")
    argv = ("cat", f"{WORK}/mine", f"{INPUTS}/given")

    assert sandbox.run(Job(argv, work, {"given": tmp_path / "input"})).stdout == b"mineinput"


def test_a_program_handed_in(sandbox: Sandbox, work: Path, tmp_path: Path) -> None:
    tool = tmp_path / "tool.py"
    tool.write_text("#!/usr/bin/env python3\nimport os; print(os.environ['word'])\n")
    tool.chmod(0o755)
    job = Job((f"{INPUTS}/tool.py",), work, {"tool.py": tool}, environment={"word": "ä b"})

    assert sandbox.run(job).stdout.decode() == "ä b\n"


def test_limits_stop_and_do_not_raise(sandbox: Sandbox, work: Path) -> None:
    result = sandbox.run(Job(("sleep", "1000"), work, limits=Limits(wall=0.2)))

    assert (result.stopped, result.exit_code) == ("wall", -9)


def test_so_does_a_cancel(sandbox: Sandbox, work: Path) -> None:
    cancel = CancelToken()
    threading.Timer(0.2, cancel.cancel).start()

    result = sandbox.run(Job(("sleep", "1000"), work), cancel)

    assert (result.stopped, result.exit_code) == ("cancelled", -9)


def test_a_program_that_does_not_exist_raises(sandbox: Sandbox, work: Path) -> None:
    with pytest.raises(ToolError, match="there is no program 'no-such-program'"):
        sandbox.run(Job(("no-such-program",), work))


def test_nothing_is_left_open(sandbox: Sandbox, work: Path) -> None:
    sandbox.run(Job(("true",), work))  # what is made once
    before = open_descriptors()
    threads = threading.active_count()

    sandbox.run(Job(("python3", "-S", "-c", "import time; time.sleep(0.2)"), work))

    assert open_descriptors() == before
    assert threading.active_count() == threads
