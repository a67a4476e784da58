"""`agentkit service`: `agentkit serve` as a unit of systemd, started with the machine."""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import click

from agentkit.cli.live import say
from agentkit.cli.unit import NAME, unit
from agentkit.client import Client
from agentkit.config import Settings
from agentkit.errors import MachineError
from agentkit.whereabouts import heard


@click.group()
def service() -> None:
    """`agentkit serve` as a unit of systemd, started with the machine."""


@service.command()
@click.option("--print", "show", is_flag=True, help="Print the unit, and change nothing.")
@click.option("--no-linger", is_flag=True,
              help="Let it start when you log in, not already with the machine.")  # fmt: skip
def install(show: bool, no_linger: bool) -> None:
    """Write the unit, and start it now and with the machine, also before anybody logs in.

    Variables that workflows need as secrets go into ~/.agentkit/service.env, as NAME=value lines.
    """
    text = _unit(Settings.load())
    if show:
        click.echo(text, nl=False)
        return
    _systemctl("show-environment", quiet=True)  # nothing is written where nobody reads it
    file = _file()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise MachineError(f"{file} cannot be written: {error.strerror}") from None
    click.echo(f"wrote {file}")
    _systemctl("daemon-reload")
    _systemctl("enable", "--now", NAME)
    if no_linger:
        click.echo("it is up, and starts when you log in")
    elif _lingering():
        click.echo("it is up, and starts with the machine")
    else:
        click.echo("it is up, and starts when you log in")
        say(f"to have it up without anybody logged in: sudo loginctl enable-linger {_user()}")


@service.command()
def uninstall() -> None:
    """Stop the service, and remove its unit.  Runs, models and settings stay.

    That your units start with the machine stays, too: `loginctl disable-linger` takes it back.
    """
    file = _file()
    if not file.exists():
        click.echo(f"there is no {file}")
        return
    with suppress(MachineError):  # it may never have been up
        _systemctl("disable", "--now", NAME)
    file.unlink()
    with suppress(MachineError):
        _systemctl("daemon-reload")
    click.echo(f"removed {file}")


@service.command()
def status() -> None:
    """Whether a service is up, however it was started, and what it does."""
    settings = Settings.load()
    about, client = heard(settings), Client.here(settings)
    if client is None or about is None:
        click.echo("no service is up: agentkit serve, or: agentkit service install")
        sys.exit(1)
    with client:
        click.echo(f"up at {about.url}, process {about.pid}, version {about.version}")
        if not about.suits(settings):
            click.echo("settings, or agentkit, have changed since it started: start it again")
        for run in client.runs(status="running"):
            click.echo(f"  {run.id}  {run.workflow}")


@service.command()
@click.option("-f", "--follow", is_flag=True, help="Go on until Ctrl-C.")
@click.option("-n", "--lines", default=50, show_default=True, help="So many lines from the end.")
def logs(follow: bool, lines: int) -> None:
    """What the service has said, from systemd's journal."""
    more = ["--follow"] if follow else []
    _called("journalctl", "--user", "--unit", NAME, "--lines", str(lines), "--no-pager", *more)


def _unit(settings: Settings) -> str:
    names = ("AGENTKIT_HOME", "AGENTKIT_MODELS_DIR")
    permissions = settings.permissions
    return unit(
        [sys.executable, "-m", "agentkit", "serve"],
        home=settings.home,
        environment={name: os.environ[name] for name in names if os.environ.get(name)},
        writable=[
            settings.home,
            settings.models_folder,
            *permissions.unattended.write,
            *permissions.interactive.write,
        ],
        patience=settings.service.patience,
    )


def _file() -> Path:
    config = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(config).expanduser() / "systemd" / "user" / NAME


def _lingering() -> bool:
    """Whether units of this person start with the machine from now on; loginctl says why not."""
    program = shutil.which("loginctl")
    return (
        program is not None
        and not subprocess.run(  # noqa: S603
            [program, "enable-linger"], check=False
        ).returncode
    )


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # an id without a name
        return str(os.getuid())


def _systemctl(*arguments: str, quiet: bool = False) -> None:
    _called("systemctl", "--user", *arguments, quiet=quiet)


def _called(program: str, *arguments: str, quiet: bool = False) -> None:
    out = subprocess.DEVNULL if quiet else None
    done = subprocess.run([_found(program), *arguments], check=False, stdout=out)  # noqa: S603
    if done.returncode:
        said = " ".join([program, *arguments])
        raise MachineError(f"{said} failed", hint="start it yourself: agentkit serve")


def _found(program: str) -> str:
    found = shutil.which(program)
    if found is None:
        raise MachineError(f"there is no {program} here", hint="start it yourself: agentkit serve")
    return found
