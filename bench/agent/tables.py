"""What is printed: a line for each objective as it was played, and the tables at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from statistics import median

from bench.agent.records import Record

WIDTH = 22
"""Of a name of an objective or of a family."""


def line(record: Record) -> str:
    """What came of one objective."""
    mark = "✓" if not record.wrong else "✗"
    why = f"   {record.wrong}" if record.wrong else ""
    if record.error:
        why += f" [{record.stop}: {record.error[:100]}]"
    return (
        f"  {mark} {record.objective:<{WIDTH}} {record.seconds:6.1f} s  {record.steps:3} steps  "
        f"{record.tool_calls:3} calls  {record.tokens_read:6} read {record.tokens_written:5} "
        f"written  {record.stop}{why}"
    )


def summary(records: Iterable[Record]) -> str:
    """Both tables, of the objectives that all of the players have played."""
    listed = list(records)
    players = list(dict.fromkeys(record.player for record in listed))
    return "\n\n".join([by_player(listed, players), by_family(listed, players)])


def by_player(records: Sequence[Record], players: Sequence[str]) -> str:
    """One line for each player."""
    wide = max(map(len, players), default=0)
    head = (
        f"{'':<{wide}}  right            seconds  steps  calls     read   cached  written   "
        "(medians of one objective)"
    )
    lines = [head]
    for player in players:
        own = [record for record in records if record.player == player]
        lines.append(
            f"{player:<{wide}}  {share(own):<15}  {middle(own, lambda r: r.seconds):7.1f}"
            f"  {middle(own, lambda r: r.steps):5.0f}  {middle(own, lambda r: r.tool_calls):5.0f}"
            f"  {middle(own, lambda r: r.tokens_read):7.0f}"
            f"  {middle(own, lambda r: r.tokens_cached):7.0f}"
            f"  {middle(own, lambda r: r.tokens_written):7.0f}"
        )
    return "\n".join(lines)


def by_family(records: Sequence[Record], players: Sequence[str]) -> str:
    """One line for each family: what is right, and the median of seconds."""
    wide = max(*map(len, players), 16) if players else 0
    lines = [" " * WIDTH + "  ".join(f"{player:<{wide}}" for player in players)]
    for family in dict.fromkeys(record.family for record in records):
        cells = []
        for player in players:
            own = [r for r in records if (r.player, r.family) == (player, family)]
            right = sum(not record.wrong for record in own)
            told = f"{right}/{len(own)}  {middle(own, lambda r: r.seconds):5.1f} s" if own else "-"
            cells.append(f"{told:<{wide}}")
        lines.append(f"{family:<{WIDTH}}" + "  ".join(cells).rstrip())
    return "\n".join(text.rstrip() for text in lines)


def share(records: Sequence[Record]) -> str:
    """`41/52 = 79 %`."""
    right = sum(not record.wrong for record in records)
    return f"{right}/{len(records)} = {right / len(records):.0%}" if records else "-"


def middle(records: Sequence[Record], of: Callable[[Record], float]) -> float:
    """The median; 0 of nothing."""
    return median(map(of, records)) if records else 0.0
