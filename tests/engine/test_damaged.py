"""Files that are no models, or were once: a clean error, and the process lives on.

llama.cpp checks much of a file with assertions that end the process, so these tests load in a
program of their own.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

PROGRAM = """
import json, sys
from pathlib import Path
from agentkit.engine import LlamaChatModel
from agentkit.errors import ModelDamaged
for path in sys.argv[1:]:
    try:
        LlamaChatModel(Path(path), "broken", context_tokens=256, threads=1).close()
        print(json.dumps(None))
    except ModelDamaged as error:
        print(json.dumps([str(error), error.hint]))
"""


def verdicts(*paths: Path) -> list[list[str] | None]:
    """For each file the message and the hint, or None if it could be loaded."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, paths)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_what_is_no_gguf(tmp_path: Path) -> None:
    empty, text, short = (tmp_path / name for name in ("empty", "text", "short"))
    empty.write_bytes(b"")
    text.write_text("hello " * 1000)
    short.write_bytes(b"GGUF\x03\x00\x00\x00")
    found = verdicts(empty, text, short, tmp_path, tmp_path / "absent")
    messages = [one[0] for one in found if one]
    assert messages[0] == "broken: llama.cpp refuses the file: failed to read magic"
    assert "invalid magic characters: 'hell'" in messages[1]
    assert "llama.cpp refuses the file" in messages[2]
    assert messages[3:] == [
        f"broken: {tmp_path} is not a file",
        f"broken: {tmp_path}/absent is not a file",
    ]
    assert all(one and "agentkit models pull broken" in one[1] for one in found)


@pytest.mark.model
def test_truncated_files(tmp_path: Path, model_path: Callable[[str], Path]) -> None:
    whole = model_path("smollm2-135m").read_bytes()
    paths = []
    for size in (100, 5_000, 1_000_000, len(whole) // 2, len(whole) - 1):
        paths.append(tmp_path / f"cut-{size}.gguf")
        paths[-1].write_bytes(whole[:size])
    found = verdicts(*paths)
    assert all(one and one[0].startswith("broken: llama.cpp refuses the file: ") for one in found)
    assert found[-1]
    assert "not within the file bounds" in found[-1][0]


@pytest.mark.model
def test_flipped_bytes_of_the_header(tmp_path: Path, model_path: Callable[[str], Path]) -> None:
    whole = model_path("smollm2-135m").read_bytes()
    path = tmp_path / "flipped.gguf"
    path.write_bytes(whole)
    for at in (0, 4, 9, 20, 32, 60, 322, 614, 1108, 2093):
        with path.open("r+b") as file:
            file.seek(at)
            file.write(bytes([whole[at] ^ 0xFF]))
        ((message, hint),) = (one or ["", ""] for one in verdicts(path))
        assert message.startswith("broken: llama.cpp refuses the file: "), f"byte {at}"
        assert hint
        with path.open("r+b") as file:
            file.seek(at)
            file.write(whole[at : at + 1])
    assert verdicts(path) == [None]
