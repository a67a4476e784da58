"""The sandbox, used by root and by an ordinary user.

Tests are run by one user.  If that is root, the other half goes through a child that is nobody in
particular; it sees the same files as root, but for homes that are closed to it, of which it sees
the Python and the checkout that it runs.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agentkit.errors import MachineError, ToolError
from agentkit.jobs import JobResult

CHECKOUT = Path(__file__).parents[2]
DRIVER = Path(__file__).with_name("driver.py")

SECRET = "swordfish-4711"
"""What no program in a sandbox may ever see."""

SOMEBODY = 12345
"""An ordinary user, and its group."""

ERRORS = {"ToolError": ToolError, "MachineError": MachineError}


def users() -> list[str]:
    """Who can use the sandbox in this run of the tests."""
    return ["root", "ordinary"] if os.geteuid() == 0 else ["ordinary"]


@dataclass
class Runner:
    """The sandbox in the hands of one user.  `folder` is all of this user's; it holds a secret."""

    user: str
    folder: Path
    driver: subprocess.Popen[str]
    pid: int
    count: int = 0

    @property
    def uid(self) -> int:
        """Whose files the user's are."""
        return SOMEBODY if self.user == "ordinary" and os.geteuid() == 0 else os.geteuid()

    @property
    def secret(self) -> Path:
        """A file that only the user may read."""
        return self.folder / "secret.txt"

    def new_folder(self) -> Path:
        """A new folder of the user's."""
        self.count += 1
        folder = self.folder / f"work-{self.count}"
        folder.mkdir()
        self.own(folder)
        return folder

    def own(self, path: Path) -> Path:
        """Make the user the owner."""
        os.chown(path, self.uid, self.uid, follow_symlinks=False)
        return path

    def write(self, path: Path, text: str) -> Path:
        """A file of the user's."""
        path.write_text(text, encoding="utf-8")
        return self.own(path)

    def run(self, *argv: str, **how: Any) -> JobResult:
        """Run a program.  Raises what the sandbox raises."""
        self.send(*argv, **how)
        return self.receive()

    def receive(self) -> JobResult:
        """What came of the program that was asked for.  Raises what the sandbox raises."""
        assert self.driver.stdout is not None
        line = self.driver.stdout.readline()
        assert line, f"the driver ended with {self.driver.wait()}"
        answer = json.loads(line)
        if "error" in answer:
            raise ERRORS[answer["error"]](answer["message"], hint=answer["hint"])
        result = answer["result"]
        for name in ("stdout", "stderr"):
            result[name] = base64.b64decode(result[name])
        for name in ("changed", "removed"):
            result[name] = tuple(result[name])
        return JobResult(**result)

    def send(
        self,
        *argv: str,
        work: Path | None = None,
        inputs: Mapping[str, Path] | None = None,
        stdin: bytes = b"",
        environment: Mapping[str, str] | None = None,
        cancel_when: Path | None = None,
        sandbox: str = "bubblewrap",
        apart: Path | None = None,
        **limits: float,
    ) -> None:
        """Ask for a program to be run."""
        asked = {
            "argv": argv,
            "work": str(work or self.new_folder()),
            "inputs": {name: str(path) for name, path in (inputs or {}).items()},
            "stdin": base64.b64encode(stdin).decode(),
            "environment": dict(environment or {}),
            "limits": limits,
            "cancel_when": str(cancel_when) if cancel_when else None,
            "sandbox": sandbox,
            "apart": str(apart) if apart else None,
        }
        assert self.driver.stdin is not None
        self.driver.stdin.write(json.dumps(asked) + "\n")
        self.driver.stdin.flush()

    def python(self, program: str, **how: Any) -> JobResult:
        """Run a program in Python."""
        return self.run("python3", "-c", program, **how)


@contextmanager
def running(user: str) -> Iterator[Runner]:
    """A runner for a user, with a folder that is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="agentkit-sandbox-"))
    try:
        with started(user, folder) as driver:
            assert driver.stdout is not None
            runner = Runner(user, folder, driver, int(driver.stdout.readline()))
            runner.own(folder)
            runner.write(runner.secret, SECRET).chmod(0o600)
            yield runner
    finally:
        shutil.rmtree(folder)


@contextmanager
def started(user: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [*becoming(user), sys.executable, str(DRIVER)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "A_SECRET": SECRET,
            "PYTHONPATH": str(CHECKOUT),
        },
    ) as driver:
        yield driver
        assert driver.stdin is not None
        driver.stdin.close()


def becoming(user: str) -> list[str]:
    """The start of a command that is run by this user."""
    if user == "root" or os.geteuid() != 0:
        return []
    if shutil.which("bwrap") is None:
        pytest.fail("these tests need bubblewrap: apt-get install bubblewrap, or make test")
    who = str(SOMEBODY)
    return [
        *("bwrap", "--die-with-parent", "--dev-bind", "/", "/", *_opened_homes(), "--"),
        *("setpriv", "--reuid", who, "--regid", who, "--clear-groups", "--inh-caps=-all", "--"),
    ]


def _opened_homes() -> Iterator[str]:
    needed = {path: _closed(path) for path in (CHECKOUT, Path(sys.prefix), Path(sys.base_prefix))}
    closed = {path: home for path, home in needed.items() if home}
    for home in sorted(set(closed.values())):
        yield from ("--perms", "0755", "--tmpfs", str(home))
    for path, home in closed.items():
        for parent in reversed(path.parents):
            if parent.is_relative_to(home) and parent != home:
                yield from ("--perms", "0755", "--dir", str(parent))
        yield from ("--ro-bind", str(path), str(path))


def _closed(path: Path) -> Path | None:
    """The topmost folder on the way that others may not pass."""
    above = [*reversed(path.parents), path]
    return next((folder for folder in above if not folder.stat().st_mode & 0o001), None)


def survivors(mark: str) -> list[str]:
    """Processes anywhere on this machine that have a mark on their command line."""
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = place.read_bytes().split(b"\0")
        except OSError:
            continue
        if mark.encode() in words:
            found.append(place.parent.name)
    return found


def open_descriptors() -> list[str]:
    """The open files of this process."""
    return sorted(path.name for path in Path("/proc/self/fd").iterdir())
