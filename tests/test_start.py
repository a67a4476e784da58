"""What the start of a run loads: whoever adds to it adds to each start of each run.

A limit in seconds would depend on the machine; `bench/startup.py` measures them.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from agentkit.journal import Journal

LIBRARIES = {
    "annotated_types", "click", "idna", "jinja2", "markupsafe", "pydantic", "pydantic_core",
    "ruamel", "typing_extensions", "typing_inspection",
}  # fmt: skip
"""Those that every run needs."""

ASLEEP = {"agent", "api", "audio", "client", "cluster", "embedding", "engine", "mcp", "memory",
          "models", "network", "remote", "sandbox", "toolservers", "web"}  # fmt: skip
"""Rooms that a run without a model does not enter."""

SERVICE = {"background", "keeper", "scheduling", "tokens"}
"""What only the service needs of the composition root."""

NEVER = {"asyncio", "multiprocessing", "ssl", "unittest"}
"""Large parts of Python that nothing here needs."""

COMMAND = """
import gc, sys
from agentkit.cli import main
try:
    main(sys.argv[1:])
except SystemExit as end:
    assert not end.code, end.code
kinds = (one for one in gc.get_objects() if isinstance(one, type) and "__slots__" in vars(one))
ours = (one for one in kinds if one.__module__.startswith("agentkit."))
frozen = (one for one in ours if getattr(vars(one).get("__dataclass_params__"), "frozen", False))
print("slow", *(one.__qualname__ for one in frozen if not hasattr(one, "_compared")))
print("loaded", *sorted(sys.modules))
"""

FLOW = """\
name: flow
inputs: {n: {type: integer, default: 2}}
steps:
  - {id: a, uses: calculate, with: {expression: "${{ inputs.n }} * 2"}}
  - {id: b, if: "${{ steps.a.outputs == '4' }}", uses: calculate, with: {expression: 1 + 1}}
outputs: {said: "${{ steps.b.outputs }}"}
"""


@pytest.mark.parametrize("command", [["run"], ["check"], ["runs", "list"]])
def test_what_needs_no_model_loads_nothing_for_one(
    command: list[str], isolated_home: Path, tmp_path: Path
) -> None:
    Journal(isolated_home / "journal.sqlite").close()  # made once: by SQLAlchemy
    path = tmp_path / "flow.yaml"
    path.write_text(FLOW)
    given = command if command[0] == "runs" else [*command, str(path)]
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, *given], capture_output=True, text=True, check=True
    )
    slow, loaded = (line.split()[1:] for line in done.stdout.splitlines()[-2:])
    assert slow == [], "made by Python's own dataclass, and not by agentkit.values"
    roots = {name.split(".")[0] for name in loaded} - sys.stdlib_module_names
    ours = {name.split(".")[1] for name in loaded if name.startswith("agentkit.")}
    strange = {root for root in roots if not root.startswith(("_", "agentkit"))} - LIBRARIES
    assert strange == set()
    assert ours & ASLEEP == set()
    assert {f"agentkit.runtime.{name}" for name in SERVICE} & set(loaded) == set()
    assert NEVER & set(loaded) == set()
    tools = {name for name in loaded if name.startswith("agentkit_tool_")}
    assert len(tools) <= 1, "a tool is loaded when it is called"
