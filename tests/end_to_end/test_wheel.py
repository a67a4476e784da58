"""The wheel that users install: built, put into a clean environment, run from there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


def test_tools_and_workflows_are_in_the_wheel_and_nothing_that_is_not_ours(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    shipped = {Path(name).name for name in names if name.startswith("agentkit/shipped/")}
    here = {path.name for kind in ("tools", "workflows") for path in (ROOT / kind).glob("*.*")}
    assert shipped == here
    assert "agentkit/py.typed" in names
    assert "agentkit/models/catalog.yaml" in names
    assert {name.split("/")[0].split("-")[0] for name in names} == {"agentkit"}


def test_the_installed_wheel_runs_workflows_with_the_tools_it_ships(
    wheel: Path, tmp_path: Path
) -> None:
    home = tmp_path / "clean"
    venv.create(home, with_pip=True)
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}

    def run(*command: str) -> str:
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=tmp_path, env=environment
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    pip = [str(home / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "install"]
    run(*pip, "--quiet", "-c", str(ROOT / "constraints.txt"), str(wheel))
    agentkit = str(home / "bin" / "agentkit")
    assert "no problems" in run(agentkit, "check", "meeting-notes")
    assert "write_file" in run(agentkit, "tools", "list")
    (tmp_path / "hello.yaml").write_text(
        "name: hello\n"
        "steps:\n"
        "  - id: page\n"
        "    uses: render_template\n"
        "    with: {template: 'Hello {{ who }}', data: {who: you}}\n"
        "outputs: {page: '${{ steps.page.outputs.text }}'}\n"
    )
    assert json.loads(run(agentkit, "run", "hello.yaml")) == {"page": "Hello you"}
