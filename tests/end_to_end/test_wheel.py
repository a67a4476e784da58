"""The wheel that users install: built, put into an environment of its own, run from there.

Its dependencies are not installed once more: they are those of the tests, but what the code imports
is what the wheel asks for.
"""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Iterator
from importlib.metadata import packages_distributions, requires
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


def test_what_is_imported_is_what_the_wheel_asks_for(wheel: Path) -> None:
    """Or what one of those asks for; with its extras, since what needs one says so itself."""
    metadata = next(name for name in zipfile.ZipFile(wheel).namelist() if name.endswith("METADATA"))
    lines = zipfile.ZipFile(wheel).read(metadata).decode().splitlines()
    own = [line.removeprefix("Requires-Dist: ") for line in lines if "Requires-Dist" in line]
    asked = {name_in(one) for one in own if 'extra == "dev"' not in one}
    asked |= {name_in(one) for name in asked for one in requires(name) or () if "extra" not in one}
    packages = packages_distributions()
    names = {
        name.split(".")[0]
        for kind in ("agentkit", "tools")
        for path in (ROOT / kind).rglob("*.py")
        for name in imported(ast.parse(path.read_text(encoding="utf-8")))
    }
    foreign = names - set(sys.stdlib_module_names) - {"agentkit", "tools"}
    missing = {name for name in foreign if not {*map(plain, packages[name])} & asked}
    assert missing == set()


def name_in(requirement: str) -> str:
    """`jinja2>=3.1` is about jinja2."""
    return plain(re.split(r"[^\w.-]", requirement)[0])


def plain(name: str) -> str:
    """A name of a distribution, as all of its spellings are the same."""
    return re.sub(r"[-_.]+", "-", name).lower()


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def test_the_installed_wheel_runs_workflows_with_the_tools_it_ships(
    wheel: Path, tmp_path: Path
) -> None:
    home = tmp_path / "clean"
    venv.create(home)
    place = sysconfig.get_path("purelib", vars={"base": str(home), "platbase": str(home)})
    (Path(place) / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    python = str(home / "bin" / "python")
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}

    def run(*command: str) -> str:
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=tmp_path, env=environment
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    pip = [sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check"]
    run(*pip, "install", "--quiet", "--no-deps", "--no-index", str(wheel))
    assert run(python, "-c", "import agentkit; print(agentkit.__file__)").startswith(str(home))
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
