"""The Python that agentkit runs on, as programs in the sandbox find it: `python3`.

It may lie anywhere, also in somebody's home: only what it needs is shown, which is the executable,
the standard library and the installed packages.  A virtual environment appears at `ENVIRONMENT`,
since where it really is may be a place that means something else inside.
"""

from __future__ import annotations

import re
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from agentkit.errors import MachineError
from agentkit.jobs import INPUTS, WORK

ENVIRONMENT = Path("/opt/python")
"""Where the virtual environment is, inside."""


@dataclass(frozen=True, slots=True)
class Interpreter:
    """What to show, and where.

    `folder` holds the executable under its usual names.  `shown` maps places inside to files and
    folders of the host, `links` to places inside.
    """

    folder: Path
    shown: dict[Path, Path]
    links: dict[Path, Path]


@cache
def interpreter() -> Interpreter:
    """The running one.  Raises `MachineError` if it lies where it cannot be shown."""
    executable = Path(sys.executable).resolve()
    shown = {path: path for path in _base(executable) if not path.is_relative_to("/usr")}
    for path in shown:
        if path.is_relative_to(WORK) or path.is_relative_to(INPUTS):
            raise MachineError(
                f"the Python that agentkit runs on is in {path}, where the sandbox has other files",
                hint="run agentkit on a Python that is installed elsewhere",
            )
    if sys.prefix == sys.base_prefix:
        folder = Path(sys.executable).parent
    else:
        folder = ENVIRONMENT / "bin"
        shown |= {ENVIRONMENT / path: Path(sys.prefix, path) for path in _environment()}
    names = () if folder.is_relative_to("/usr") else _names()
    links = {folder / name: executable for name in names if folder / name != executable}
    return Interpreter(folder, shown, links)


def _names() -> tuple[str, ...]:
    return ("python", "python3", f"python{sys.version_info.major}.{sys.version_info.minor}")


def _base(executable: Path) -> Iterator[Path]:
    """What belongs to the installation, whether in an environment or not."""
    yield executable
    base = {"installed_base": sys.base_prefix, "platbase": sys.base_exec_prefix}
    yield from {Path(sysconfig.get_path(name, vars=base)) for name in ("stdlib", "platstdlib")}
    if Path(sys.base_prefix, "conda-meta").exists():
        yield Path(sys.base_prefix, "lib")  # conda takes everything from there, not from the system
        return
    maps = Path("/proc/self/maps").read_text(encoding="utf-8", errors="surrogateescape")
    yield from {Path(path) for path in re.findall(r"/\S.*/libpython[^/\n]*\.so[^/\n]*", maps)}


def _environment() -> Iterator[Path]:
    """What makes a virtual environment, relative to it."""
    yield Path("pyvenv.cfg")
    for path in {sysconfig.get_path(name) for name in ("purelib", "platlib")}:
        yield Path(path).relative_to(sys.prefix)
