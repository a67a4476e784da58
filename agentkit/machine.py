"""What this machine is: cores, memory, CPU features, GPUs.  Read from the system each time."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from pathlib import Path

from agentkit.values import dataclass


@dataclass(frozen=True, slots=True)
class Gpu:
    """One NVIDIA GPU; bytes."""

    name: str
    memory_total: int
    memory_free: int


def usable_cores() -> int:
    """Logical cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def physical_cores() -> int:
    """Cores without hyper-threads, within what this process may use.

    llama.cpp and CTranslate2 get slower, not faster, with one thread on each hyper-thread.
    """
    siblings = {
        path.read_text(encoding="ascii").strip()
        for path in Path("/sys/devices/system/cpu").glob("cpu[0-9]*/topology/thread_siblings_list")
    }
    return max(1, min(len(siblings) or usable_cores(), usable_cores()))


def memory() -> tuple[int, int]:
    """Bytes of memory: `(total, available without swapping)`; zeros where it cannot be told."""
    meminfo = Path("/proc/meminfo")
    if not meminfo.exists():
        return 0, 0
    lines = dict(line.split(":", 1) for line in meminfo.read_text(encoding="ascii").splitlines())

    def count(key: str) -> int:
        return int(lines.get(key, "0 kB").split()[0]) * 1024

    return count("MemTotal"), count("MemAvailable")


def cpu_name() -> str:
    """The processor as it calls itself."""
    return _cpuinfo().get("model name") or platform.processor() or platform.machine()


def cpu_features() -> tuple[str, ...]:
    """The vector instructions that decide the speed of a model, of those this CPU has."""
    flags = set((_cpuinfo().get("flags") or _cpuinfo().get("Features") or "").split())
    wanted = ("avx2", "fma", "f16c", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "asimddp")
    return tuple(name for name in wanted if name in flags)


def gpus() -> tuple[Gpu, ...]:
    """NVIDIA GPUs, asked of the driver's own tool; empty where there is none."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return ()
    query = [program, "--query-gpu=name,memory.total,memory.free", "--format=csv,noheader,nounits"]
    try:
        asked = subprocess.run(query, capture_output=True, text=True, timeout=10, check=True)  # noqa: S603 (a fixed command)
    except (OSError, subprocess.SubprocessError):
        return ()
    rows = (line.rsplit(", ", 2) for line in asked.stdout.splitlines() if line.count(", ") >= 2)
    return tuple(
        Gpu(name, int(total) << 20, int(free) << 20)
        for name, total, free in rows
        if total.isdecimal() and free.isdecimal()  # "[N/A]" where it shares the system's memory
    )


def _cpuinfo() -> dict[str, str]:
    path = Path("/proc/cpuinfo")
    if not path.exists():
        return {}
    first = path.read_text(encoding="utf-8", errors="replace").split("\n\n")[0]
    pairs = (line.split(":", 1) for line in first.splitlines() if ":" in line)
    return {key.strip(): value.strip() for key, value in pairs}
