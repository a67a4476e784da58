"""What happened in every run, in a file of SQLite or on PostgreSQL, and survives a power cut.

tables     the tables and their numbered migrations
database   transactions, and their faults explained
file       SQLite in a file
server     PostgreSQL
statements what is said for every step, in SQL
texts      values as text, long ones stored once
rows       between events, rows and records
leases     who works on which run, and who no longer does
ledger     events in
store      the journal as others see it; records out
desk       questions to a person, and remembered answers
fires      what started workflows, each occurrence once
mailbox    what people say to a run that is under way
"""

from agentkit.journal.store import Journal

__all__ = ["Journal"]
