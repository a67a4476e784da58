"""Models on this machine: a catalog, a content-addressed store, the places they come from.

`ModelStore` is the way in.  Nobody but the runtime imports this room.
"""

from __future__ import annotations

from agentkit.models.catalog import Catalog, Role, load_catalog
from agentkit.models.fit import KvType, MemoryNeed, Plan, estimate, plan
from agentkit.models.gguf import Gguf, read_gguf
from agentkit.models.manifest import Manifest
from agentkit.models.store import Description, ModelEntry, ModelStore

__all__ = [
    "Catalog",
    "Description",
    "Gguf",
    "KvType",
    "Manifest",
    "MemoryNeed",
    "ModelEntry",
    "ModelStore",
    "Plan",
    "Role",
    "estimate",
    "load_catalog",
    "plan",
    "read_gguf",
]
