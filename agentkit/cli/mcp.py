"""`agentkit mcp`: our tools and workflows for other programs."""

from __future__ import annotations

import sys

import click

from agentkit.cli.live import say
from agentkit.mcp import serve_pipes
from agentkit.runtime import Runtime
from agentkit.secret_file import secret_in

PORT = 8377
FILE = "mcp-token"


@click.command()
@click.option("--tool", "patterns", multiple=True, metavar="NAME",
              help="Offer this one alone, or those of a pattern; repeat it for more.")  # fmt: skip
@click.option("--http", "over_http", is_flag=True, help="Serve over HTTP, on this machine only.")
@click.option("--port", type=click.IntRange(0, 65535), default=PORT, show_default=True,
              help="For --http; 0 is any that is free.")  # fmt: skip
def mcp(patterns: tuple[str, ...], over_http: bool, port: int) -> None:
    """Serve tools and workflows to other programs, over the Model Context Protocol.

    A client starts "agentkit mcp" and speaks to its stdin and stdout.  With --http it runs by
    itself, and a client sends the token in ~/.agentkit/mcp-token with each request:
    "Authorization: Bearer TOKEN".

    Calls are granted what settings grant where nobody is there (permissions.unattended); others
    wait in "agentkit approvals".  Workflows have names that begin with workflow_.

    \b
      agentkit mcp --tool calculate --tool 'workflow_*'
    """
    with Runtime(notice=say) as runtime:
        if not over_http:
            if sys.stdin.isatty():
                say("waiting for a client on stdin: clients start this themselves (Ctrl-C ends it)")
            serve_pipes(runtime, patterns)
            return
        from agentkit.mcp.web import PATH, serve_web

        file = runtime.settings.home / FILE
        token = secret_in(file)

        def ready(actual: int) -> None:
            click.echo(f"serving on http://127.0.0.1:{actual}{PATH}; token in {file}", err=True)

        serve_web(runtime, patterns, port=port, token=token, ready=ready)
