"""Other machines that do single pieces of work, found and reached with Ray.

What a piece of work is, is not known here: `host` carries out what it is handed with the function
it was opened with, and `worker` is the near end of it.  Three modules know Ray: `membership` is
being in its cluster, `link` the way to a worker, `machines` the places of steps.
"""

from __future__ import annotations

from agentkit.cluster.blobs import Blobs
from agentkit.cluster.host import Host, Job, Workplace
from agentkit.cluster.machines import Machine, RayWorkers
from agentkit.cluster.parcels import Digests, FileFacts, contents
from agentkit.cluster.worker import RemoteWorker

__all__ = [
    "Blobs",
    "Digests",
    "FileFacts",
    "Host",
    "Job",
    "Machine",
    "RayWorkers",
    "RemoteWorker",
    "Workplace",
    "contents",
]
