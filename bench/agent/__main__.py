"""How many of fifty everyday objectives an agent reaches on a small model, and what that costs.

    python -m bench.agent [--players agentkit,code,tools] [--only FAMILY,NAME] [--json FILE]

See bench/agent/README.md.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import get_args

from agentkit import machine
from agentkit.agent.run import Part
from agentkit.config import Settings
from agentkit.errors import AgentkitError, UnknownName, UserError
from bench.agent.objective import Objective
from bench.agent.objectives import FAMILIES, chosen
from bench.agent.players import Open, Player, Terms, ours, smol
from bench.agent.records import Record, Records
from bench.agent.tables import line, summary
from bench.agent.world import World, world

PLAYERS: dict[str, Open] = {
    "agentkit": ours.agentkit,
    "code": smol.code,
    "tools": smol.tools,
    "code-served": smol.code_served,
    "tools-served": smol.tools_served,
}


def main() -> int:
    """Let each player play alone, one after the other; what is recorded already is left out."""
    options = _options().parse_args()
    try:
        return _play_all(options)
    except AgentkitError as error:
        print(f"error: {error}\n  {error.hint or ''}".rstrip(), file=sys.stderr)
        return 2


def _options() -> argparse.ArgumentParser:
    families = ", ".join(family.FAMILY for family in FAMILIES)
    options = argparse.ArgumentParser(prog="python -m bench.agent", description=__doc__)
    options.add_argument("--players", default="agentkit", help=f"of {', '.join(PLAYERS)}")
    options.add_argument("--only", default="", help=f"names of objectives, or families: {families}")
    options.add_argument("--without", default="", help=f"of agentkit: {', '.join(get_args(Part))}")
    options.add_argument("--model", help="as settings name it; by default the one for chat")
    options.add_argument("--limit-seconds", type=float, default=180.0, help="for each objective")
    options.add_argument("--json", type=Path, help="a file of records; what is in it is not played")
    options.add_argument("--list", action="store_true", help="print the objectives, and end")
    return options


def _play_all(options: argparse.Namespace) -> int:
    objectives = chosen(_split(options.only))
    if options.list:
        print("\n".join(f"{one.name:<24}{one.ask}" for one in objectives))
        return 0
    players, without = _split(options.players), tuple(_split(options.without))
    _check(players, PLAYERS, "player")
    _check(without, get_args(Part), "part of an agent")
    terms = Terms(options.model or Settings.load().roles.chat, options.limit_seconds, without)
    records = Records(options.json)
    print(f"{machine.cpu_name()}, {machine.physical_cores()} cores, {terms.model}")
    faults = 0
    for name in players:
        label = f"agentkit without {', '.join(without)}" if name == "agentkit" and without else name
        left = [one for one in objectives if (label, terms.model, one.name) not in records]
        print(f"\n{label}: {len(left)} to play, {len(objectives) - len(left)} recorded", flush=True)
        try:
            _play(PLAYERS[name], label, left, terms, records)
        except UserError as error:  # the others may be here
            print(f"  left out: {error}\n  {error.hint or ''}".rstrip())
            faults += 1
    names = {one.name for one in objectives}
    print(f"\n{summary(r for r in records if r.model == terms.model and r.objective in names)}")
    return 1 if faults else 0


def _play(
    open_player: Open, label: str, left: Sequence[Objective], terms: Terms, records: Records
) -> None:
    if not left:
        return
    with world() as around, open_player(around, terms) as player:
        for objective in left:
            record = _played(player, objective, around, label, terms)
            records.add(record)
            print(line(record), flush=True)


def _played(
    player: Player, objective: Objective, around: World, label: str, terms: Terms
) -> Record:
    with tempfile.TemporaryDirectory(prefix="objective-", ignore_cleanup_errors=True) as place:
        folder = Path(place).resolve()
        played = player.play(around.enter(objective, folder), folder)
        wrong = _judged(objective, folder, played.answer)
    about = {**asdict(played), "seconds": round(played.seconds, 2)}
    return Record(
        player=label,
        model=terms.model,
        objective=objective.name,
        family=objective.family,
        wrong=wrong,
        **about,
    )


def _judged(objective: Objective, folder: Path, answer: str) -> str:
    try:
        return objective.check(folder, answer)
    except Exception as error:  # a model may leave anything behind
        return f"what it left cannot be read: {type(error).__name__}: {error}"


def _split(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _check(names: Sequence[str], known: Sequence[str] | dict[str, Open], kind: str) -> None:
    for name in names:
        if name not in known:
            raise UnknownName(kind, name, list(known), hint="python -m bench.agent --help")


if __name__ == "__main__":
    sys.exit(main())
