"""`agentkit doctor`: says what is missing, and the command that mends it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


def doctor() -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "agentkit", "doctor"], capture_output=True, text=True
    )


def test_a_missing_model_is_named_with_the_command_that_fetches_it() -> None:
    found = doctor()
    assert "✗ model       whisper-base (transcribe) is not here yet" in found.stdout
    assert "mend: agentkit models pull whisper-base" in found.stdout
    assert found.returncode == 1


def test_a_broken_tool_is_named_with_its_file(isolated_home: Path) -> None:
    (isolated_home / "tools").mkdir(parents=True)
    (isolated_home / "tools" / "bad.py").write_text("import nothing_like_it\n")
    found = doctor()
    assert "bad.py: ModuleNotFoundError: No module named 'nothing_like_it'" in found.stdout
    assert found.returncode == 1


@pytest.mark.model
def test_all_is_well_where_the_models_are(real_models: Path) -> None:
    found = doctor()
    assert "✗" not in found.stdout, found.stdout
    assert found.returncode == 0
    for topic in ("python", "cpu", "engine", "memory", "loads as", "store", "workflows", "journal"):
        assert f" {topic}" in found.stdout


def test_a_remote_with_the_role_is_not_looked_for_here(
    isolated_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    isolated_home.mkdir(parents=True)
    (isolated_home / "settings.yaml").write_text(
        "roles: {chat: box}\nremotes: {box: {url: 'http://gpu-box:8080/v1'}}\n"
    )
    assert "✓ model       box (chat) on http://gpu-box:8080/v1" in doctor().stdout


@pytest.mark.model
def test_a_model_that_does_not_fit_is_told_with_what_would(
    real_models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENTKIT_ENGINE", '{"context_tokens": 100000000}')
    found = doctor()
    assert (
        "✗ memory      qwen2.5-coder-1.5b (1.5B Q4_K_M) with a context of 100000000" in found.stdout
    )
    assert "mend: it would fit with engine.context_tokens:" in found.stdout
    assert found.returncode == 1
