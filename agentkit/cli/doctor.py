"""`agentkit doctor`: what is here, what is missing, and the command that mends it."""

from __future__ import annotations

import importlib.metadata
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import click

from agentkit import machine
from agentkit.errors import AgentkitError, NotEnoughMemory, human_bytes
from agentkit.runtime import Runtime

LOW_DISK = 5_000_000_000
MARKS = {"good": ("✓", "green"), "note": ("-", "yellow"), "bad": ("✗", "red")}
REBUILD = (
    'CMAKE_ARGS="-DCMAKE_C_FLAGS=-U__AMX_INT8__ -DCMAKE_CXX_FLAGS=-U__AMX_INT8__" pip install '
    "--force-reinstall --no-deps --no-cache-dir llama-cpp-python"
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: `bad` stops something from working, a `note` makes it slower or smaller."""

    state: Literal["good", "note", "bad"]
    topic: str
    text: str
    mend: str = ""


@click.command()
@click.pass_context
def doctor(context: click.Context) -> None:
    """Look at this machine and at what agentkit needs.

    Exits with 1 if something is broken, or missing that the shipped workflows need.
    """
    worst = 0
    with Runtime() as runtime:
        for finding in _examine(runtime):
            mark, colour = MARKS[finding.state]
            click.echo(f"{click.style(mark, fg=colour)} {finding.topic:<11} {finding.text}")
            if finding.mend:
                click.echo(f"  {'':<11} mend: {finding.mend}")
            worst |= finding.state == "bad"
    context.exit(worst)


def _examine(runtime: Runtime) -> Iterator[Finding]:
    checks: tuple[Callable[[Runtime], Iterator[Finding]], ...] = (
        _python, _cpu, _gpu, _engine, _memory, _disk, _models, _tools, _sandbox, _workflows,
        _journal, _programs,
    )  # fmt: skip
    for check in checks:
        try:
            yield from check(runtime)
        except AgentkitError as error:
            yield Finding("bad", check.__name__.strip("_"), str(error), error.hint or "")


def _python(runtime: Runtime) -> Iterator[Finding]:
    del runtime
    version = platform.python_version()
    supported = (3, 11) <= sys.version_info < (3, 14)
    mend = "" if supported else "use Python 3.11, 3.12 or 3.13"
    yield Finding("good" if supported else "bad", "python", version, mend)


def _cpu(runtime: Runtime) -> Iterator[Finding]:
    del runtime
    features = machine.cpu_features()
    cores = f"{machine.physical_cores()} cores, {machine.usable_cores()} threads"
    fast = any(name in features for name in ("avx2", "asimddp"))
    text = f"{machine.cpu_name()}, {cores} ({', '.join(features) or 'no vector instructions'})"
    yield Finding("good" if fast else "note", "cpu", text)


def _gpu(runtime: Runtime) -> Iterator[Finding]:
    offload = runtime.engine_build().startswith("GPU")
    found = machine.gpus()
    for gpu in found:
        text = f"{gpu.name}, {human_bytes(gpu.memory_free)} of {human_bytes(gpu.memory_total)} free"
        mend = (
            'CMAKE_ARGS="-DGGML_CUDA=on" pip install --force-reinstall --no-deps --no-cache-dir '
            "llama-cpp-python"
        )
        yield Finding("good" if offload else "note", "gpu", text, "" if offload else mend)
    if not found:
        yield Finding("note", "gpu", "none found: models run on the CPU")


def _engine(runtime: Runtime) -> Iterator[Finding]:
    build = runtime.engine_build()
    version = importlib.metadata.version("llama-cpp-python")
    if "AMX_INT8 = 1" in build:
        text = f"llama-cpp-python {version}, built with AMX, which is kept off because it crashes"
        yield Finding("note", "engine", text + ": prompts are read more slowly", REBUILD)
    else:
        yield Finding("good", "engine", f"llama-cpp-python {version}, {build.split(';')[0]}")


def _memory(runtime: Runtime) -> Iterator[Finding]:
    total, free = machine.memory()
    yield Finding("good", "memory", f"{human_bytes(free)} of {human_bytes(total)} free")
    name = runtime.settings.roles.chat
    if name in runtime.settings.remotes or not runtime.store.entry(name).installed:
        return
    try:
        plan = runtime.plan(name)
    except NotEnoughMemory as lack:
        yield Finding("bad", "memory", str(lack), lack.hint or "")
        return
    tight = plan.cramped and "; with more memory free it would be better"
    yield Finding("note" if tight else "good", "loads as", f"{name}: {plan.sentence}{tight or ''}")


def _disk(runtime: Runtime) -> Iterator[Finding]:
    for topic, folder in (
        ("home", runtime.settings.home),
        ("store", runtime.settings.models_folder),
    ):
        place = _existing(folder)
        free = shutil.disk_usage(place).free
        state: Literal["good", "note"] = "good" if free > LOW_DISK else "note"
        mend = "" if free > LOW_DISK else "agentkit models remove NAME"
        yield Finding(state, topic, f"{folder}, {human_bytes(free)} free", mend)


def _models(runtime: Runtime) -> Iterator[Finding]:
    for role, name in runtime.settings.roles.model_dump().items():
        if role == "chat" and name in runtime.settings.remotes:
            where = runtime.settings.remotes[name].url
            yield Finding("good", "model", f"{name} ({role}) on {where}, which is not asked here")
            continue
        here = runtime.store.entry(name).installed
        if here:
            runtime.store.resolve(name)
        state: Literal["good", "note", "bad"] = (
            "good" if here else "note" if role == "embed" else "bad"
        )
        text = f"{name} ({role})" + ("" if here else " is not here yet")
        yield Finding(state, "model", text, "" if here else f"agentkit models pull {name}")


def _tools(runtime: Runtime) -> Iterator[Finding]:
    yield Finding("good", "tools", ", ".join(runtime.toolbox.names()))
    for bad in runtime.toolbox.bad:
        yield Finding("bad", "tools", str(bad), f"edit {bad.source}")


def _sandbox(runtime: Runtime) -> Iterator[Finding]:
    works, text, mend = runtime.sandbox_state()
    yield Finding("good" if works else "note", "sandbox", text, mend)


def _workflows(runtime: Runtime) -> Iterator[Finding]:
    names = runtime.workflow_names()
    yield Finding("good", "workflows", ", ".join(names))


def _journal(runtime: Runtime) -> Iterator[Finding]:
    if not runtime.settings.journal_file.exists():
        yield Finding("good", "journal", "none yet: the first run makes it")
        return
    count = runtime.journal.count()
    size = human_bytes(runtime.settings.journal_file.stat().st_size)
    yield Finding("good", "journal", f"{runtime.settings.journal_file}, {count} runs, {size}")


def _programs(runtime: Runtime) -> Iterator[Finding]:
    """What is not needed to run, and for what it would be good."""
    del runtime
    try:
        importlib.metadata.version("pip")
        yield Finding("good", "pip", "fetches models from package registries where hubs are barred")
    except importlib.metadata.PackageNotFoundError:
        yield Finding("note", "pip", "models cannot be fetched from package registries",
                      "python -m ensurepip")  # fmt: skip


def _existing(folder: Path) -> Path:
    while not folder.exists():
        folder = folder.parent
    return folder
