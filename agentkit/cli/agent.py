"""`agentkit agent`: let an agent work towards an objective."""

from __future__ import annotations

import json
import sys
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from agentkit import events as ev
from agentkit.cli.agent_view import watch
from agentkit.cli.approver import approver
from agentkit.cli.handover import carried_out, detached, service, where
from agentkit.cli.interrupt import interruptible
from agentkit.cli.live import Screen, follow, say
from agentkit.errors import InvalidInput
from agentkit.runtime import Runtime, Wish, answer_schema

if TYPE_CHECKING:
    from agentkit.client import Client

LIMITS = ("tasks", "steps", "steps_per_task", "attempts", "tokens", "seconds")
STRATEGIES = ("chain_of_thought", "self_consistency", "tree_of_thought", "reflect")


@click.command()
@click.argument("objective")
@click.option("-f", "--folder", type=click.Path(path_type=Path, file_okay=False, exists=True),
              metavar="FOLDER", help="Work in it: read and change what is there.")  # fmt: skip
@click.option("-t", "--tool", "tools", multiple=True, metavar="NAME",
              help="A tool that it may call, and no others; repeat it for more.")  # fmt: skip
@click.option("--model", metavar="NAME", help="Another model than that of the role chat.")
@click.option("-b", "--budget", multiple=True, metavar="LIMIT=NUMBER",
              help=f"A limit: {', '.join(LIMITS)}.")  # fmt: skip
@click.option("--check", "checks", multiple=True, metavar="EXPRESSION|QUESTION?",
              help="What has to be true of the answer, such as \"'Anna' in answer\", or a question "
              "to the model that has to be answered with yes.")  # fmt: skip
@click.option("--check-script", "scripts", multiple=True, metavar="SCRIPT",
              help="A bash script that has to succeed in the folder: test -s a.md")  # fmt: skip
@click.option("--schema", type=click.Path(path_type=Path, dir_okay=False, exists=True),
              metavar="FILE", help="The answer is data that fits this JSON Schema.")  # fmt: skip
@click.option("--strategy", type=click.Choice(STRATEGIES),
              help="How the final answer is found, from what the tools have shown.")  # fmt: skip
@click.option("--no-reflection", is_flag=True, help="Try again without thinking about a failure.")
@click.option("--no-memory", is_flag=True, help="Recall nothing, remember nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print events as JSON lines, nothing else.")
@click.option("--unattended", is_flag=True,
              help="Ask nobody: a call that needs approval parks the run.")  # fmt: skip
@where
def agent(
    objective: str,
    folder: Path | None,
    tools: tuple[str, ...],
    model: str | None,
    budget: tuple[str, ...],
    checks: tuple[str, ...],
    scripts: tuple[str, ...],
    schema: Path | None,
    strategy: str | None,
    no_reflection: bool,
    no_memory: bool,
    as_json: bool,
    unattended: bool,
    local: bool,
    detach: bool,
) -> None:
    """Work towards OBJECTIVE with tools, and say what was found and how.

    The answer goes to stdout, the report with its sources into the folder of the run.  It stops by
    itself: when it is done, or at a limit, and then it tells what there is so far.

    While it works, from another terminal: `agentkit runs note ID "..."`, `agentkit runs pause ID`,
    `agentkit runs cancel ID`.  After a power cut: `agentkit runs resume ID`.  With --detach it
    works in the background, in the service: `agentkit runs watch ID`.
    """
    wish = Wish(
        model=model,
        budget=dict(_limit(text) for text in budget),
        checks=[
            *([{"schema": answer_schema(schema)}] if schema else ()),
            *({"question" if one.rstrip().endswith("?") else "expression": one} for one in checks),
            *({"script": one} for one in scripts),
        ],
        strategy=strategy,
        reflection=not no_reflection,
        memory=not no_memory,
        **({"tools": tools} if tools else {}),
    )
    if not objective.strip():
        raise InvalidInput("an agent needs an objective, and this one is empty")
    with Runtime() if as_json else Runtime(notice=say) as runtime:
        loaded = runtime.agent(wish)
        work = None if folder is None else folder.absolute()

        def begin(client: Client, attended: bool) -> str:
            return client.agent(
                objective,
                folder=Path.cwd(),
                attended=attended,
                work=work,
                **asdict(wish),
            )

        with (
            service(runtime, local=local, detach=detach) as client,
            interruptible() as cancel,
            _screen(as_json) as screen,
        ):
            if client is not None and detach:
                detached(client, begin)
                return
            pursue = partial(runtime.pursue, loaded, objective, work)
            if client is not None:
                pursue = partial(carried_out, client, begin, runtime)
            outputs = pursue(
                profile="unattended" if unattended else "interactive",
                approver=approver(screen.paused, unattended=unattended or as_json),
                cancel=cancel,
                subscribers=(screen, _Report(runtime, as_json)),
            )
    answer = outputs["answer"]
    if not as_json:
        click.echo(answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False))


class _Report:
    """Tells where files are that the run made, and its number first of all."""

    def __init__(self, runtime: Runtime, as_json: bool) -> None:
        self._folder = runtime.settings.runs_folder
        self._silent = as_json or not sys.stderr.isatty()

    def __call__(self, event: ev.Event) -> None:
        if self._silent:
            return
        if isinstance(event, ev.RunStarted):
            say(f"run {event.run}")
        if isinstance(event, ev.ArtifactMade):
            say(f"wrote {self._folder / event.run / event.path}")
        if isinstance(event, ev.AgentFinished) and event.reason != "done":
            say(f"ended early: {event.reason}")


def _screen(as_json: bool) -> AbstractContextManager[Screen]:
    """JSON lines, a live picture in a terminal, or nothing where nobody looks."""
    if as_json:
        return follow(as_json=True)
    return watch() if sys.stderr.isatty() else nullcontext(Screen(lambda event: None))


def _limit(text: str) -> tuple[str, int]:
    name, _, number = text.partition("=")
    if name not in LIMITS or not number.isdigit() or not int(number):
        limits = ", ".join(LIMITS)
        raise InvalidInput(f"-b {text}: write it as LIMIT=NUMBER; the limits are {limits}")
    return name, int(number)
