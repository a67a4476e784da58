"""Change one thing in files that are there, and nothing else."""

from __future__ import annotations

import configparser
import json
from pathlib import Path

from bench.agent.objective import Objective, changed, text_of

FAMILY = "editing"
TOOLS = ("list_files", "search_files", "read_file", "edit_file", "write_file")

# -- a port, of which there are two ----------------------------------------------------------------

INI = {
    "service.ini": (
        "; settings of the service\n[server]\nhost = 0.0.0.0\nport = 8080\nworkers = 4\n\n"
        "[metrics]\nenabled = yes\nport = 8080\n\n[log]\nlevel = info\n"
    )
}


def _check_ini(folder: Path, answer: str) -> str:
    before = configparser.ConfigParser()
    parser = configparser.ConfigParser(interpolation=None)
    before.read_string(INI["service.ini"])
    before["server"]["port"] = "9090"
    try:
        parser.read_string(text_of(folder / "service.ini") or "")
    except configparser.Error as error:
        return f"service.ini cannot be read any more: {error}"
    for section in before.sections():
        found = dict(parser[section]) if section in parser else {}
        if found != dict(before[section]):
            return f"[{section}] is {found}"
    return "" if parser.sections() == before.sections() else "there are other sections"


# -- a number in JSON ------------------------------------------------------------------------------

CLIENT = {
    "client.json": json.dumps(
        {"name": "collector", "retries": 2, "timeout": 30, "targets": ["a.local", "b.local"],
         "backup": {"retries": 2, "enabled": True}}, indent=2) + "\n"
}  # fmt: skip


def _check_json(folder: Path, answer: str) -> str:
    right = json.loads(CLIENT["client.json"])
    right["backup"]["retries"] = 5
    try:
        found = json.loads(text_of(folder / "client.json") or "")
    except ValueError as error:
        return f"client.json is no JSON any more: {error}"
    return "" if found == right else f"client.json is now {json.dumps(found)}"


def _set_retries(folder: Path, part: str | None) -> str:
    found = json.loads((folder / "client.json").read_text())
    (found[part] if part else found)["retries"] = 5
    (folder / "client.json").write_text(json.dumps(found, indent=2))
    return "It is 5 now."


# -- a number that stands in several letters -------------------------------------------------------

OLD, NEW = "0551 402 118", "0551 377 900"
LETTERS = {
    "bakery.txt": f"Dear baker,\nplease call us: {OLD}. Thank you.\n",
    "club.txt": "Dear members,\nour number is still 0551 402 181.\n",
    "school.txt": f"Dear teachers,\nwe can be reached at {OLD} after six.\nKind regards\n",
    "signature.txt": f"Family Brandt\nTel. {OLD}\n",
}


def _check_letters(folder: Path, answer: str) -> str:
    return changed(folder, {name: text.replace(OLD, NEW) for name, text in LETTERS.items()})


def _replace(folder: Path, old: str, new: str, *files: str) -> str:
    for name in files or sorted(LETTERS):
        path = folder / name
        path.write_text(path.read_text().replace(old, new))
    return "I have changed it."


OBJECTIVES = (
    Objective(
        "editing-port",
        FAMILY,
        "In service.ini, let the server listen on port 9090. The port of the metrics stays.",
        TOOLS,
        check=_check_ini,
        solve=lambda folder: _replace(
            folder, "port = 8080\nworkers", "port = 9090\nworkers", "service.ini"
        ),
        mistake=lambda folder: _replace(folder, "8080", "9090", "service.ini"),
        files=INI,
    ),
    Objective(
        "editing-json",
        FAMILY,
        "Set the retries of the backup in client.json to 5, and leave everything else as it is.",
        TOOLS,
        check=_check_json,
        solve=lambda folder: _set_retries(folder, "backup"),
        mistake=lambda folder: _set_retries(folder, None),
        files=CLIENT,
    ),
    Objective(
        "editing-number",
        FAMILY,
        f"Our telephone number has changed from {OLD} to {NEW}. Change it in every file of this "
        "folder in which the old one stands.",
        TOOLS,
        check=_check_letters,
        solve=lambda folder: _replace(folder, OLD, NEW),
        mistake=lambda folder: _replace(folder, OLD, NEW, "bakery.txt", "school.txt"),
        files=LETTERS,
    ),
)
