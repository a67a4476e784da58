"""`agentkit cluster`: the machines that do steps for this one."""

from __future__ import annotations

import click

from agentkit.errors import UserError
from agentkit.runtime import Runtime


@click.command()
def cluster() -> None:
    """The machines of the cluster, what each has, and which queues they serve."""
    with Runtime() as runtime:
        queues = runtime.settings.cluster.queues
        if not queues:
            raise UserError(
                "no queue is done in a cluster",
                hint="settings.yaml: cluster: {queues: {gpu: {resource: gpu_box}}}",
            )
        machines = runtime.workers.machines()
        takes = {name: queue.bundle for name, queue in queues.items()}
    unserved = set(takes)
    for machine in machines:
        served = [name for name, bundle in takes.items() if machine.offers(bundle)]
        unserved -= set(served)
        worker = "" if machine.worker is None else f"  worker {machine.worker}"
        click.echo(f"{machine.name} ({machine.address}){worker}")
        click.echo(f"  queues  {', '.join(served) or 'none'}")
        has = ", ".join(f"{amount:g} {name}" for name, amount in sorted(machine.resources.items()))
        click.echo(f"  has     {has or 'nothing that steps could take'}")
    for name in sorted(unserved):
        click.echo(f"no machine does the steps of the queue {name}: they would wait")
