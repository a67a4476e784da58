"""`agentkit schema`: what a workflow file may say, for editors."""

from __future__ import annotations

import json

import click

from agentkit.runtime import workflow_schema


@click.command()
def schema() -> None:
    """Print the JSON Schema of workflow files.

    Put it beside your workflows and name it in their first line:

    \b
    # yaml-language-server: $schema=workflow.schema.json
    """
    click.echo(json.dumps(workflow_schema(), indent=2))
