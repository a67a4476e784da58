"""`agentkit tools`: what workflows can call."""

from __future__ import annotations

import json

import click

from agentkit.runtime import Runtime


@click.group()
def tools() -> None:
    """What workflows and models can call."""


@tools.command("list")
def list_tools() -> None:
    """All tools with their first line, and files that could not be loaded."""
    with Runtime() as runtime:
        box = runtime.toolbox
    for tool in box:
        first = tool.description.splitlines()[0] if tool.description else ""
        click.echo(f"{tool.name:<16} {first}")
    for bad in box.bad:
        click.echo(click.style(f"{bad.source}: {bad.reason}", fg="red"), err=True)


@tools.command()
@click.argument("name")
def show(name: str) -> None:
    """One tool: what it does, its effects, its arguments as JSON Schema."""
    with Runtime() as runtime:
        tool = runtime.toolbox.get(name)
    click.echo(f"{tool.name}  ({', '.join(tool.effects) or 'computes only'})  {tool.source}\n")
    click.echo(tool.description + "\n")
    click.echo(json.dumps(tool.json_schema, indent=2))
