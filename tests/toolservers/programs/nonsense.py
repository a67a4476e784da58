"""Writes a banner to stdout, as programs do that were not made for this; `only`: nothing else."""

import sys

from tests.toolservers.programs import wire

print("Welcome to \x1b[31mnonsense\x1b[0m 1.0")
print("{}", "[1, 2]", '{"jsonrpc": "1.0"}', "[" * 5000, sep="\n", flush=True)
if sys.argv[1:] == ["only"]:
    for _ in wire.messages():
        print("what?", flush=True)
wire.serve(lambda: [wire.tool("speak")], lambda question, name, given: wire.say(question, "sense"))
