"""The rooms of the house and the one rule between them: imports only point down.

Also: heavy libraries are imported late, by the adapter that needs them, and nothing of our own is
imported inside a function (that is how broken layers hide).
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "agentkit"

FLOORS: dict[str, int] = {
    "errors": 0, "cancel": 0, "messages": 0, "transcript": 0, "events": 0, "subtitles": 0,
    "records": 0, "machine": 0, "compute": 0, "jobs": 0, "outcomes": 0,
    "permissions": 0, "hosts": 0, "letters": 0, "durations": 0, "secret_file": 0, "visits": 0,
    "pictures": 0, "values": 0, "inventory": 0, "connections": 0,
    "yamlfile": 1, "validation": 1, "schema": 1, "fitting": 1, "templates": 1,
    "ports": 1, "config": 1, "whereabouts": 1,
    "engine": 2, "remote": 2, "models": 2, "audio": 2, "journal": 2, "sandbox": 2,
    "network": 2, "embedding": 2, "memory": 2, "toolservers": 2, "cluster": 2,
    "toolbox": 3, "pool": 3, "schedule": 3,
    "agent": 4,
    "workflow": 5,
    "runtime": 6,
    "mcp": 7, "api": 7, "client": 7, "web": 7,
    "cli": 8,
    "testing": 2,
}  # fmt: skip

SAME_FLOOR_MAY_MEET = {0, 1}
"""Values and protocols may use each other; adapters and faces may not."""

FACES_SEE = {"runtime", "errors", "cancel", "events", "messages", "transcript", "subtitles",
             "config", "ports", "records", "machine", "outcomes", "permissions", "letters",
             "durations", "secret_file", "whereabouts", "visits", "pictures", "values",
             "inventory",
             "__version__"}  # fmt: skip
"""What a face may import besides itself: the composition root and the shared values."""

STARTS = {"mcp", "client", "web"}
"""What the command line starts, or speaks through."""

LATE = {"llama_cpp", "llguidance", "faster_whisper", "ctranslate2", "av", "torch", "chromadb",
        "sentence_transformers", "mcp", "trafilatura", "pypdf", "ddgs", "apprise",
        "pyseccomp", "mcp_types", "docx", "semantic_text_splitter", "charset_normalizer",
        "apscheduler", "tzlocal", "watchfiles", "tokenizers", "threadpoolctl", "transformers",
        "keyring", "ray", "lxml"}  # fmt: skip

NOT_AT_START = {"jsonschema", "referencing", "sqlalchemy", "httpx", "httpcore", "filelock",
                "pydantic_settings"}  # fmt: skip
"""What the start of a run does not need may wait for its first use, too; see `test_start`."""

MAY_IMPORT_OURS_LATE = {"__init__", "cli", "runtime", "journal"}
"""`__init__` offers public names lazily, the command line loads one command at a time, and the
composition root wakes an adapter when it is first used.  The journal wakes SQLAlchemy where a file
has to be made or the journal is on a server."""


WAKES_STEPS = {"workflow/acts.py", "workflow/steps/uses.py"}
"""A kind of step, and what judges results, are loaded with the first step that is of it."""


def _modules() -> Iterator[tuple[str, Path, ast.Module]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        yield room, path, ast.parse(path.read_text(encoding="utf-8"))


def _imports(tree: ast.AST) -> Iterator[tuple[str, ast.stmt]]:
    """Every imported module with its statement; `from agentkit import x` counts as agentkit.x."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide the floor they reach for"
            if node.module == "agentkit":
                yield from ((f"agentkit.{alias.name}", node) for alias in node.names)
            else:
                yield node.module or "", node


def _inside(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)


def test_every_module_has_a_floor() -> None:
    rooms = {room for room, _, _ in _modules()} - {"__init__", "__main__"}
    assert rooms == set(FLOORS)


def test_imports_point_down() -> None:
    wrong = []
    for room, path, tree in _modules():
        if room in ("__init__", "__main__"):
            continue
        for name, node in _imports(tree):
            parts = name.split(".")
            if parts[0] != "agentkit" or len(parts) < 2 or parts[1] in (room, "__version__"):
                continue
            target = parts[1]
            if FLOORS[target] < FLOORS[room]:
                continue
            if FLOORS[target] == FLOORS[room] and FLOORS[room] in SAME_FLOOR_MAY_MEET:
                continue
            wrong.append(f"{path.relative_to(PACKAGE.parent)}:{node.lineno} imports {name}")
    assert wrong == []


def test_only_the_runtime_knows_the_adapters() -> None:
    adapters = {room for room, floor in FLOORS.items() if floor == 2} - {"testing"}
    wrong = [
        f"{path.relative_to(PACKAGE.parent)}:{node.lineno} imports {name}"
        for room, path, tree in _modules()
        for name, node in _imports(tree)
        if room != "runtime" and name.startswith("agentkit.")
        and name.split(".")[1] in adapters - {room}
    ]  # fmt: skip
    assert wrong == []


def test_faces_see_only_the_runtime_and_values() -> None:
    wrong = [
        f"{path.relative_to(PACKAGE.parent)}:{node.lineno} imports {name}"
        for room, path, tree in _modules()
        if FLOORS.get(room, 0) >= FLOORS["mcp"]
        for name, node in _imports(tree)
        if name.startswith("agentkit.")
        and name.split(".")[1]
        not in FACES_SEE | {room} | ({"mcp", "client", "web"} if room == "cli" else set())
    ]
    assert wrong == []


def test_imports_inside_functions_only_delay_something_heavy() -> None:
    wrong = []
    for room, path, tree in _modules():
        for function in ast.walk(tree):
            if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            for name, node in _imports(function):
                ours = name.startswith("agentkit")
                may_be_late = name.split(".")[0] in LATE | NOT_AT_START
                if name.startswith("agentkit.workflow.steps") and _inside(path) in WAKES_STEPS:
                    continue
                if (ours and room in MAY_IMPORT_OURS_LATE) or may_be_late:
                    continue
                if not ours and room == "cli" and name.split(".")[0] == "rich":
                    continue
                wrong.append(f"{path.relative_to(PACKAGE.parent)}:{node.lineno} imports {name}")
    assert wrong == []


def test_heavy_libraries_are_never_imported_at_the_top() -> None:
    wrong = []
    for _, path, tree in _modules():
        for statement in tree.body:
            if _is_type_checking(statement):
                continue
            if isinstance(statement, ast.Import | ast.ImportFrom):
                wrong += [
                    f"{path.relative_to(PACKAGE.parent)}:{statement.lineno} imports {name}"
                    for name, _ in _imports(statement)
                    if name.split(".")[0] in LATE
                ]
    assert wrong == []


@pytest.mark.parametrize("module", ["agentkit", "agentkit.cli", "agentkit.runtime"])
def test_importing_loads_nothing_heavy(module: str) -> None:
    code = f"import sys, {module}; print(*sorted(set(m.split('.')[0] for m in sys.modules)))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert set(loaded) & (LATE | {"onnxruntime", "fastapi", "uvicorn"}) == set()


def test_every_module_says_what_it_owns() -> None:
    silent = [
        str(path.relative_to(PACKAGE.parent))
        for _, path, tree in _modules()
        if not ast.get_docstring(tree)
    ]
    assert silent == []
