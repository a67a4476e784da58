"""`agentkit tools`: what workflows, models and people can call."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from agentkit import events as ev
from agentkit.cli.approver import approver
from agentkit.cli.interrupt import interruptible
from agentkit.cli.live import follow, say
from agentkit.errors import ApprovalNeeded, ToolError, UserError
from agentkit.outcomes import Failed, NeedsApproval, Retry, Returned
from agentkit.runtime import Runtime


@click.group()
def tools() -> None:
    """What workflows, models and you can call.

    \b
    A tool is a file in ~/.agentkit/tools, or in tools/ of a project that you trust:
    - Python functions with type hints, a docstring and @tool (from agentkit import tool)
    - any executable with a header:
        # /// tool
        # description: Count the lines of a file.
        # arguments:
        #   path: {type: file, description: The file.}
        # ///
    """


@tools.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: names, schemas, effects.")
def list_tools(as_json: bool) -> None:
    """All tools with their first line, and files that could not be loaded."""
    with Runtime() as runtime:
        box = runtime.toolbox
        found = list(box.values())
        origins = {tool.name: box.origins(tool.name) for tool in found}
        bad, strange = box.bad, runtime.untrusted_tools()
    if as_json:
        told = [
            {"name": tool.name, "description": tool.description, "effects": tool.effects,
             "source": str(tool.source), "parameters": tool.parameters.json_schema}
            for tool in found
        ]  # fmt: skip
        click.echo(json.dumps(told, indent=2, ensure_ascii=False))
    width = max([16, *(len(tool.name) for tool in found)])
    for tool in [] if as_json else found:
        first = tool.description.splitlines()[0] if tool.description else ""
        *hidden, origin = origins[tool.name]
        where = "" if origin == "shipped" else f"  [{origin}]"
        instead = f" (instead of: {', '.join(hidden)})" if hidden else ""
        click.echo(f"{tool.name:<{width}} {first}{where}{instead}")
    for one in bad:
        click.echo(click.style(str(one), fg="red"), err=True)
    if strange:
        click.echo(f"{strange} has not been loaded: agentkit tools trust", err=True)


@tools.command()
@click.argument("name")
def show(name: str) -> None:
    """One tool: what it does, its effects, its arguments as JSON Schema."""
    with Runtime() as runtime:
        tool = runtime.toolbox.find(name)
        options = runtime.settings.tools.options.get(name)
    click.echo(f"{tool.name}  ({', '.join(tool.effects) or 'computes only'})  {tool.source}\n")
    click.echo(tool.description + "\n")
    click.echo(json.dumps(tool.parameters.json_schema, indent=2, ensure_ascii=False))
    if options:
        click.echo(f"\noptions in settings: {', '.join(options)}")


@tools.command()
@click.argument("name")
@click.argument("arguments", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--json", "as_json", is_flag=True, help="Print the value as JSON.")
@click.option("--unattended", is_flag=True, help="As if nobody were here to answer questions.")
def call(name: str, arguments: tuple[str, ...], as_json: bool, unattended: bool) -> None:
    """Call a tool: agentkit tools call calculate expression="6 * 7".

    A value is text where the tool takes text, and JSON otherwise; "-" reads it from stdin.  Files
    that the call makes are in the folder of its run, which is named on stderr.
    """
    with Runtime(notice=say) as runtime:
        given = _pairs(arguments, runtime.toolbox.find(name).parameters.json_schema)
        made: list[str] = []

        def remember(event: ev.Event) -> None:
            if isinstance(event, ev.ArtifactMade):
                made.append(event.path)

        with interruptible() as cancel, follow(brief=True) as screen:
            run, outcome = runtime.call_tool(
                name,
                given,
                profile="unattended" if unattended else "interactive",
                approver=approver(screen.paused, unattended=unattended),
                asker="terminal",
                cancel=cancel,
                subscribers=(remember, screen),
            )
        for path in made:
            click.echo(f"wrote {runtime.settings.runs_folder / run / path}", err=True)
    match outcome:
        case Returned(value):
            plain = isinstance(value, str) and not as_json
            click.echo(value if plain else json.dumps(value, indent=2, ensure_ascii=False))
        case Retry(hint):
            raise UserError(hint, hint=f"agentkit tools show {name}")
        case Failed(reason, cause):
            raise cause or ToolError(reason)
        case NeedsApproval(request, reason):
            raise ApprovalNeeded(request, reason)


@tools.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False),
                default="tools")  # fmt: skip
@click.option("--revoke", is_flag=True, help="Trust it no more.")
def trust(folder: Path, revoke: bool) -> None:
    """Load the tools in FOLDER (tools/ of the current one) from now on.

    Python files in it run with your rights: look at them first.
    """
    with Runtime() as runtime:
        if revoke:
            runtime.trusted.remove(folder)
        else:
            runtime.trusted.add(folder)
    click.echo(f"{folder.resolve()} is {'not ' if revoke else ''}trusted")


def _pairs(arguments: tuple[str, ...], schema: dict[str, Any]) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for text in arguments:
        name, equals, value = text.partition("=")
        if not equals:
            raise UserError(f"{text}: write it as name=value")
        if value == "-":
            value = sys.stdin.read()
        given[name] = _value(value, schema.get("properties", {}).get(name, {}))
    return given


def _value(text: str, schema: dict[str, Any]) -> Any:
    """Text as it is where text is wanted, JSON otherwise; what is no JSON stays text."""
    if schema.get("type") == "string":
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text
