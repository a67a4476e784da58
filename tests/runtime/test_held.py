"""One process at a time holds a run, and lets go of it however it dies."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from agentkit.errors import MachineError, UserError
from agentkit.runtime.held import held

HOLDER = """\
import sys
from pathlib import Path
from agentkit.runtime.held import held
with held(Path(sys.argv[1]), "run-1"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_run_is_held_until_its_holder_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with (
            pytest.raises(UserError, match=r"^the run run-1 is at work in another process$") as no,
            held(tmp_path, "run-1"),
        ):
            pytest.fail("two hold it")
        assert no.value.hint == (
            "agentkit runs cancel run-1, or wait for its end: agentkit runs show run-1"
        )
        other.send_signal(signal.SIGKILL)
        other.wait()

    with held(tmp_path, "run-1"):
        assert other.returncode == -signal.SIGKILL


def test_it_is_free_after_the_block_also_when_that_failed(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), held(tmp_path / "new", "run-1"):
        raise ZeroDivisionError
    with held(tmp_path / "new", "run-1"):
        assert (tmp_path / "new").is_dir()


def test_two_runs_do_not_wait_for_each_other(tmp_path: Path) -> None:
    with held(tmp_path / "1", "run-1"), held(tmp_path / "2", "run-2"):
        assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "2"]


def test_a_folder_that_cannot_be_is_named(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("no folder")

    with (
        pytest.raises(MachineError, match=f"^{file}/run-1 cannot be written: Not a directory$"),
        held(file / "run-1", "run-1"),
    ):
        pytest.fail("it is held")
