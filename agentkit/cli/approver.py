"""Ask the person at the terminal whether a tool may do what it is about to do."""

from __future__ import annotations

import json
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import click

from agentkit.cancel import CancelToken
from agentkit.errors import Cancelled
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
        try:
            with quiet(), _plain_interrupt():
                return _question(request) if request.question else _approval(request)
        except click.Abort:  # Ctrl-C, or the end of the input
            cancel.cancel("interrupted")
            raise Cancelled("interrupted") from None

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


@contextmanager
def _plain_interrupt() -> Iterator[None]:
    """Let Ctrl-C end the question: elsewhere the first one only asks work to stop."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


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
