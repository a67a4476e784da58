"""`agentkit memory`: what is remembered, and what is taken in, found, forgotten, moved.

Texts from memory are printed as data: without the control characters that a terminal would obey.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agentkit.cli.handover import helper, local_option
from agentkit.cli.interrupt import interruptible
from agentkit.cli.live import say
from agentkit.errors import MachineError, UserError, human_bytes
from agentkit.ports import Condition, Progress, Scalar, Taken
from agentkit.runtime import Runtime

if TYPE_CHECKING:
    from agentkit.runtime.memories import Collection

SNIPPET = 240
"""Characters of a text in a list; `--full` and `--json` give all."""

TYPED = "command line"
"""The source of a text that was typed without one."""

SOON = 2.0
"""Seconds until a bar appears."""

_CONDITION = re.compile(r"\s*([^=!<>~\s][^=!<>~]*?)\s*(!=|<=|>=|=|<|>|~)\s*(.*)", re.DOTALL)

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")

collection_option = click.option(
    "--collection", "-c", metavar="NAME", help="Which memory; otherwise that of the settings."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
where_option = click.option(
    "--where",
    "-w",
    "where",
    multiple=True,
    metavar="CONDITION",
    help="Only entries that fit: year>=2024, source~notes/*, time<2026-01-01. All have to.",
)


@click.group()
def memory() -> None:
    """What is remembered: notes and documents, found by meaning and by words."""


# -- add -------------------------------------------------------------------------------------------


@memory.command()
@click.argument("what", nargs=-1, required=True, metavar="TEXT|FILE|FOLDER...")
@click.option("--source", default=TYPED, metavar="TEXT", show_default=True,
              help="Where a text is from.")  # fmt: skip
@click.option("--meta", multiple=True, metavar="KEY=VALUE", help="Metadata to filter by.")
@click.option("--forget-gone", is_flag=True,
              help="Forget documents that are no longer in the folder.")  # fmt: skip
@collection_option
@json_option
@local_option
def add(
    what: tuple[str, ...],
    source: str,
    meta: tuple[str, ...],
    forget_gone: bool,
    collection: str | None,
    as_json: bool,
    local: bool,
) -> None:
    """Remember texts, files, folders.

    Files are text, Markdown, HTML, PDF, Word (docx), and transcripts of agentkit.  What was taken
    in before and has not changed is left alone.  "-" reads a text from stdin.  Where a service is
    up (agentkit serve), its embedder does the work.
    """
    from agentkit.runtime.memories import take_in

    texts, paths = _sorted_out(what)
    metadata = _metadata(meta)
    with (
        Runtime(notice=say) as runtime,
        helper(runtime, local=local, paths=paths, said=[texts, source, metadata]) as client,
        interruptible() as cancel,
    ):
        kept = runtime.memories.collection(collection)
        save, take = kept.save, partial(take_in, kept)
        if client is not None:
            save, take = partial(client.keep, kept.name), partial(client.take_in, kept.name)
        saved = [_saved(kept, save, text, source, metadata) for text in texts]
        taken = None
        if paths:
            with _bar("taking in") as progress:
                taken = take(paths, metadata=metadata, forget_gone=forget_gone,
                             progress=progress, cancel=cancel)  # fmt: skip
    if as_json:
        files = asdict(taken) if taken else {}
        click.echo(json.dumps({"ids": [one for one, _ in saved], **files}, ensure_ascii=False))
        return
    for one, new in saved:
        click.echo(one if new else f"{one}  (was here already)")
    if taken:
        _tell(taken)


def _saved(
    kept: Collection,
    save: Callable[..., str],
    text: str,
    source: str,
    metadata: dict[str, Scalar],
) -> tuple[str, bool]:
    """The id of a note, and whether it is a new one."""
    before = kept.count()
    return save(text, source=source, metadata=metadata), kept.count() > before


def _sorted_out(what: Sequence[str]) -> tuple[list[str], list[Path]]:
    """Which of the arguments are texts, and which paths."""
    texts, paths = [], []
    for one in what:
        if one == "-":
            texts.append(sys.stdin.read())
        elif _is_path(one):
            paths.append(Path(one))
        else:
            texts.append(one)
    return texts, paths


def _is_path(text: str) -> bool:
    if not text:  # to pathlib, this folder
        return False
    try:
        there = Path(text).exists()
    except (OSError, ValueError):  # longer than a name may be, or with a NUL in it
        return False
    looks = not re.search(r"\s", text) and ("/" in text or re.search(r"\.\w{1,5}$", text))
    if looks and not there and not text.startswith(("http://", "https://")):
        raise UserError(
            f"{text}: there is no such file or folder",
            hint=f"if it is a text: echo '{text}' | agentkit memory add -",
        )
    return there


def _tell(taken: Taken) -> None:
    for refused in taken.refused:
        click.echo(click.style(f"  ! {_plain(refused)}", fg="yellow"), err=True)
    parts = [
        f"{len(files)} {word}"
        for word, files in (
            ("added", taken.added), ("changed", taken.changed), ("unchanged", taken.unchanged),
            ("forgotten", taken.gone), ("refused", taken.refused),
        )
        if files
    ]  # fmt: skip
    parts += [f"{taken.skipped} of other kinds left out"] if taken.skipped else []
    passages = f"; {taken.passages} passages" if taken.passages else ""
    click.echo("files: " + (", ".join(parts) or "none") + passages)


# -- search and list -------------------------------------------------------------------------------


@memory.command()
@click.argument("query")
@click.option("--limit", "-n", default=5, show_default=True, type=click.IntRange(1, 1000))
@click.option("--full", is_flag=True, help="Print whole texts.")
@where_option
@collection_option
@json_option
@local_option
def search(
    query: str,
    limit: int,
    full: bool,
    where: tuple[str, ...],
    collection: str | None,
    as_json: bool,
    local: bool,
) -> None:
    """Find what is remembered, best first: by meaning and by words together.

    The number in front is the nearness in meaning, from 0 to 1.
    """
    conditions = _conditions(where)
    values = [asdict(condition) for condition in conditions]
    with Runtime(notice=say) as runtime:
        kept = runtime.memories.collection(collection, must_exist=True)
        here = local or not kept.exists  # where nothing was kept nothing is loaded, either
        with helper(runtime, local=here, said=[query, values]) as client:
            seek = kept.search if client is None else partial(client.search, kept.name)
            found = seek(query, limit=limit, where=conditions)
    if as_json:
        _print_json([asdict(one) for one in found])
        return
    if not found:
        _tell_nothing(kept, "nothing found")
    for one in found:
        place = [one.source or "-", *(f"{key}={value}" for key, value in one.metadata.items())]
        score = click.style(f"{one.score:.2f}", bold=True)
        click.echo(f"{score}  {one.id}  {click.style(_plain('  '.join(place)), fg='cyan')}")
        click.echo(f"      {_shown(one.text, full)}")


@memory.command("list")
@click.option("--limit", "-n", default=20, show_default=True, type=click.IntRange(min=1))
@click.option("--full", is_flag=True, help="Print whole texts.")
@where_option
@collection_option
@json_option
def list_entries(
    limit: int, full: bool, where: tuple[str, ...], collection: str | None, as_json: bool
) -> None:
    """What is remembered, the newest first."""
    with Runtime() as runtime:
        kept = runtime.memories.collection(collection, must_exist=True)
        conditions = _conditions(where)
        found, total = kept.entries(conditions, limit=limit), kept.count(conditions)
    if as_json:
        _print_json([asdict(one) for one in found])
        return
    if not found:
        _tell_nothing(kept, "no entry fits")
    for one in found:
        when = one.time.astimezone().strftime("%Y-%m-%d %H:%M")
        click.echo(f"{one.id}  {when}  {click.style(_plain(one.source or '-'), fg='cyan')}")
        click.echo(f"      {_shown(one.text, full)}")
    if total > len(found):
        click.echo(f"… and {total - len(found)} more (--limit)", err=True)


def _tell_nothing(kept: Collection, otherwise: str) -> None:
    """Why there is nothing to show: nothing was ever kept, or nothing fits."""
    empty = not kept.count()
    click.echo(
        f"nothing is remembered in {kept.name!r} yet: agentkit memory add TEXT|FILE|FOLDER"
        if empty
        else otherwise,
        err=True,
    )


# -- forget ----------------------------------------------------------------------------------------


@memory.command()
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option("--all", "everything", is_flag=True, help="Forget the whole collection.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@where_option
@collection_option
def forget(
    ids: tuple[str, ...],
    everything: bool,
    yes: bool,
    where: tuple[str, ...],
    collection: str | None,
) -> None:
    """Forget entries by their id, or all that fit conditions."""
    if bool(ids) + bool(where) + everything != 1:
        raise UserError(
            "say what to forget: ids, conditions, or --all",
            hint="agentkit memory forget --where source~notes/*",
        )
    with Runtime() as runtime:
        kept = runtime.memories.collection(collection, must_exist=True)
        unknown = [one for one in ids if not kept.count([Condition("id", "=", one)])]
        if unknown:  # then nothing is forgotten: it may be the wrong memory
            raise UserError(
                f"no entry of the memory {kept.name!r} has the id {', '.join(unknown)}",
                hint="agentkit memory list",
            )
        conditions = _conditions(where)
        if not ids and not yes and sys.stdin.isatty() and (count := kept.count(conditions)):
            click.confirm(f"forget {count} entries of {kept.name}?", abort=True)
        if everything:
            gone = kept.forget_all()
        elif ids:
            gone = sum(kept.forget([Condition("id", "=", one)]) for one in ids)
        else:
            gone = kept.forget(conditions)
    click.echo(f"{gone} forgotten")


# -- export and import -----------------------------------------------------------------------------


@memory.command("export")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True))
@click.option("--vectors", is_flag=True, help="With the vectors: an import need not compute them.")
@collection_option
def export_entries(file: Path, vectors: bool, collection: str | None) -> None:
    """Write a memory into a file of JSON lines; "-" is stdout."""
    from agentkit.runtime.memories import export

    with Runtime() as runtime, _bar("exporting") as progress:
        kept = runtime.memories.collection(collection, must_exist=True)
        if str(file) == "-":
            export(kept, sys.stdout, with_vectors=vectors, progress=progress)
            return
        aside = file.with_name(f".{file.name}.part")
        try:
            with aside.open("w", encoding="utf-8") as out:
                count = export(kept, out, with_vectors=vectors, progress=progress)
            aside.replace(file)
        finally:
            aside.unlink(missing_ok=True)
    click.echo(f"{count} entries in {file}")


@memory.command("import")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@collection_option
@local_option
def import_entries(file: Path, collection: str | None, local: bool) -> None:
    """Add what was exported; entries that are here already are left alone."""
    from agentkit.runtime.memories import import_

    with (
        Runtime(notice=say) as runtime,
        helper(runtime, local=local, paths=[file]) as client,
        interruptible() as cancel,
        _bar("importing") as progress,
    ):
        kept = runtime.memories.collection(collection)
        add = partial(import_, kept) if client is None else partial(client.import_, kept.name)
        result = add(file.absolute(), progress=progress, cancel=cancel)
    click.echo(f"{result.added} added, {result.known} were here already")


# -- reembed, repair, status -----------------------------------------------------------------------


@memory.command()
@collection_option
@local_option
def reembed(collection: str | None, local: bool) -> None:
    """Make all vectors anew with the embedder of the settings.

    The old ones stay in use until all are made; Ctrl-C stops, and the next start goes on from
    there.
    """
    from agentkit.runtime.memories import reembed

    with (
        Runtime(notice=say) as runtime,
        helper(runtime, local=local) as client,
        interruptible() as cancel,
        _bar("reading") as progress,
    ):
        kept = runtime.memories.collection(collection, must_exist=True)
        make = partial(reembed, kept) if client is None else partial(client.reembed, kept.name)
        count = make(progress=progress, cancel=cancel)
    done = (
        f"{count} entries were read again" if count else "nothing to do: the embedder is the same"
    )
    click.echo(done)


@memory.command()
@collection_option
def repair(collection: str | None) -> None:
    """Make a damaged memory whole, as far as it can be read, and its index anew.

    Nobody else may use it meanwhile.
    """
    from agentkit.runtime.memories import repair

    with Runtime(notice=say) as runtime, interruptible() as cancel, _bar("repairing") as progress:
        kept = runtime.memories.collection(collection, must_exist=True)
        result = repair(kept, progress=progress, cancel=cancel)
    if result.damaged:
        click.echo(f"saved {result.entries} entries; the damaged file is {result.damaged}")
    else:
        click.echo(f"{result.entries} entries, all whole; words and index were made anew")


@memory.command()
@json_option
def status(as_json: bool) -> None:
    """All memories: how much is in them, what embedder they were made with, what is wrong."""
    with Runtime() as runtime:
        kept = [runtime.memories.collection(name) for name in runtime.memories.names()]
        told = [_status(one) for one in kept]
    if as_json:
        _print_json(told)
        return
    for one in told:
        click.echo(click.style(one["name"], bold=True))
        for label, value in one.items():
            if label != "name" and value not in ("", None):
                shown = human_bytes(value) if label == "bytes" else value
                click.echo(f"  {label:<11}{shown}")
    if not told:
        click.echo("nothing is remembered yet: agentkit memory add TEXT|FILE|FOLDER", err=True)


def _status(kept: Collection) -> dict[str, Any]:
    try:
        return asdict(kept.status())
    except MachineError as error:
        return {"name": kept.name, "path": str(kept.folder), "fault": f"{error} ({error.hint})"}


# -- what people write and read --------------------------------------------------------------------


def _conditions(texts: Sequence[str]) -> tuple[Condition, ...]:
    return tuple(_condition(text) for text in texts)


def _condition(text: str) -> Condition:
    match = _CONDITION.fullmatch(text)
    if match is None:
        raise UserError(
            f"{text!r} is no condition: write KEY, one of = != < <= > >= ~, and a value",
            hint="--where 'year>=2024', or --where 'source~notes/*'",
        )
    key, operator, value = match.groups()
    fixed = key in ("id", "source", "time") or operator == "~"
    return Condition(key, operator, value if fixed else _scalar(value))  # type: ignore[arg-type]


def _metadata(pairs: Sequence[str]) -> dict[str, Scalar]:
    found: dict[str, Scalar] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise UserError(f"{pair}: write it as name=value")
        found[key.strip()] = _scalar(value.strip())
    return found


def _scalar(text: str) -> Scalar:
    """A number, true, false, or text."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, bool | int | float) else text


def _shown(text: str, full: bool) -> str:
    if full:
        return _plain(text).replace("\n", "\n      ")
    line = " ".join(_plain(text).split())
    return line if len(line) <= SNIPPET else line[: SNIPPET - 1] + "…"


def _plain(text: str) -> str:
    return _CONTROL.sub("\ufffd", text)


def _print_json(value: Any) -> None:
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, default=_as_text))


def _as_text(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


@contextmanager
def _bar(what: str) -> Iterator[Progress]:
    """A bar on stderr for what takes longer than a moment; nothing where no terminal is."""
    if not sys.stderr.isatty():
        yield lambda done, total, unit: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    bars = Bars(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[note]}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    began = time.monotonic()
    task = bars.add_task(what, total=None, note="")

    def show(done: float, total: float | None, unit: str) -> None:
        if not bars.live.is_started and time.monotonic() - began > SOON:
            bars.start()
        shown = (human_bytes(done), human_bytes(total or 0)) if unit == "B" else (done, total)
        note = f"{shown[0]} of {shown[1]}" + ("" if unit == "B" else f" {unit}")
        bars.update(task, completed=done, total=total, note=note)

    try:
        yield show
    finally:
        bars.stop()
