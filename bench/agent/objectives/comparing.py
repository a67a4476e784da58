"""Compare two documents, and name what is different."""

from __future__ import annotations

from pathlib import Path

from bench.agent.answers import says
from bench.agent.objective import Objective

FAMILY = "comparing"
TOOLS = ("list_files", "read_file", "search_files", "run_python")

OLD = (
    "Contract for the workshop\n\n1. The rent is paid on the third of each month.\n"
    "2. The notice period is three months.\n3. Keys: four.\n"
    "4. The tenant cleans the yard every week.\n5. Dogs are not allowed.\n"
    "6. Electricity is paid by the landlord.\n"
)
NEW = (
    "Contract for the workshop\n\n1. The rent is paid on the third of each month.\n"
    "2. The notice period is six months.\n3. Keys: four.\n"
    "4. The tenant cleans the yard every week.\n5. Dogs are not allowed.\n"
    "6. Electricity is paid by the tenant.\n"
)
CONTRACTS = {"contract-2025.txt": OLD, "contract-2026.txt": NEW}

MEMBERS = {
    "members-2025.txt": "Abel\nBirgit\nCosima\nDaniel\nEdda\nFalk\nGesa\nHarro\nImke\nJorg\n",
    "members-2026.txt": "Imke\nAbel\nFalk\nKlara\nBirgit\nGesa\nJorg\nDaniel\nEdda\nLutz\n",
}

SETTINGS = {
    "staging.ini": "host=10.0.0.5\ncache=on\ntimeout=30\nworkers=4\ndebug=off\nregion=north\n",
    "production.ini": "host=10.0.0.5\ncache=on\ntimeout=45\nworkers=4\ndebug=off\nregion=south\n",
}


def _lines(folder: Path, name: str) -> list[str]:
    return (folder / name).read_text().splitlines()


def _new_lines(folder: Path) -> str:
    old = set(_lines(folder, "contract-2025.txt"))
    return "New are: " + " ".join(
        line for line in _lines(folder, "contract-2026.txt") if line not in old
    )


def _gone(folder: Path) -> str:
    now = _lines(folder, "members-2026.txt")
    return " and ".join(name for name in _lines(folder, "members-2025.txt") if name not in now)


def _keys(folder: Path) -> str:
    staging, production = (
        dict(line.split("=") for line in _lines(folder, name)) for name in SETTINGS
    )
    return ", ".join(key for key in staging if staging[key] != production[key])


OBJECTIVES = (
    Objective(
        "comparing-contracts",
        FAMILY,
        "Compare contract-2025.txt with contract-2026.txt. What does the new one say differently? "
        "Give the new conditions.",
        TOOLS,
        check=lambda folder, answer: says(
            answer,
            "notice",
            "six|6 months",
            "electricity",
            "tenant",
            others=["dogs", "keys", "yard"],
        ),
        solve=_new_lines,
        mistake=lambda folder: "The notice period is six months now; nothing else has changed.",
        files=CONTRACTS,
    ),
    Objective(
        "comparing-members",
        FAMILY,
        "Which two members of 2025 (members-2025.txt) are not members in 2026 (members-2026.txt)?",
        TOOLS,
        check=lambda folder, answer: says(
            answer, "Cosima", "Harro", others=["Abel", "Birgit", "Daniel", "Edda", "Klara", "Lutz"]
        ),
        solve=_gone,
        mistake=lambda folder: "Klara and Lutz",
        files=MEMBERS,
    ),
    Objective(
        "comparing-settings",
        FAMILY,
        "Which settings have different values in staging.ini and production.ini?",
        TOOLS,
        check=lambda folder, answer: says(
            answer, "timeout", "region", others=["cache", "workers", "debug", "host"]
        ),
        solve=_keys,
        mistake=lambda folder: "Only the timeout is different.",
        files=SETTINGS,
    ),
)
