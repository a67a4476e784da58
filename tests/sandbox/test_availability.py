"""Where programs cannot be kept apart, nothing is run, and it is said what to do about it."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from pathlib import Path

import pytest

from agentkit.errors import MachineError
from agentkit.jobs import Job
from agentkit.sandbox import (
    Availability,
    BubblewrapSandbox,
    availability,
    bubblewrap,
    diagnosis,
    syscalls,
)
from agentkit.sandbox.interpreter import Interpreter

from .runner import Runner

SETTINGS = "or run such code with your own rights: `sandbox: none` in settings"


def refusal(work: Path) -> MachineError:
    with pytest.raises(MachineError) as caught:
        BubblewrapSandbox().run(Job(("touch", "x"), work))
    assert not (work / "x").exists()
    return caught.value


def test_it_works_here(runner: Runner) -> None:
    assert runner.run("true").exit_code == 0
    assert availability() == Availability(True)


def test_without_bubblewrap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)

    error = refusal(tmp_path)

    assert error.message == "bubblewrap, which keeps programs apart, is not installed"
    assert error.hint == f"{diagnosis.install('bubblewrap')}; {SETTINGS}"
    assert availability() == Availability(False, error.message, error.hint)


@pytest.mark.parametrize("fault", [RuntimeError("Unable to find libseccomp"), ImportError("no")])
def test_without_libseccomp(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    def program() -> bytes:
        raise fault

    monkeypatch.setattr(syscalls, "program", program)

    error = refusal(tmp_path)

    assert error.message == "libseccomp, which refuses dangerous system calls, cannot be loaded"
    assert str(error.hint).startswith(diagnosis.install("libseccomp"))


def test_on_another_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(platform, "system", lambda: "Darwin")

    error = refusal(tmp_path)

    assert error.message == "programs are kept apart by Linux only, and this is Darwin"
    assert error.hint == SETTINGS


def test_on_an_old_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnosis, "kernel", lambda: (4, 18))
    monkeypatch.setattr(platform, "release", lambda: "4.18.0-553.el8.x86_64")

    assert refusal(tmp_path).message == (
        "the sandbox needs Linux 5.3, and this is 4.18.0-553.el8.x86_64"
    )


def test_on_another_processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")

    assert "this is riscv64" in refusal(tmp_path).message


def fake_bwrap(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    program = folder / "bwrap"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    real = shutil.which
    monkeypatch.setattr(
        shutil, "which", lambda name, **how: str(program) if name == "bwrap" else real(name, **how)
    )


@pytest.mark.parametrize(
    ("said", "hint"),
    [
        ("Unknown option --size", "a newer bubblewrap is needed, 0.7 at least"),
        ("Can't mount proc on /newroot/proc: Operation not permitted", "agentkit doctor"),
        ("No permissions to creating new namespace", "agentkit doctor"),
    ],
)
def test_bubblewrap_says_why_it_cannot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, hint: str
) -> None:
    fake_bwrap(
        tmp_path, monkeypatch, f"echo 'bwrap: a warning' >&2; echo \"bwrap: {said}\" >&2; exit 1"
    )
    monkeypatch.setattr(diagnosis, "in_container", lambda: False)

    error = refusal(tmp_path)

    assert error.message == f"bubblewrap cannot keep programs apart here: {said}"
    assert str(error.hint).startswith(hint)


def test_bubblewrap_that_says_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_bwrap(tmp_path, monkeypatch, "exit 1")

    assert refusal(tmp_path).message.endswith("here: no word why")


def test_a_sandbox_that_cannot_be_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bubblewrap dies at once, before or after we hear of it: it is the same to us."""
    shown = {Path("/opt/x"): Path("/no/such/file")}
    monkeypatch.setattr(bubblewrap, "interpreter", lambda: Interpreter(Path("/usr/bin"), shown, {}))

    for _ in range(20):
        assert refusal(tmp_path).message == (
            "bubblewrap cannot keep programs apart here: "
            "Can't find source path /no/such/file: No such file or directory"
        )


def test_in_a_container_it_is_said_how_to_start_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("container", "podman")

    assert str(diagnosis.refused("bwrap: no").hint).startswith(
        "start the container with --cap-add SYS_ADMIN"
    )


@pytest.mark.parametrize(("name", "value", "command"), [
    (name, value, command) for name, (value, command) in diagnosis.SWITCHES.items()
])  # fmt: skip
def test_a_switch_of_the_kernel_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, command: str
) -> None:
    (tmp_path / name).parent.mkdir(parents=True)
    (tmp_path / name).write_text(value + "\n")
    monkeypatch.setattr(diagnosis, "SWITCHES_FOLDER", tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    assert diagnosis.refused("bwrap: setting up uid map: Permission denied").hint == (
        f"{command}; {SETTINGS}"
    )


RELEASES = {
    "ID=debian\n": ("apt-get install bubblewrap", "apt-get install libseccomp2"),
    "ID=ubuntu\nID_LIKE=debian\n": ("apt-get install bubblewrap", "apt-get install libseccomp2"),
    'ID=linuxmint\nID_LIKE="ubuntu debian"\n': (
        "apt-get install bubblewrap", "apt-get install libseccomp2",
    ),
    "NAME=Fedora\nID=fedora\n": ("dnf install bubblewrap", "dnf install libseccomp"),
    'ID="rocky"\nID_LIKE="rhel centos fedora"\n': (
        "dnf install bubblewrap", "dnf install libseccomp",
    ),
    "ID=arch\n": ("pacman -S bubblewrap", "pacman -S libseccomp"),
    'ID="opensuse-leap"\nID_LIKE="suse opensuse"\n': (
        "zypper install bubblewrap", "zypper install libseccomp2",
    ),
    "ID=alpine\n": ("apk add bubblewrap", "apk add libseccomp"),
    "ID=nixos\n": (
        "install bubblewrap with the package manager of your system",
        "install libseccomp with the package manager of your system",
    ),
}  # fmt: skip


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize(("uid", "sudo"), [(0, ""), (1000, "sudo ")])
def test_each_system_has_its_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, release: str, uid: int, sudo: str
) -> None:
    (tmp_path / "os-release").write_text(release)
    monkeypatch.setattr(os, "geteuid", lambda: uid)

    found = tuple(
        diagnosis.install(package, tmp_path / "os-release")
        for package in ("bubblewrap", "libseccomp")
    )

    expected = RELEASES[release]
    assert found == tuple(said if said.startswith("install") else sudo + said for said in expected)
