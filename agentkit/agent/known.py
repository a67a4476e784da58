"""The tools of general use that an agent knows by name, and what it knows of them."""

from __future__ import annotations

from agentkit.agent.guard import fingerprint

PAGER = "read_more"
"""Shows more of a long result."""

ARITHMETIC, PYTHON, QUERY = "calculate", "run_python", "query_tables"
"""Ways to compute: where there are files, programs and queries can do what arithmetic can."""

COMPUTING = frozenset((ARITHMETIC, PYTHON, QUERY))
"""Tools whose results stand in no file."""

SHELL = "run_shell"
"""Runs a test."""

PROGRAMS = frozenset((PYTHON, SHELL))

LOOK = "list_files"
"""Shows what there is."""

READ = "read_file"

SEARCH = "search_files"
"""Shows lines of files."""

SEARCH_SITE = "search_site"
"""Shows lines of a website."""

ALL_LINES = {"pattern": "."}
EVERYTHING = fingerprint(SEARCH, ALL_LINES)
READERS = (LOOK, SEARCH, READ)
"""What these can tell is known when all lines were shown and nothing has changed since."""
