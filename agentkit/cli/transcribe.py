"""`agentkit transcribe`: write down what is said in recordings."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from agentkit.cancel import CancelToken
from agentkit.cli import explain
from agentkit.cli.interrupt import interruptible
from agentkit.errors import BadAudio, UserError, did_you_mean
from agentkit.ports import Progress, Transcriber, no_progress
from agentkit.runtime import Runtime
from agentkit.subtitles import FORMATS
from agentkit.transcript import Transcript


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
def transcribe(
    files: tuple[Path, ...],
    formats: str,
    language: str | None,
    model: str | None,
    output: Path | None,
) -> None:
    """Write down what is said in sound and video FILEs, on this machine.

    One file in one format without -o is printed. Otherwise each recording NAME.EXT gives NAME.txt,
    NAME.srt and so on, and the names of these files are printed. A file that cannot be read is
    reported, and the others are still done.
    """
    wanted = _formats(formats)
    names = _names(files)
    to_screen = len(files) == 1 and len(wanted) == 1 and output is None
    failed = False
    with Runtime() as runtime, interruptible() as cancel:
        transcriber = runtime.transcriber(model)
        for file in files:
            try:
                transcript = _transcript(transcriber, file, language, cancel)
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
                _write(transcript, (output or file.parent) / names[file], wanted)
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
    transcriber: Transcriber, file: Path, language: str | None, cancel: CancelToken
) -> Transcript:
    with _bar(file.name) as progress:
        return transcriber.transcribe(file, language=language, progress=progress, cancel=cancel)


def _tell(file: Path, transcript: Transcript) -> None:
    for warning in transcript.warnings:
        click.echo(click.style("warning: ", fg="yellow", bold=True) + warning, err=True)
    if not transcript.segments:
        click.echo(f"{file}: no speech found", err=True)


def _names(files: tuple[Path, ...]) -> dict[Path, str]:
    """What to call the results: `talk` for talk.mp3, `talk.mp3` if there is a talk.wav, too."""
    stems = [file.stem for file in dict.fromkeys(files)]
    return {file: file.stem if stems.count(file.stem) == 1 else file.name for file in files}


def _write(transcript: Transcript, base: Path, wanted: list[str]) -> None:
    try:
        base.parent.mkdir(parents=True, exist_ok=True)
        for name in wanted:
            target = base.with_name(f"{base.name}.{name}")
            target.write_text(FORMATS[name](transcript), encoding="utf-8")
            click.echo(target)
    except OSError as error:
        raise UserError(
            f"cannot write to {base.parent}: {error.strerror}",
            hint="choose another folder: -o FOLDER",
        ) from None


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
