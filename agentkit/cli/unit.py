"""The unit of systemd for `agentkit serve`: started with the machine, hardened, ended in order.

Two things bound what can be taken away.  Code of models runs in bubblewrap, which makes namespaces
and mounts a fresh /proc: `RestrictNamespaces`, `ProtectProc`, `ProtectKernelTunables` and
`ProtectKernelLogs` would break that.  And a person hands runs over with folders and files of his
own: his home stays writable, but for what holds keys.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

NAME = "agentkit.service"

KEYS = (".ssh", ".gnupg", ".aws", ".kube", ".config/gcloud", ".mozilla")
"""Folders in a home that no run has any business in."""

TEMPLATE = """\
# Written by `agentkit service install`, which writes it anew.
[Unit]
Description=agentkit: runs, schedule and models of this machine
Documentation=man:systemd.service(5)
StartLimitIntervalSec=300
StartLimitBurst=5

[Service]
Type=notify
ExecStart={command}
WorkingDirectory=~
{environment}EnvironmentFile=-{secrets}
Restart=on-failure
RestartSec=5
# Runs are parked within {patience} seconds.
TimeoutStopSec={stop}
KillMode=mixed
# Limits on the code of models are kept by the kernel, in groups below this one.
Delegate=cpu memory pids

NoNewPrivileges=yes
UMask=0077
ProtectSystem=strict
ReadWritePaths={writable}
InaccessiblePaths={hidden}
ProtectKernelModules=yes
ProtectHostname=yes
ProtectClock=yes
LockPersonality=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
SystemCallArchitectures=native
SystemCallFilter=~@clock @cpu-emulation @debug @module @obsolete @raw-io @reboot @swap
SystemCallErrorNumber=EPERM
CapabilityBoundingSet=
AmbientCapabilities=
KeyringMode=private

[Install]
WantedBy=default.target
"""


def unit(
    command: Sequence[str],
    *,
    home: Path,
    environment: Mapping[str, str],
    writable: Sequence[Path],
    patience: float,
) -> str:
    """The text of the unit; `home` is agentkit's, `environment` what it was installed with."""
    lines = [f"Environment={_quoted(f'{name}={value}')}\n" for name, value in environment.items()]
    return TEMPLATE.format(
        command=" ".join(map(_quoted, command)),
        environment="".join(lines),
        secrets=_escaped(str(home / "service.env")),
        patience=f"{patience:g}",
        stop=int(patience) + 15,
        writable=" ".join(["%h", "/tmp", "/var/tmp", *(_quoted(f"-{path}") for path in writable)]),  # noqa: S108
        hidden=" ".join(f"-%h/{name}" for name in KEYS),
    )


def _escaped(text: str) -> str:
    return text.replace("%", "%%")


def _quoted(text: str) -> str:
    """As systemd reads it (systemd.syntax(7)): `%` doubled, quotes and backslashes escaped."""
    text = _escaped(text)
    if text and all(c.isalnum() or c in "/._-=:@%+," for c in text):
        return text
    inner = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{inner}"'
