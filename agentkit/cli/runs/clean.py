"""`agentkit runs rm`, `agentkit prune`: make room, on the disk too."""

from __future__ import annotations

import click

from agentkit.durations import parse, shown
from agentkit.errors import UserError, human_bytes
from agentkit.runtime import Runtime


@click.command()
@click.argument("runs", metavar="ID...", nargs=-1, required=True)
def rm(runs: tuple[str, ...]) -> None:
    """Remove runs with all that they made; one that is at work is not."""
    with Runtime() as runtime:
        for name in runs:
            run = runtime.journal.run(name)
            runtime.remove(run.id)
            click.echo(f"removed {run.id}")


@click.command()
@click.option("--older-than", "age", default="30d", show_default=True, metavar="TIME",
              help="Runs that ended before, such as 12h or 30d.")  # fmt: skip
@click.option("--keep", type=click.IntRange(min=0), default=0, metavar="N",
              help="Keep the newest N of each workflow, however old.")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
def prune(age: str, keep: int, dry_run: bool) -> None:
    """Remove old runs, results kept for other runs, and give the room back to the disk."""
    try:
        limit = parse(age)
    except ValueError as error:
        raise UserError(f"--older-than {age}: {error}") from None
    with Runtime() as runtime:
        old = runtime.old_runs(limit, keep)
        if dry_run:
            for run in old:
                click.echo(f"{run.id}  {run.status:<10} {run.workflow}")
            click.echo(f"{_runs(len(old))} older than {shown(limit)}")
            return
        gone, freed = runtime.prune([run.id for run in old], limit)
    click.echo(f"removed {_runs(gone)}, {human_bytes(freed)} freed")


def _runs(count: int) -> str:
    return f"{count} run{'' if count == 1 else 's'}"
