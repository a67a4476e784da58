"""Finding a program: on the path, in the folder, among the inputs; and the Python that is shown."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pydantic
import pytest

from agentkit.errors import MachineError, ToolError
from agentkit.jobs import Job
from agentkit.sandbox import BubblewrapSandbox, interpreter
from agentkit.sandbox.interpreter import Interpreter

from .runner import Runner


def run(work: Path, *argv: str, **inputs: Path) -> bytes:
    result = BubblewrapSandbox().run(Job(argv, work, inputs))
    assert result.exit_code == 0, result
    return result.stdout


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "mine"
    path.write_text("#!/bin/sh\necho it ran in $PWD as $0\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("name", ["mine", "./mine", "/work/mine", "../work/mine"])
def test_a_program_in_the_folder(tmp_path: Path, script: Path, name: str) -> None:
    if name == "mine":
        with pytest.raises(ToolError, match="there is no program 'mine' in the sandbox"):
            run(tmp_path, name)
    else:
        assert run(tmp_path, name) == b"it ran in /work as /work/mine\n"


def test_a_program_among_the_inputs(tmp_path: Path, script: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()

    assert run(work, "/inputs/x", x=script) == b"it ran in /work as /inputs/x\n"
    assert run(work, "/inputs/d/mine", d=tmp_path) == b"it ran in /work as /inputs/d/mine\n"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("pyton3", r"no program 'pyton3' in the sandbox\. did you mean \"python3\"\?"),
        ("/home/somebody/x", "no program '/home/somebody/x' in the sandbox"),
        ("/work/nothing", "no program '/work/nothing' in the sandbox"),
        ("../../etc/x", r"no program '\.\./\.\./etc/x' in the sandbox"),
        ("./folder", "'./folder' is a folder, not a program"),
        ("./text", "'./text' cannot be executed: chmod \\+x"),
        ("./other", "'./other' cannot be started: "),
    ],
)
def test_a_program_that_is_none(runner: Runner, name: str, said: str) -> None:
    work = runner.new_folder()
    (work / "folder").mkdir()
    runner.write(work / "text", "text")
    runner.write(work / "other", "#!/no/such/interpreter\n").chmod(0o755)

    with pytest.raises(ToolError, match=said):
        runner.run(name, work=work)


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"a/b": Path("/etc/hostname")}, "'a/b' is no name for an input"),
        ({"..": Path("/etc/hostname")}, "'..' is no name for an input"),
        ({"": Path("/etc/hostname")}, "'' is no name for an input"),
        ({"x": Path("/no/such/file")}, "the input 'x' cannot be found"),
        ({"x": Path("/dev/null")}, "the input 'x' is neither a file nor a folder: /dev/null"),
    ],
)
def test_an_input_that_is_none(tmp_path: Path, inputs: dict[str, Path], said: str) -> None:
    with pytest.raises(ToolError, match=said):
        BubblewrapSandbox().run(Job(("true",), tmp_path, inputs))


def test_python_is_the_one_that_runs_us(runner: Runner) -> None:
    program = "import sys, pydantic; print(*sys.version_info[:3], pydantic.VERSION)"

    said = runner.python(program).stdout.decode().split()

    assert said == [*map(str, sys.version_info[:3]), pydantic.VERSION]


@pytest.mark.parametrize("start", [("python3",), ("python",), ("/usr/bin/env", "python3")])
def test_python_has_all_its_names(runner: Runner, start: tuple[str, ...]) -> None:
    result = runner.run(*start, "-S", "-c", "import sys; print(sys.version_info[:2])")

    assert result.stdout.decode().strip() == str(sys.version_info[:2])


def test_of_a_home_nothing_but_python_is_shown(runner: Runner) -> None:
    """Every folder on the way to it holds that way only."""
    shown = interpreter.interpreter().shown
    program = (
        "import os, sys, json\nfound = {}\n"
        "for path in json.load(sys.stdin):\n"
        " while (path := os.path.dirname(path)) != '/': found[path] = os.listdir(path)\n"
        "print(json.dumps(found))"
    )

    said = runner.python(program, stdin=json.dumps([str(path) for path in shown]).encode())

    ends = (*shown, *interpreter.interpreter().links)
    ways = {path for end in ends for path in (end, *end.parents)}
    for folder, names in json.loads(said.stdout).items():
        assert {Path(folder, name) for name in names} <= ways


def test_a_python_where_the_sandbox_has_other_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interpreter, "_base", lambda _: iter([Path("/work/python/bin/python3")]))
    interpreter.interpreter.cache_clear()

    with pytest.raises(MachineError, match="/work/python/bin/python3") as caught:
        interpreter.interpreter()
    interpreter.interpreter.cache_clear()
    assert caught.value.hint == "run agentkit on a Python that is installed elsewhere"


def test_a_python_of_the_system_needs_nothing_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interpreter, "_base", lambda _: iter([Path("/usr/bin/python3.11")]))
    monkeypatch.setattr(sys, "executable", "/usr/bin/python3.11")
    monkeypatch.setattr(sys, "prefix", sys.base_prefix)
    interpreter.interpreter.cache_clear()

    found = interpreter.interpreter()

    interpreter.interpreter.cache_clear()
    assert found == Interpreter(Path("/usr/bin"), {}, {})
