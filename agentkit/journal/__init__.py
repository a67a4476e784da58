"""What happened in every run, in one SQLite file that survives a power cut.

tables     the tables and their numbered migrations
database   the file, opened; its faults explained
statements what is executed for every step, built once
texts      values as text, long ones stored once
rows       between events, rows and records
leases     who works on which run, and who no longer does
store      events in, records out
desk       questions to a person, and remembered answers
mailbox    what people say to a run that is under way
"""

from agentkit.journal.store import Journal

__all__ = ["Journal"]
