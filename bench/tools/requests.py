"""The requests, the files they speak of, and what counts as right."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentkit.messages import ToolCall
from agentkit.yamlfile import load_file

FILES = {
    "notes.txt": "The meeting is on Tuesday at ten.\nTODO: ask Ann about the budget.\n",
    "report.md": "# Report\n\nThis is a draft.\n\nSales went up by 4 percent.\n",
    "config.json": '{"host": "localhost", "port": 8080}\n',
    "people.csv": "name,age\nAnn,34\nBob,29\n",
    "src/main.py": "from dates import parse_date\n\nprint(parse_date('2026-01-02'))\n",
    "src/dates.py": "def parse_date(text):\n    return text.split('-')  # TODO: numbers\n",
}


@dataclass(frozen=True, slots=True)
class Request:
    """What somebody asks, and what is right."""

    ask: str
    tools: tuple[str, ...]
    arguments: Mapping[str, Any]
    result: tuple[str, ...]


def requests() -> list[Request]:
    """All of them."""
    listed: list[dict[str, Any]] = load_file(Path(__file__).with_name("requests.yaml")).data
    return [
        Request(
            one["ask"],
            tuple(tool if isinstance(tool := one["tool"], list) else [tool] if tool else []),
            one.get("with", {}),
            tuple(one.get("result", ())),
        )
        for one in listed
    ]


def write_files(folder: Path) -> None:
    """The files that the requests speak of."""
    for name, text in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def arguments_fit(request: Request, call: ToolCall) -> bool:
    """Whether the arguments are those that were asked for."""
    try:
        given = json.loads(call.arguments or "{}")
    except ValueError:
        return False
    return isinstance(given, dict) and all(
        _fits(wanted, given.get(name)) for name, wanted in request.arguments.items()
    )


def result_fits(request: Request, result: str) -> bool:
    """Whether what had to come out did."""
    plain = result.replace(",", "")
    return all(word in plain for word in request.result)


def _fits(wanted: Any, given: Any) -> bool:
    if isinstance(wanted, dict) and "has" in wanted:
        text = str(given).lower()
        return given is not None and all(str(word).lower() in text for word in wanted["has"])
    if isinstance(wanted, dict):
        return any(_fits(option, given) for option in wanted["any"])
    return given is not None and _plain(wanted) == _plain(given)


def _plain(value: Any) -> str:
    text = re.sub(r"\s+", " ", str(value)).strip().lower()
    return text.removeprefix("./").rstrip("/.")
