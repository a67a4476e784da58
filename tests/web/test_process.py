"""The service as a process: it starts, it ends in order or not at all, and nothing is lost."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from agentkit.cli import main
from agentkit.cli.unit import unit
from agentkit.client import Client
from agentkit.config import Settings
from agentkit.journal import Journal
from agentkit.runtime import Runtime
from agentkit.whereabouts import heard
from tests.engine.tiny_models import write_model

from .conftest import LIMIT

ROOT = Path(__file__).parents[2]
AGENTKIT = [sys.executable, "-m", "agentkit"]

Process = subprocess.Popen[str]


@pytest.fixture
def environment(home: Path) -> dict[str, str]:
    (home / "settings.yaml").write_text("service: {port: 0}\n")
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {**kept, "AGENTKIT_HOME": str(home), "PYTHONPATH": str(ROOT)}


@pytest.fixture
def start(home: Path, environment: dict[str, str]) -> Iterator[Callable[[], Process]]:
    """`start()`: `agentkit serve`, up."""
    processes: list[Process] = []

    def up() -> Process:
        one = subprocess.Popen(
            [*AGENTKIT, "serve"], env=environment, cwd=home, stderr=subprocess.PIPE, text=True
        )
        processes.append(one)
        assert one.stderr is not None
        line = one.stderr.readline()
        assert line.startswith("serving on http://127.0.0.1:"), line + one.stderr.read()
        return one

    yield up
    for one in processes:
        if one.poll() is None:
            one.kill()
        one.communicate(timeout=LIMIT)


@dataclass(frozen=True)
class Said:
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Said]:
    """`run("run", "greet")`: a command in an empty folder, in this process to save time."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)

    def call(*arguments: str) -> Said:
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main(list(arguments))
        said = capsys.readouterr()
        return Said(int(end.value.code or 0), said.out, said.err)

    return call


def computed(process: int) -> float:
    """Seconds of the processor that a process has taken until now, in the kernel, too."""
    stat = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")


def client() -> Client:
    found = Client.here(Settings.load())
    assert found is not None
    return found


def end_while_listening(service: Process, home: Path, run: str) -> None:
    """Listen to the events of a run, and ask the service to end meanwhile."""
    secret = (home / "service-token").read_text().strip()
    url = json.loads((home / "service.json").read_text())["url"]
    about = {"Authorization": f"Bearer {secret}"}
    with httpx.stream("GET", f"{url}/api/runs/{run}/events", headers=about) as answer:
        for line in answer.iter_lines():
            if "StepStarted" in line:
                service.send_signal(signal.SIGTERM)


def wait(said: Callable[[], bool]) -> None:
    ends = time.monotonic() + LIMIT
    while not said():
        assert time.monotonic() < ends
        time.sleep(0.02)


def beginnings(home: Path, run: str) -> dict[str, int]:
    """How often each step of a run began."""
    journal = Journal(home / "journal.sqlite")
    try:
        counts: dict[str, int] = {}
        for one in journal.attempts(run):
            counts[one.step] = counts.get(one.step, 0) + 1
        return counts
    finally:
        journal.close()


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells what a process has computed")
def test_it_is_up_in_less_than_two_seconds(start: Callable[[], Process]) -> None:
    """Of the processor: how long a person waits depends on what else the machine does."""
    assert computed(start().pid) < 2.0


def test_it_parks_runs_when_it_ends_and_goes_on_with_them(
    home: Path, start: Callable[[], Process], run: Callable[..., Said]
) -> None:
    first = start()
    assert (home / "service-token").stat().st_mode & 0o777 == 0o600
    again = run("serve")
    assert (again.returncode, "a service is up in" in again.stderr) == (2, True)
    assert f"process {first.pid}" in run("service", "status").stdout

    with client() as one:
        name = one.run("hold")
        wait((home / "runs" / name / "held").exists)
    with pytest.raises(httpx.RemoteProtocolError):  # who listens sees that it breaks off
        end_while_listening(first, home, name)
    _, said = first.communicate(timeout=LIMIT)
    assert first.returncode == 0
    assert said == f"parked run {name}: it goes on when the service starts again\n"
    assert not (home / "service.json").exists()
    assert run("service", "status").returncode == 1

    (home / "go").touch()
    start()
    with client() as one:
        wait(lambda: one.details(name).run.status == "succeeded")
    assert beginnings(home, name) == {"first": 1, "wait": 2}


