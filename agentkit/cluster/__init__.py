"""Other machines that do single pieces of work, found and reached with Ray.

What a piece of work is, is not known here: `host` carries out what it is handed with the function
it was opened with, `worker` is the near end of it, and `machines` is all that knows Ray.
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
