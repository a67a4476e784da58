"""`agentkit models`, run as a user runs it."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.models.conftest import FileServer, Home, Make

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run() -> Run:
    def agentkit_models(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "agentkit", "models", *words]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    return agentkit_models


def in_a_terminal(*words: str, columns: int) -> str:
    """What the command prints to a terminal of so many columns."""
    command = [sys.executable, "-m", "agentkit", "models", *words]
    ours, theirs = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(columns), "TERM": "xterm"}
    process = subprocess.Popen(command, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    said = b""
    try:
        while piece := os.read(ours, 4096):
            said += piece
    except OSError:  # Linux says EIO when the other side is closed
        pass
    os.close(ours)
    assert process.wait(60) == 0
    return said.decode()


def test_list_piped_is_one_plain_line_for_each_model(run: Run) -> None:
    lines = run("list").stdout.splitlines()

    assert lines[0].split() == ["name", "role", "size", "here", "licence", "summary"]
    assert lines[1].startswith("qwen2.5-coder-1.5b")
    assert "\x1b" not in "".join(lines)


def test_list_fits_a_terminal_of_eighty_columns() -> None:
    said = in_a_terminal("list", columns=80)

    plain = "".join(part.split("m", 1)[-1] for part in said.split("\x1b["))
    assert "the default; 1.5 B parameters" in plain
    assert max(len(line) for line in plain.splitlines()) <= 80


def test_list_as_json_can_be_read(run: Run) -> None:
    rows = json.loads(run("list", "--json").stdout)

    assert rows[0]["name"] == "qwen2.5-coder-1.5b"
    assert rows[0]["installed"] is False


def test_add_show_path_and_remove(run: Run, gguf: Callable[..., bytes], tmp_path: Path) -> None:
    path = tmp_path / "tiny.gguf"
    path.write_bytes(gguf())

    assert "tiny: " in run("add", str(path)).stdout
    shown = run("show", "tiny", "--verify").stdout
    assert "llama, 2 layers" in shown
    assert "yes, digests checked" in shown
    assert "4096 tokens" in shown
    assert re.search(r"loads as +\S+ Q4_K_M, 8k context, needs .* free", shown)
    facts = json.loads(run("show", "tiny", "--json", "--context", "512").stdout)
    assert facts["needs"][0]["context_tokens"] == 512
    assert facts["needs"][0]["total"] > 0
    assert "8k context" in facts["plan"]
    assert run("show", "tiny", "--template").stdout == "{{ messages }}"
    assert Path(run("path", "tiny").stdout.strip()).read_bytes() == gguf()
    assert "freed" in run("remove", "tiny").stdout
    assert run("path", "tiny").returncode == 2


def test_a_pull_of_a_misspelt_name_starts_nothing(
    run: Run, home: Home, server: FileServer, make: Make
) -> None:
    home.catalog(mine=make.entry(b"x", {"url": server.serve("/m.bin", b"x")}))

    done = run("pull", "mine", "mien")

    assert done.returncode == 2
    assert 'did you mean "mine"?' in done.stderr
    assert server.log == []


def test_a_failed_pull_names_the_sources_and_the_way_by_hand(
    run: Run, home: Home, make: Make
) -> None:
    home.catalog(mine=make.entry(b"x", {"hf": "owner/model"}, {"file": "/no/such"}))

    done = run("pull", "mine")

    assert done.returncode == 1
    assert "hf:owner/model: no answer from 127.0.0.1: connection refused" in done.stderr
    assert "file:/no/such: /no/such: no such file or directory" in done.stderr
    assert "agentkit models add FILE --name mine" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_pull_in_a_terminal_shows_a_bar(home: Home, server: FileServer, make: Make) -> None:
    body = make.noise(3 << 20)
    home.catalog(mine=make.entry(body, {"url": server.serve("/m.bin", body)}))

    said = in_a_terminal("pull", "mine", columns=80)

    assert "━" in said
    assert "mine: 3.15 MB from url:" in said


def test_a_broken_catalog_is_told_with_its_place(run: Run, home: Home) -> None:
    home.folder.mkdir()
    (home.folder / "catalog.yaml").write_text("models:\n  m:\n    roel: chat\n")

    done = run("list")

    assert done.returncode == 2
    assert 'catalog.yaml:3:5: unknown key "roel". did you mean "role"?' in done.stderr


def test_a_model_without_a_template_says_so(
    run: Run, gguf: Callable[..., bytes], tmp_path: Path
) -> None:
    (tmp_path / "plain.gguf").write_bytes(gguf({"tokenizer.chat_template": None}))
    run("add", str(tmp_path / "plain.gguf"))

    done = run("show", "plain", "--template")

    assert (done.returncode, done.stdout) == (2, "")
    assert "plain has no chat template" in done.stderr
    absent = run("show", "qwen2.5-coder-1.5b", "--template")
    assert absent.returncode == 1
    assert "agentkit models pull qwen2.5-coder-1.5b" in absent.stderr


def test_a_context_that_means_nothing_is_remarked_on(
    run: Run, gguf: Callable[..., bytes], tmp_path: Path
) -> None:
    (tmp_path / "tiny.gguf").write_bytes(gguf())
    run("add", str(tmp_path / "tiny.gguf"))

    long = run("show", "tiny", "--context", "1000000").stdout
    assert "it was trained for 8192 tokens; with a context of 1000000" in long
    assert "note" not in run("show", "tiny", "--context", "8192").stdout
    absent = run("show", "qwen2.5-coder-1.5b", "--context", "4096").stdout
    assert "once it is here: agentkit models pull qwen2.5-coder-1.5b" in absent
    facts = json.loads(run("show", "tiny", "--json", "--context", "1000000").stdout)
    assert facts["remark"].startswith("it was trained for 8192 tokens")


def test_what_is_no_model_is_told_what_one_looks_like(run: Run, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("# Read me")

    done = run("add", str(tmp_path / "README.md"), "--name", "mine")

    assert done.returncode == 2
    assert "README.md is not a GGUF file" in done.stderr
    assert "a folder with model.bin" in done.stderr


def test_a_path_is_no_name(run: Run, home: Home) -> None:
    done = run("path", "../evil")

    assert done.returncode == 2
    assert "no model named '../evil'" in done.stderr


def test_no_color_is_honoured_in_a_terminal(
    home: Home, server: FileServer, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = make.noise(3 << 20)
    home.catalog(mine=make.entry(body, {"url": server.serve("/m.bin", body)}))
    monkeypatch.setenv("NO_COLOR", "1")

    said = in_a_terminal("pull", "mine", columns=80)

    assert "━" in said
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]", said), "a colour"
