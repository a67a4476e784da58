"""The command line.  This module imports nothing but click: a command is loaded when it is called.

Errors that a user can do something about are printed as `error: …` and `hint: …`; a traceback means
that the mistake is ours.
"""

from __future__ import annotations

import gc
import importlib
import os
import sys
from typing import NoReturn

import click

from agentkit import __version__
from agentkit.errors import AgentkitError, InvalidFile, MachineError, Parked, Skipped

_COLOR = False if os.environ.get("NO_COLOR") else None
"""False where the user wants none (no-color.org); None: where the output is a terminal."""

GARBAGE = (20_000, 10, 10)
"""How many more things there are before Python looks for garbage among them.  What a start makes is
modules, which stay: with 700, as Python has it, looking takes a tenth of the time of a short run.
"""

NO_PLUGINS = ("PYDANTIC_DISABLE_PLUGINS", "__all__")
"""Pydantic would read the files of all installed packages for what watches its validation: slow,
and nothing that our own classes were meant for.  Who sets the variable has it as it was set.
"""

COMMANDS = {
    "run": ("agentkit.cli.run:run", "Run a workflow."),
    "check": ("agentkit.cli.check:check", "Find everything that is wrong with workflows."),
    "agent": ("agentkit.cli.agent:agent", "Let an agent work towards an objective."),
    "serve": ("agentkit.cli.serve:serve", "Be there: runs, schedule, and an API for models."),
    "schedule": ("agentkit.cli.schedule:schedule", "What starts by itself, when and why."),
    "service": ("agentkit.cli.service:service", "The service as a unit of systemd."),
    "tokens": ("agentkit.cli.tokens:tokens", "Who else may use the service, and for what."),
    "runs": ("agentkit.cli.runs:runs", "What ran, and what came of it."),
    "transcribe": ("agentkit.cli.transcribe:transcribe", "Write down what is said in recordings."),
    "models": ("agentkit.cli.models:models", "The models on this machine."),
    "tools": ("agentkit.cli.tools:tools", "What workflows, models and you can call."),
    "memory": ("agentkit.cli.memory:memory", "What is remembered."),
    "graph": ("agentkit.cli.graph:graph", "Draw the steps of a workflow."),
    "new": ("agentkit.cli.new:new", "Begin a workflow, with comments to read."),
    "prune": ("agentkit.cli.runs.clean:prune", "Remove old runs, and give their room back."),
    "approvals": ("agentkit.cli.approvals:approvals", "What waits for you to allow it."),
    "mcp": ("agentkit.cli.mcp:mcp", "Serve tools and workflows to other programs (MCP)."),
    "cluster": ("agentkit.cli.cluster:cluster", "The machines that do steps for this one."),
    "schema": ("agentkit.cli.schema:schema", "The JSON Schema of workflow files, for editors."),
    "doctor": ("agentkit.cli.doctor:doctor", "What is here, what is missing, how to mend it."),
}
"""Name, where it is, and the line for `--help` (so that help loads no command)."""


class LazyGroup(click.Group):
    """A group of which the commands are imported when they are needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The table, without importing anything."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-V", "--version", message="agentkit %(version)s")
def cli() -> None:
    """Agents and automation on models that run on your own machine."""


def main(arguments: list[str] | None = None) -> NoReturn:
    """The entry point: run a command, print its errors, exit with its code."""
    gc.set_threshold(*GARBAGE)
    os.environ.setdefault(*NO_PLUGINS)
    try:
        done = cli.main(arguments, prog_name="agentkit", standalone_mode=False, color=_COLOR)
        sys.exit(done or 0)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except AgentkitError as error:
        explain(error)
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted", err=True)
        sys.exit(130)
    except OSError as error:  # a folder that cannot be written, a full disk
        explain(MachineError(f"{error.filename or 'the output'}: {error.strerror}"))
        sys.exit(MachineError.exit_code)


def _mark(error: AgentkitError) -> str:
    if isinstance(error, InvalidFile):  # its problems begin with their places
        return ""
    if isinstance(error, Skipped):  # nothing went wrong
        return click.style("skipped: ", fg="yellow", bold=True)
    if isinstance(error, Parked):  # nor here
        return click.style("parked: ", fg="magenta", bold=True)
    return click.style("error: ", fg="red", bold=True)


def explain(error: AgentkitError) -> None:
    """Print an error and what to do about it."""
    click.echo(_mark(error) + str(error), err=True, color=_COLOR)
    if error.hint:
        click.echo(click.style("hint:  ", fg="cyan") + error.hint, err=True, color=_COLOR)
