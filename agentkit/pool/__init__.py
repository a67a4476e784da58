"""Several loaded models in one machine: which stay, which have to go, who may use them meanwhile.

leases   models by key, lent out; the least recently used idle one makes room for a new one
models   the ports on top: a model that is loaded when it is called, and again if it had to go
"""

from agentkit.pool.leases import Holding, Offer, Pool, Room
from agentkit.pool.models import PooledChat, PooledEmbedder, PooledTranscriber

__all__ = [
    "Holding",
    "Offer",
    "Pool",
    "PooledChat",
    "PooledEmbedder",
    "PooledTranscriber",
    "Room",
]
