"""Ask the person at the terminal whether a tool may do what it is about to do."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import click

from agentkit.cancel import CancelToken
from agentkit.permissions import Request
from agentkit.runtime import Approver, nobody, standing_answer

KEYS = {"y": "once", "a": "always", "n": "no", "N": "never"}


def approver(
    quiet: Callable[[], AbstractContextManager[None]] = nullcontext, *, unattended: bool = False
) -> Approver:
    """Asks at the terminal, if there is one; `quiet` stops what else is drawn there meanwhile."""
    if unattended or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return nobody

    def ask(request: Request, cancel: CancelToken) -> str:
        cancel.check()
        with quiet():
            return _question(request) if request.question else _approval(request)

    return ask


def describe(request: Request) -> str:
    """What somebody has to decide: the call, and what it would touch.

    What a model wrote is shown without control characters: it could draw over the question.
    """
    if request.question:
        listed = f"  ({' / '.join(map(printable, request.choices))})" if request.choices else ""
        return f"{request.tool} asks: {printable(request.question)}{listed}"
    lines = [f"{click.style(request.tool, bold=True)} wants to"]
    lines += [f"  - {printable(str(access))}" for access in dict.fromkeys(request.accesses)]
    for name, value in request.arguments.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        shown = printable(text if len(text) <= 600 else f"{text[:500]} [...] {text[-80:]}")
        lines.append(f"    {name}: {shown}")
    return "\n".join(lines)


def printable(text: str) -> str:
    """Without what a terminal would obey: escapes, carriage returns, marks of direction."""
    return "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)


def _approval(request: Request) -> str:
    click.echo("\n" + describe(request), err=True)
    click.echo(f"  always would mean: {standing_answer(request)}", err=True)
    while True:
        said = click.prompt("[y] once  [a] always  [n] no  [N] never", err=True).strip()
        if said in KEYS or said in KEYS.values():
            return KEYS.get(said, said)


def _question(request: Request) -> str:
    click.echo("\n" + describe(request), err=True)
    while True:
        said = str(click.prompt("answer", err=True)).strip()
        if said and (not request.choices or said in request.choices):
            return said
