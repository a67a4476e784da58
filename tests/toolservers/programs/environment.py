"""Tells the variables that it has."""

import json
import os

from tests.toolservers.programs import wire

wire.serve(
    lambda: [wire.tool("tell")],
    lambda question, name, given: wire.say(question, json.dumps(dict(os.environ))),
)
