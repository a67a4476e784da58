"""`agentkit schema`: what a workflow file may say, for editors."""

from __future__ import annotations

import json

import click

from agentkit.runtime import workflow_reference, workflow_schema


@click.command()
@click.option("--markdown", is_flag=True, help="The same as a page for people.")
def schema(markdown: bool) -> None:
    """Print the JSON Schema of workflow files.

    Put it beside your workflows and name it in their first line:

    \b
    # yaml-language-server: $schema=workflow.schema.json
    """
    if markdown:
        click.echo(workflow_reference(), nl=False)
        return
    click.echo(json.dumps(workflow_schema(), indent=2))
