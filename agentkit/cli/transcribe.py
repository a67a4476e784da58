"""`agentkit transcribe`: write down what is said in recordings."""

from __future__ import annotations

import os
import sys
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import click

from agentkit.cancel import CancelToken
from agentkit.cli import explain
from agentkit.cli.handover import helper, local_option
from agentkit.cli.interrupt import interruptible
from agentkit.errors import BadAudio, UserError, did_you_mean
from agentkit.ports import Progress, no_progress
from agentkit.runtime import Runtime
from agentkit.subtitles import FORMATS
from agentkit.transcript import Transcript

Listen = Callable[..., Transcript]
"""`Transcriber.transcribe`, in this process or in the service."""

MOST_NAMED = 10
"""Of the files that are in the way, so many are named."""


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE…")
@click.option("-f", "--format", "formats", default="txt", metavar="LIST", show_default=True,
              help=f"What to write: {', '.join(FORMATS)}, or several: txt,srt.")  # fmt: skip
@click.option("-l", "--language", metavar="CODE",
              help="What is spoken, such as en or german; left out: detected.")  # fmt: skip
@click.option("-m", "--model", metavar="NAME",
              help="A Whisper model; left out: the one from settings.")  # fmt: skip
@click.option("-o", "--output", type=click.Path(path_type=Path, file_okay=False), metavar="FOLDER",
              help="Where to write; left out: beside each recording.")  # fmt: skip
@click.option("--force", is_flag=True, help="Replace files that are there already.")
@local_option
def transcribe(
    files: tuple[Path, ...],
    formats: str,
    language: str | None,
    model: str | None,
    output: Path | None,
    force: bool,
    local: bool,
) -> None:
    """Write down what is said in sound and video FILEs, on this machine.

    One file in one format without -o is printed. Otherwise each recording NAME.EXT gives NAME.txt,
    NAME.srt and so on, and the names of these files are printed; where there is such a file already
    nothing is done without --force. A file that cannot be read is reported, and the others are
    still done. Where a service is up (agentkit serve), its model does the work.
    """
    wanted = _formats(formats)
    files = tuple({file.absolute(): file for file in files}.values())
    to_screen = len(files) == 1 and len(wanted) == 1 and output is None
    targets = {} if to_screen else _targets(files, wanted, output)
    _check(targets, force=force)
    if not any(map(os.path.lexists, files)):  # before it is said that the model is missing, too
        raise BadAudio(files[0], "there is no such file", hint="check the name and the folder")
    failed = False
    with (
        Runtime() as runtime,
        helper(runtime, local=local, paths=files, said=[language, model]) as client,
        interruptible() as cancel,
    ):
        listen: Listen
        if client is None:
            listen = runtime.transcriber(model).transcribe
        else:
            listen = partial(client.transcribe, model=model)
        for file in files:
            try:
                transcript = _transcript(listen, file, language, cancel)
            except BadAudio as error:
                if len(files) == 1:
                    raise
                explain(error)
                failed = True
                continue
            _tell(file, transcript)
            if to_screen:
                click.echo(FORMATS[wanted[0]](transcript), nl=False)
            else:
                _write(transcript, targets[file])
    if failed:
        sys.exit(1)


def _formats(listed: str) -> list[str]:
    names = [name.strip().lower().lstrip(".") for name in listed.split(",") if name.strip()]
    for name in names:
        if name not in FORMATS:
            raise UserError(
                f"no format named {name!r}.{did_you_mean(name, FORMATS)}",
                hint=f"choose from {', '.join(FORMATS)}; several with commas between",
            )
    if not names:
        raise UserError("--format is empty", hint=f"choose from {', '.join(FORMATS)}")
    return list(dict.fromkeys(names))


def _transcript(
    listen: Listen, file: Path, language: str | None, cancel: CancelToken
) -> Transcript:
    with _bar(file.name) as progress:
        return listen(file, language=language, progress=progress, cancel=cancel)


def _tell(file: Path, transcript: Transcript) -> None:
    for warning in transcript.warnings:
        click.echo(click.style("warning: ", fg="yellow", bold=True) + warning, err=True)
    if not transcript.segments:
        click.echo(f"{file}: no speech found", err=True)


Targets = dict[Path, dict[str, Path]]
"""For each recording the files to write, by format."""


