"""`agentkit new`: a workflow to begin with."""

from __future__ import annotations

import re
from pathlib import Path

import click

from agentkit.errors import UserError
from agentkit.runtime import starter


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
def new(file: Path) -> None:
    """Write a workflow to FILE, with comments that say what else there is."""
    path = file if file.suffix in (".yaml", ".yml") else file.with_name(f"{file.name}.yaml")
    name = re.sub(r"[^a-z0-9_]+", "-", path.stem.lower()).strip("-") or "workflow"
    text = starter(name, str(path))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError:
        raise UserError(f"{path} is there already", hint="give another name") from None
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}") from None
    click.echo(f"wrote {path}\ncheck it:  agentkit check {path}")
