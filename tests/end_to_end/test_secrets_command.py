"""What a terminal shows of runs that hold a secret, and what lies on disk after them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SECRET = 'hunter2-secret"q'

FLOW = """\
name: tell
inputs: {code: {default: "0"}}
secrets: [TOKEN]
steps:
  - id: use
    env: {T: "${{ secrets.TOKEN }}", CODE: "${{ inputs.code }}"}
    run: |
      echo "out $T"
      python3 -c 'import json, os; print(json.dumps(os.environ["T"]))'
      echo "err $T" >&2
      exit "$CODE"
outputs: {said: "${{ steps.use.outputs.text }}"}
"""


@pytest.fixture
def folder(tmp_path: Path, isolated_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    isolated_home.mkdir()
    (isolated_home / "settings.yaml").write_text("secrets: {TOKEN: {env: THE_TOKEN}}\n")
    monkeypatch.setenv("THE_TOKEN", SECRET)
    (tmp_path / "tell.yaml").write_text(FLOW)
    return tmp_path


def agentkit(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "agentkit", *arguments],
        capture_output=True, text=True, cwd=folder, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def on_disk(home: Path) -> list[str]:
    """The files of a home in which the secret stands."""
    return [str(one) for one in home.rglob("*") if one.is_file() and b"hunter2" in one.read_bytes()]


@pytest.mark.parametrize("option", [(), ("--json",)])
def test_a_failure_is_printed_without_the_secret(
    folder: Path, isolated_home: Path, option: tuple[str, ...]
) -> None:
    done = agentkit(folder, "run", "tell.yaml", "-i", "code=3", *option)

    assert done.returncode == 1
    assert "error: " in done.stderr
    assert "err ***" in done.stderr
    assert "hunter2" not in done.stdout + done.stderr
    assert on_disk(isolated_home) == []
    again = agentkit(folder, "runs", "retry", "last", *option)
    assert "err ***" in again.stderr
    assert "hunter2" not in again.stdout + again.stderr


@pytest.mark.parametrize("option", [(), ("--json",)])
def test_outputs_are_printed_without_the_secret(
    folder: Path, isolated_home: Path, option: tuple[str, ...]
) -> None:
    done = agentkit(folder, "run", "tell.yaml", *option)

    assert done.returncode == 0
    assert "hunter2" not in done.stdout + done.stderr
    assert on_disk(isolated_home) == []
    lines = done.stdout.splitlines()
    said = json.loads(lines[-1])["outputs"] if option else json.loads(done.stdout)
    assert said == {"said": 'out ***\n"***"'}
