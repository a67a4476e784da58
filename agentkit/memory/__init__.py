"""What is remembered: texts that can be found again by their meaning and by their words.

A collection is a folder with a SQLite file, which is the truth, and with an index of its vectors,
which chromadb keeps, in the folder or on a server.  docs/decisions/0007-memory.md says why.

store      one collection: save, search, forget, what there is
ledger     entries in the tables: texts, metadata, words
spaces     vectors in the tables: one space for each embedder, never mixed
nearest    which vectors are near, in the fewest steps
indexing   the index beside the file: who may write it, when it is trusted
chroma, server   the library in this process; its server on another box
words, filters, fusion          what texts have in common, conditions as SQL, rankings in one
passages, documents, ingest     texts cut, files read, folders kept up with
reembed, portable, repair       another embedder, JSON lines, damaged files
database                        the SQLite file and its faults
"""

from agentkit.memory.ingest import take_in
from agentkit.memory.ledger import Entry
from agentkit.memory.portable import export, import_
from agentkit.memory.reembed import reembed
from agentkit.memory.repair import Repaired, repair
from agentkit.memory.server import Server
from agentkit.memory.store import Collection, Embedding, Status

__all__ = [
    "Collection",
    "Embedding",
    "Entry",
    "Repaired",
    "Server",
    "Status",
    "export",
    "import_",
    "reembed",
    "repair",
    "take_in",
]
