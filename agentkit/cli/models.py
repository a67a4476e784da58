"""`agentkit models`: list, pull, add, show, path, remove, bench."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from agentkit.cli.interrupt import interruptible
from agentkit.errors import Cancelled, NotEnoughMemory, UserError, human_bytes
from agentkit.ports import Progress
from agentkit.runtime import Runtime

if TYPE_CHECKING:
    from agentkit.runtime.bench import Speed

PLAIN_STEP = 0.1
"""Without a terminal, progress is a line for each tenth."""


@click.group()
def models() -> None:
    """The models on this machine, and those that can be brought here."""


# -- list ------------------------------------------------------------------------------------------


@models.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_models(as_json: bool) -> None:
    """All models that agentkit knows; those that are here are marked."""
    with Runtime() as runtime:
        entries = runtime.store.entries()
    if as_json:
        _print_json([asdict(entry) for entry in entries])
        return
    cells = [
        (
            entry.name,
            entry.role or "?",
            human_bytes(entry.size) if entry.size is not None else "?",
            "damaged" if entry.fault else "yes" if entry.installed else "-",
            entry.licence,
            entry.fault or entry.summary,
        )
        for entry in entries
    ]
    for line in _table([("name", "role", "size", "here", "licence", "summary"), *cells]):
        click.echo(line)


def _table(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """The first row as heads; the last column on a line of its own where it would not fit."""
    widths = [max(map(len, column)) for column in list(zip(*rows, strict=True))[:-1]]
    in_terminal = sys.stdout.isatty()
    room = shutil.get_terminal_size().columns if in_terminal else None
    wide = sum(widths) + 2 * len(widths) + max(len(row[-1]) for row in rows)
    below = room is not None and wide > room
    for index, row in enumerate(rows):
        start = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False))
        if not below:
            line = f"{start}  {row[-1]}"
            yield click.style(line, bold=True) if index == 0 and in_terminal else line
            continue
        yield click.style(start.rstrip(), bold=index == 0 or row[3] == "yes")
        if index:
            yield click.style(f"  {row[-1]}", dim=True)


# -- pull and add ----------------------------------------------------------------------------------


@models.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
def pull(names: tuple[str, ...]) -> None:
    """Bring models here; without a NAME, those that the settings give a role.

    Ctrl-C keeps what has arrived; the next pull goes on from there.
    """
    with Runtime() as runtime, interruptible() as cancel:
        roles, store = runtime.settings.roles, runtime.store
        wanted = names or (roles.chat, roles.transcribe, roles.embed)
        for name in wanted:
            store.entry(name)  # a misspelt name is told before the first download
        for name in dict.fromkeys(wanted):
            try:
                with _meter(name) as progress:
                    manifest = store.pull(name, progress, cancel, _note)
            except Cancelled:
                click.echo(f"what has arrived of {name} is kept for the next pull", err=True)
                raise
            click.echo(f"{name}: {human_bytes(manifest.size)} from {manifest.source}")


@models.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--name", metavar="NAME", help="What to call it; otherwise its file name.")
@click.option("--role", type=click.Choice(["chat", "embed", "transcribe"]), help="What it is for.")
def add(path: Path, name: str | None, role: Literal["chat", "embed", "transcribe"] | None) -> None:
    """Copy a model that you have into the store: a GGUF file, or a folder.

    PATH is a GGUF file (a chat model), or a folder with a Whisper model for CTranslate2
    (model.bin) or a sentence-transformers model (model.safetensors).
    """
    with Runtime() as runtime, interruptible() as cancel, _meter(name or path.name) as progress:
        manifest = runtime.store.add(path, name, role, progress, cancel)
    click.echo(f"{manifest.name}: {human_bytes(manifest.size)}, role {manifest.role}")


def _note(text: str) -> None:
    click.echo(f"  {text}", err=True)


@contextmanager
def _meter(name: str) -> Iterator[Progress]:
    """A bar on stderr that goes away when it is done; without a terminal, plain lines."""
    if not sys.stderr.isatty():
        yield _plain_meter(name)
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.progress import Progress as Bars

    bars = Bars(
        "{task.description}",
        BarColumn(bar_width=20),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    with bars:
        task = bars.add_task(name, total=None)
        started = False

        def show(done: float, total: float | None, unit: str) -> None:
            nonlocal started
            if not started:  # what is here already is not speed
                bars.reset(task, total=total, completed=int(done))
                started = True
            bars.update(task, completed=done, total=total)

        yield show


def _plain_meter(name: str) -> Progress:
    shown = 0.0

    def show(done: float, total: float | None, unit: str) -> None:
        nonlocal shown
        if total and done < total and done / total >= shown + PLAIN_STEP:
            shown = done / total // PLAIN_STEP * PLAIN_STEP
            click.echo(f"{name}: {human_bytes(done)} of {human_bytes(total)}", err=True)

    return show


# -- show, path, remove ----------------------------------------------------------------------------


@models.command()
@click.argument("name")
@click.option("--context", type=click.IntRange(min=1), metavar="TOKENS",
              help="Estimate the memory for this context instead of the usual ones.")  # fmt: skip
@click.option("--verify", is_flag=True, help="Read the files and compare their digests first.")
@click.option("--template", is_flag=True, help="Print the chat template and nothing else.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(name: str, context: int | None, verify: bool, template: bool, as_json: bool) -> None:
    """What a model is, where it lies, and how much memory it will need."""
    with Runtime() as runtime:
        if verify:
            with interruptible() as cancel, _meter(name) as progress:
                runtime.store.verify(name, progress, cancel)
        if template:
            click.echo(_template(runtime, name), nl=False)
            return
        if as_json:
            _print_json(_facts_as_json(runtime, name, context))
            return
        for label, value in _facts(runtime, name, context, verified=verify):
            click.echo(f"{label:<14}{value}")


def _template(runtime: Runtime, name: str) -> str:
    runtime.store.manifest(name)  # says how to get a model that is not here
    header = runtime.store.describe(name).gguf
    if header is None or not header.chat_template:
        raise UserError(f"{name} has no chat template", hint=f"agentkit models show {name}")
    return header.chat_template


def _facts_as_json(runtime: Runtime, name: str, context: int | None) -> dict[str, Any]:
    described = runtime.store.describe(name, context)
    facts = asdict(described)
    facts["plan"] = _plan(runtime, name)
    facts["files"] = [file.model_dump() for file in described.files]
    facts["needs"] = [{**asdict(need), "total": need.total} for need in described.needs]
    return facts


def _facts(
    runtime: Runtime, name: str, context: int | None, *, verified: bool
) -> Iterator[tuple[str, str]]:
    described = runtime.store.describe(name, context)
    entry, header = described.entry, described.gguf
    yield "name", f"{entry.name} ({entry.role})"
    yield "", entry.summary
    yield "licence", entry.licence
    yield "size", human_bytes(entry.size) if entry.size is not None else "the hub will tell"
    yield "here", "yes" + ", digests checked" * verified if entry.installed else "no"
    if described.path:
        yield "path", str(described.path)
    yield from _labelled("sources", described.sources)
    yield from _labelled(
        "files", [f"{file.path}  {human_bytes(file.size)}" for file in described.files]
    )
    if described.remark:
        yield "note", described.remark
    if header is None:
        return
    yield "architecture", f"{header.architecture}, {header.layers} layers"
    yield "parameters", f"{header.parameters / 1e9:.3g} billion"
    yield "quantization", header.quantization
    yield "context", f"{header.context_length} tokens (as trained)"
    yield "tokenizer", f"{header.tokenizer}, {header.vocabulary} tokens"
    length = len(header.chat_template or "")
    yield "template", f"{length} characters (--template prints it)" if length else "none"
    free = human_bytes(described.memory_free)
    if described.gpu_memory_free:
        free += f", and {human_bytes(described.gpu_memory_free)} on the GPU"
    yield "memory", f"{free} free now; at most needed with a context of"
    for need in described.needs:
        parts = (need.weights + need.repacked, need.kv, need.compute)
        weights, kv, compute = map(human_bytes, parts)
        yield (
            "",
            (
                f"{need.context_tokens:>6} tokens  {human_bytes(need.total):>7}  "
                f"(weights {weights}, cache {kv}, work {compute})"
            ),
        )
    if plan := _plan(runtime, name):
        yield "loads as", plan


def _plan(runtime: Runtime, name: str) -> str:
    """How a chat model would be loaded now, or why it cannot be; nothing for other models."""
    entry = runtime.store.entry(name)
    if entry.role != "chat" or not entry.installed:
        return ""
    try:
        return runtime.plan(name).sentence
    except NotEnoughMemory as lack:
        return f"{lack} ({lack.hint})"


def _labelled(label: str, values: tuple[str, ...] | list[str]) -> Iterator[tuple[str, str]]:
    for index, value in enumerate(values):
        yield "" if index else label, value


@models.command()
@click.argument("name")
def path(name: str) -> None:
    """The path of a model: its file, or a folder with its files."""
    with Runtime() as runtime:
        click.echo(runtime.store.resolve(name))


@models.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
def remove(names: tuple[str, ...]) -> None:
    """Take models away; files that another model uses stay."""
    with Runtime() as runtime:
        for name in names:
            freed = runtime.store.remove(name)
            click.echo(f"{name}: removed, {human_bytes(freed)} freed")


@models.command()
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def bench(name: str | None, as_json: bool) -> None:
    """How fast a chat model is on this machine; without a NAME, the one of the role.

    Takes a minute on a CPU. Other programs make it slower: close them first.
    """
    with Runtime() as runtime:
        speed = runtime.bench(name)
    if as_json:
        _print_json({**asdict(speed), "share": speed.share})
        return
    for label, value in _speeds(speed):
        click.echo(f"{label:<14}{value}")


def _speeds(speed: Speed) -> Iterator[tuple[str, str]]:
    yield "model", speed.model
    yield "loads as", speed.plan
    yield "load", f"{speed.load_seconds:.2f} s"
    yield "prompts", f"{speed.prefill:.0f} tokens/s"
    yield "answers", f"{speed.decode:.1f} tokens/s"
    yield (
        "first token",
        f"{speed.first_token:.2f} s after {speed.prompt_tokens} new tokens, "
        f"{speed.first_token_known:.2f} s after known ones",
    )
    yield "memory", f"{human_bytes(speed.resident)} of this process"
    if speed.share is not None and speed.weights_read and speed.bandwidth:
        used, limit = human_bytes(speed.decode * speed.weights_read), human_bytes(speed.bandwidth)
        each = human_bytes(speed.weights_read)
        yield (
            "bandwidth",
            f"{speed.share:.0%} of the limit: answers read {used}/s ({each} a token), the memory "
            f"gives {limit}/s",
        )


def _print_json(value: Any) -> None:
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))
