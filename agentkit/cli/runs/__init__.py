"""`agentkit runs`: what ran, what came of it, and what is to become of it.

look   list, show, logs, watch
act    resume, retry, note, pause, cancel, approve, reject, tasks
clean  rm, and `agentkit prune`
"""

from __future__ import annotations

import click

from agentkit.cli.runs import act, clean, look


@click.group()
def runs() -> None:
    """What ran, and what came of it."""


for command in (
    look.list_runs, look.show, look.logs, look.watch, act.resume, act.retry, act.note, act.pause,
    act.cancel, act.approve, act.reject, act.tasks, clean.rm,
):  # fmt: skip
    runs.add_command(command)
