"""Starts one of the programs here: `programs NAME ARGUMENT...`."""

import runpy
import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).parents[3])
del sys.argv[0]
runpy.run_module(f"tests.toolservers.programs.{sys.argv[0]}", run_name="__main__")