def _targets(files: tuple[Path, ...], wanted: list[str], output: Path | None) -> Targets:
    return {
        file: {name: base.with_name(f"{base.name}.{name}") for name in wanted}
        for file, base in _bases(files, output).items()
    }


def _bases(files: tuple[Path, ...], output: Path | None) -> dict[Path, Path]:
    """Where the results of each recording go, without their suffix: no two in the same place.

    `talk` for talk.mp3; `talk.mp3` if there is a talk.wav, too; `monday-talk.mp3` if there is a
    tuesday/talk.mp3, too, and everything goes to one folder.
    """
    choices = {file: _choices(file, number) for number, file in enumerate(files, 1)}
    chosen = dict.fromkeys(files, 0)
    while True:
        bases = {file: (output or file.parent) / choices[file][chosen[file]] for file in files}
        places = {file: str(base.absolute()).casefold() for file, base in bases.items()}
        counts = Counter(places.values())
        clashing = [file for file in files if counts[places[file]] > 1]
        if not clashing:
            return bases
        for file in clashing:
            chosen[file] = min(chosen[file] + 1, len(choices[file]) - 1)


def _choices(file: Path, number: int) -> list[str]:
    """What the results of a recording may be called, best first; the last has nobody else."""
    folders = file.absolute().parts[1:-1]
    longer = ["-".join((*folders[-count:], file.name)) for count in range(1, len(folders) + 1)]
    return [file.stem, file.name, *longer, f"{file.name}-{number}"]


def _check(targets: Targets, *, force: bool) -> None:
    """Find what would stop the writing, before hours of work and not after them."""
    places = [place for by_format in targets.values() for place in by_format.values()]
    recordings = {file.absolute() for file in targets}
    if ours := [place for place in places if place.absolute() in recordings]:
        raise UserError(
            f"the result would replace a recording: {_listed(ours)}",
            hint="choose another folder: -o FOLDER",
        )
    there = [place for place in places if os.path.lexists(place)]
    if there and not force:
        verb = "is" if len(there) == 1 else "are"
        raise UserError(
            f"{_listed(there)} {verb} there already",
            hint="--force replaces what is there; -o FOLDER writes somewhere else",
        )
    for folder in dict.fromkeys(place.parent for place in places):
        _check_writable(folder)


def _listed(places: list[Path]) -> str:
    more = len(places) - MOST_NAMED
    return ", ".join(map(str, places[:MOST_NAMED])) + (f" and {more} more" if more > 0 else "")


def _check_writable(folder: Path) -> None:
    nearest = next(one for one in (folder, *folder.absolute().parents) if os.path.lexists(one))
    if not nearest.is_dir():
        raise _unwritable(folder, f"{nearest} is not a folder")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise _unwritable(folder, "permission denied")


def _unwritable(folder: Path, reason: str | None) -> UserError:
    return UserError(f"cannot write to {folder}: {reason}", hint="choose another folder: -o FOLDER")


def _write(transcript: Transcript, targets: dict[str, Path]) -> None:
    for name, target in targets.items():
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            _write_whole(target, FORMATS[name](transcript))
        except OSError as error:
            raise _unwritable(target.parent, error.strerror) from None
        click.echo(target)


def _write_whole(target: Path, text: str) -> None:
    """Through a file beside it, so that nobody finds half a transcript."""
    aside = target.with_name(f".{uuid.uuid4().hex}.part")
    try:
        aside.write_text(text, encoding="utf-8")
        aside.replace(target)
    finally:
        aside.unlink(missing_ok=True)


@contextmanager
def _bar(name: str) -> Iterator[Progress]:
    """A bar on the terminal, with the seconds of audio that are done; silence in a pipe."""
    if not sys.stderr.isatty():
        yield no_progress
        return
    from rich.console import Console
    from rich.progress import BarColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = ("{task.description}", BarColumn(), "{task.fields[clock]}", TimeRemainingColumn())
    with Bars(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(name, total=None, clock="")

        def show(done: float, total: float | None, unit: str) -> None:
            clock = f"{done:.0f} of {total:.0f} {unit}" if total else f"{done:.0f} {unit}"
            bar.update(task, completed=done, total=total, clock=clock)

        yield show
