"""What happened in every run, in one SQLite file that survives a power cut.

tables   the tables and their numbered migrations
store    events in, records out
"""

from agentkit.journal.store import Journal

__all__ = ["Journal"]
