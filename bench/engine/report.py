"""What was measured, as a table to read and as JSON to keep."""

from __future__ import annotations

import dataclasses
import json
import statistics
import subprocess
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from agentkit import machine
from agentkit.engine import build_info
from bench.engine.measure import Bench, Row

WIDE = 52
"""Letters of the longest title."""


def head(bench: Bench) -> list[str]:
    """The machine and the builds, a line each."""
    return [
        f"{machine.cpu_name()}, {bench.threads} threads; {bench.model.name}, {bench.rounds} rounds",
        f"ours: agentkit {version('agentkit')}, llama-cpp-python {version('llama-cpp-python')}; "
        f"{build_info()}",
        f"llama-server: {server_version(bench.server)}",
    ]


def server_version(server: Path) -> str:
    """What the program says about itself."""
    said = subprocess.run([server, "--version"], capture_output=True, text=True, check=True)
    return "; ".join((said.stderr or said.stdout).strip().splitlines()).removeprefix("version: ")


def table_head() -> str:
    """The line above the rows."""
    return f"\n{'':{WIDE + 3}} {'ours':>10} {'theirs':>10} {'ratio':>6} {'limit':>8}  reached"


def lines(number: int, row: Row) -> list[str]:
    """A row of the table and its notes."""
    ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
    limit = f"{row.limit:.2f}" if row.of == "ratio" else f"{row.limit:.2f} {row.unit}"
    figures = f"{middle(row.ours, row.unit):>10} {middle(row.theirs, row.unit):>10}"
    verdict = "yes" if row.reached else "NO"
    rival = [f"theirs: {row.rival}"] if row.rival else []
    return [
        f"{number}  {row.title:{WIDE}} {figures} {ratio:>6} {limit:>8}  {verdict}",
        *(f"   {note}" for note in [*rival, *row.notes]),
    ]


def middle(figures: Sequence[float], unit: str) -> str:
    """The median; nothing where nothing was measured."""
    return f"{statistics.median(figures):.2f} {unit}" if figures else ""


def as_json(bench: Bench, rows: Sequence[tuple[int, Row]]) -> str:
    """All of it, with each round."""
    measured: list[dict[str, Any]] = [
        {"scenario": number, **dataclasses.asdict(row), "ratio": row.ratio, "reached": row.reached}
        for number, row in rows
    ]
    return json.dumps({"machine": head(bench), "rows": measured}, indent=1, ensure_ascii=False)