def test_a_power_cut_costs_the_step_in_flight(home: Path, start: Callable[[], Process]) -> None:
    first = start()
    with client() as one:
        name = one.run("hold")
        wait((home / "runs" / name / "held").exists)
    first.kill()
    first.wait()
    assert (home / "service.json").exists()
    assert heard(Settings.load()) is None  # who listens on its port now gets no token
    (home / "go").touch()
    start()
    with client() as one:
        wait(lambda: one.details(name).run.status == "succeeded")
    assert beginnings(home, name) == {"first": 1, "wait": 2}


def test_the_command_line_hands_its_runs_over(
    home: Path,
    tmp_path: Path,
    start: Callable[[], Process],
    run: Callable[..., Said],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    alone = run("run", "greet", "--detach")
    assert (alone.returncode, "hint:  agentkit serve" in alone.stderr) == (2, True)

    start()
    done = run("run", "greet", "-i", "who=Ann")
    assert json.loads(done.stdout) == {"said": "hello Ann"}
    assert "✓ hello" in done.stderr
    assert "succeeded in" in done.stderr

    (tmp_path / "here" / "a.txt").write_text("near")
    assert run("run", "reads", "-i", "file=a.txt").returncode == 0
    assert run("run", "file", "-o", "out").returncode == 0
    assert (tmp_path / "here" / "out" / "notes" / "a.md").read_text() == "# A"
    failed = run("run", "wrong")
    assert (failed.returncode, "step 'x' failed" in failed.stderr) == (1, True)
    asked = run("run", "ask")
    assert (asked.returncode, "hint:  agentkit approvals show" in asked.stderr) == (3, True)
    wrong = run("run", "greet", "-i", "whom=Ann")
    assert (wrong.returncode, 'no input "whom"' in wrong.stderr) == (2, True)
    events = [json.loads(line) for line in run("run", "greet", "--json").stdout.splitlines()]
    assert [events[0]["kind"], events[-1]["kind"]] == ["RunStarted", "RunFinished"]

    detached = run("run", "hold", "--detach").stdout.strip()
    with client() as one:
        wait((home / "runs" / detached / "held").exists)
        assert one.details(detached).run.status == "running"
        (home / "go").touch()
        wait(lambda: one.details(detached).run.status == "succeeded")
        handed = {record.id for record in one.runs()}

    local = run("run", "greet", "--local")
    assert "✓ hello" in local.stderr
    monkeypatch.setenv("AGENTKIT_LEASE", "31")
    other = run("run", "greet")
    monkeypatch.delenv("AGENTKIT_LEASE")
    assert "this runs here: the service has other settings" in other.stderr
    (tmp_path / "here" / "tools").mkdir()
    own = run("run", "greet")
    assert "this runs here: the folder has tools or workflows of its own" in own.stderr
    with client() as one:
        assert len({record.id for record in one.runs()} - handed) == 3


def test_memory_asks_the_model_of_the_service(
    home: Path, start: Callable[[], Process], run: Callable[..., Said]
) -> None:
    (home / "settings.yaml").write_text("service: {port: 0}\nroles: {embed: tiny-embed}\n")
    with Runtime() as runtime:
        runtime.store.add(write_model(home / "tiny.gguf", "attention"), "tiny-embed", "embed")
    start()
    assert run("memory", "add", "The gardener comes.").returncode == 0
    with client() as one:
        assert one.loaded()
    assert "The gardener comes." in run("memory", "search", "gardener").stdout


def test_ctrl_c_ends_the_run_in_the_service(
    home: Path, start: Callable[[], Process], environment: dict[str, str], tmp_path: Path
) -> None:
    start()
    command = subprocess.Popen(
        [*AGENTKIT, "run", "hold"], env=environment, cwd=tmp_path, stderr=subprocess.PIPE, text=True
    )
    wait(lambda: bool(list(home.glob("runs/*/held"))))
    command.send_signal(signal.SIGINT)
    _, said = command.communicate(timeout=LIMIT)
    assert (command.returncode, "cancelled in" in said) == (130, True)
    with client() as one:
        assert [record.status for record in one.runs()] == ["cancelled"]


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize(
    ("host", "said"),
    [
        ("nowhere.invalid", "error: there is no address 'nowhere.invalid'\n"),
        ("192.0.2.7", "error: 192.0.2.7:0 cannot be had: cannot assign requested address\n"),
    ],
)
def test_an_address_that_is_not_ours_is_said(
    run: Callable[..., Said], host: str, said: str
) -> None:
    told = run("serve", "--host", host)
    assert told.returncode in (1, 2)
    assert told.stderr.startswith(said)
    assert "hint:" in told.stderr


def test_tokens_are_made_listed_and_revoked(home: Path, run: Callable[..., Said]) -> None:
    made = run("tokens", "create", "phone", "--scope", "read", "--expires", "30d")
    secret = made.stdout.strip()
    assert secret.startswith("ak-")
    assert secret not in (home / "tokens.json").read_text()
    assert (home / "tokens.json").stat().st_mode & 0o777 == 0o600
    assert run("tokens", "list").stdout.startswith("phone                read ")
    again = run("tokens", "create", "phone", "--scope", "read")
    assert again.returncode == 2
    assert run("tokens", "revoke", "phone").stdout == "revoked phone\n"
    assert run("tokens", "revoke", "phone").returncode == 2


EXPOSURE = 43
"""Tenths of the score that systemd gives the unit: 0 is shut off from everything, 10 from nothing.
docs/decisions/0013-the-service.md says what the rest is for."""

analyzed = pytest.mark.skipif(
    not shutil.which("systemd-analyze"), reason="there is no systemd-analyze here: systemd has it"
)


@pytest.fixture
def analyze(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`analyze("verify")`: what systemd says of the unit."""
    file = tmp_path / "agentkit.service"
    text = unit(
        [sys.executable, "-m", "agentkit", "serve"],
        home=tmp_path / "a home with 100 %",
        environment={"AGENTKIT_HOME": str(tmp_path / 'a "home" with 100 %')},
        writable=[tmp_path],
        patience=20,
    )
    file.write_text(text)

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["systemd-analyze", *arguments, str(file)],
            env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=LIMIT,
        )

    return call


@analyzed
def test_systemd_accepts_the_unit(
    analyze: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    verified = analyze("verify", "--user")
    assert (verified.returncode, verified.stderr) == (0, "")


@analyzed
def test_systemd_finds_the_unit_no_more_exposed_than_it_was(
    analyze: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    told = analyze("security", "--offline=yes", "--no-pager", f"--threshold={EXPOSURE}")
    if "nrecognized option" in told.stderr:
        pytest.skip("this systemd-analyze is too old to look at a file: --offline came with 250")
    assert told.returncode == 0, told.stdout.strip().splitlines()[-1:]


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """Programs that only write down how they were called; `refused` lets loginctl fail."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("systemctl", "loginctl"):
        file = programs / name
        file.write_text(
            f'#!/bin/sh\necho {name} "$@" >> {programs}/called\n'
            f"[ {name} != loginctl ] || [ ! -e {programs}/refused ]\n"
        )
        file.chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=os.pathsep)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return lambda: (programs / "called").read_text().splitlines()


@pytest.mark.usefixtures("home")
def test_an_installed_service_comes_with_the_machine(
    systemd: Callable[[], list[str]], run: Callable[..., Said], tmp_path: Path
) -> None:
    told = run("service", "install")
    assert told.stdout.endswith("it is up, and starts with the machine\n")
    assert systemd()[-2:] == [
        "systemctl --user enable --now agentkit.service", "loginctl enable-linger",
    ]  # fmt: skip
    assert "ExecStart=" in (tmp_path / "config/systemd/user/agentkit.service").read_text()


@pytest.mark.usefixtures("home")
def test_who_wants_no_lingering_is_not_asked_about_it(
    systemd: Callable[[], list[str]], run: Callable[..., Said]
) -> None:
    told = run("service", "install", "--no-linger")
    assert (told.returncode, told.stderr) == (0, "")
    assert told.stdout.endswith("it is up, and starts when you log in\n")
    assert not [line for line in systemd() if line.startswith("loginctl")]


@pytest.mark.usefixtures("home", "systemd")
def test_a_service_that_may_not_linger_is_installed_all_the_same(
    run: Callable[..., Said], tmp_path: Path
) -> None:
    (tmp_path / "programs" / "refused").touch()
    told = run("service", "install")
    assert told.returncode == 0
    assert told.stdout.endswith("it is up, and starts when you log in\n")
    assert "without anybody logged in: sudo loginctl enable-linger " in told.stderr


def test_a_cancelled_run_stays_cancelled_though_its_process_dies_in_the_middle(
    home: Path, start: Callable[[], Process]
) -> None:
    (home / "workflows" / "cleans.yaml").write_text(
        "name: cleans\nsteps:\n  - {id: wait, uses: hold}\n"
        "  - {id: after, uses: say, with: {text: x}}\nfinally:\n  - {id: clean, uses: hold}\n"
    )
    first = start()
    with client() as one:
        name = one.run("cleans")
        wait((home / "runs" / name / "held").exists)
        (home / "runs" / name / "held").unlink()
        one.cancel(name)
        wait((home / "runs" / name / "held").exists)
    first.kill()
    first.wait()
    (home / "go").touch()
    start()
    with client() as one:
        wait(lambda: one.details(name).run.status == "cancelled")
    assert beginnings(home, name) == {"wait": 1, "clean": 2}
