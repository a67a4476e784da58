"""`agentkit run`: run a workflow and watch it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import click

from agentkit import events as ev
from agentkit.cli.interrupt import interruptible
from agentkit.cli.live import follow
from agentkit.errors import InvalidInput
from agentkit.runtime import Runtime


@click.command()
@click.argument("workflow")
@click.option("-i", "--input", "inputs", multiple=True, metavar="NAME=VALUE",
              help="A value for the workflow; repeat it for more.")  # fmt: skip
@click.option("-o", "--output", type=click.Path(path_type=Path, file_okay=False), metavar="FOLDER",
              help="Copy the files that the run makes to this folder.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print events as JSON lines, nothing else.")
def run(workflow: str, inputs: tuple[str, ...], output: Path | None, as_json: bool) -> None:
    """Run a WORKFLOW: a file, or the name of one that ships with agentkit.

    Ctrl-C ends the run within a moment; what it had finished stays in the journal.
    """
    with Runtime() as runtime, interruptible() as cancel, follow(as_json=as_json) as watch:
        loaded = runtime.workflow(workflow)
        made: list[ev.ArtifactMade] = []

        def remember(event: ev.Event) -> None:
            if isinstance(event, ev.ArtifactMade):
                made.append(event)

        outputs = runtime.run(loaded, _pairs(inputs), cancel=cancel, subscribers=(remember, watch))
        files = [runtime.settings.runs_folder / event.run / event.path for event in made]
    if output is not None:
        files = [_copy(file, output) for file in files]
    if not as_json:
        for file in files:
            click.echo(f"wrote {file}", err=True)
        if outputs:
            click.echo(json.dumps(outputs, indent=2, ensure_ascii=False))


def _pairs(inputs: tuple[str, ...]) -> dict[str, str]:
    pairs = {}
    for text in inputs:
        name, equals, value = text.partition("=")
        if not equals:
            raise InvalidInput(f"-i {text}: write it as name=value")
        pairs[name.strip()] = value
    return pairs


def _copy(file: Path, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copy2(file, folder / file.name))
