"""Reads and never says a word."""

from tests.toolservers.programs import wire

for _ in wire.messages():
    pass
