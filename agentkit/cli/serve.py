"""`agentkit serve`: the process that owns the models, keeps the schedule, and answers."""

from __future__ import annotations

import logging
import os
import sys

import click

from agentkit.cli.live import say
from agentkit.runtime import Runtime


@click.command()
@click.option("--host", metavar="ADDRESS", help="Listen here; another than this machine's own "
              "lets others on the network in, with a token.")  # fmt: skip
@click.option("--port", type=click.IntRange(0, 65535), help="0 is any that is free.")
@click.option("-v", "--verbose", is_flag=True, help="Say more of what it does.")
def serve(host: str | None, port: int | None, verbose: bool) -> None:
    """Be there: run what is submitted and what is due, and answer clients of models.

    It listens on http://127.0.0.1:8374, on this machine only, and lets in who has the token in
    ~/.agentkit/service-token.  While it is up, `agentkit run` and `agentkit agent` hand their runs
    to it.  SIGTERM or Ctrl-C ends it: runs are parked, and go on when it starts again.
    """
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO if verbose else logging.WARNING,
        format="%(asctime)s %(levelname)-7s %(name)s: %(message)s",
    )
    logging.getLogger("agentkit").setLevel(logging.INFO)
    with Runtime(notice=say) as runtime:
        from agentkit.web.serve import Ready, serve

        runtime.settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.chdir(runtime.settings.home)  # what is in some other folder means nothing to a service
        chosen = {"host": host, "port": port}
        runtime.settings.service = runtime.settings.service.model_copy(
            update={name: value for name, value in chosen.items() if value is not None}
        )

        def ready(now: Ready) -> None:
            click.echo(f"serving on {now.url}; token in {now.token}", err=True)
            if now.warning:
                click.echo(click.style("warning: ", fg="yellow") + now.warning, err=True)

        parked = serve(runtime, ready)
    for run in parked:
        click.echo(f"parked run {run}: it goes on when the service starts again", err=True)
