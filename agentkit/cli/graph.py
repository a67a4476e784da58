"""`agentkit graph`: a workflow as a picture."""

from __future__ import annotations

import sys

import click

from agentkit.runtime import Runtime


@click.command()
@click.argument("workflow")
@click.option("--mermaid", "as_mermaid", is_flag=True, help="Mermaid, also in a terminal.")
def graph(workflow: str, as_mermaid: bool) -> None:
    """Draw the steps of a WORKFLOW, a file or a name: in a terminal as text, else as Mermaid."""
    with Runtime() as runtime:
        drawn = runtime.draw(workflow, mermaid=as_mermaid or not sys.stdout.isatty())
    click.echo(drawn)
