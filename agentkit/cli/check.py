"""`agentkit check`: every problem of a workflow file at once."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from agentkit.errors import InvalidFile, Problem, UserError
from agentkit.runtime import Runtime


@click.command()
@click.argument("workflows", nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True, help="Print the problems as JSON.")
@click.pass_context
def check(context: click.Context, workflows: tuple[str, ...], as_json: bool) -> None:
    """Check WORKFLOWS, files or names, without running anything.

    Exits with 0 if all is well, 1 if there are problems, 2 if a file cannot be read.
    """
    problems: list[Problem] = []
    unreadable = False
    with Runtime() as runtime:
        for name in workflows:
            try:
                runtime.workflow(name)
            except InvalidFile as error:
                problems += error.problems
            except UserError as error:  # no such file: the others are still checked
                unreadable = True
                problems.append(Problem(name, 1, 1, 1, "unreadable", str(error)))
    if as_json:
        click.echo(json.dumps([asdict(problem) for problem in problems], indent=2))
    else:
        for problem in problems:
            click.echo(problem.render() + "\n")
        count = f"{len(problems)} problem{'s' if len(problems) != 1 else ''}"
        click.echo(count if problems else f"no problems in {len(workflows)} checked")
    context.exit(2 if unreadable else 1 if problems else 0)
