"""Documents of others, read in a process of their own.

There are pages of two megabytes that keep a parser busy for minutes, and nothing but the end of its
process stops it; others need more memory than there is.  What runs there is `reader`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import Literal

from agentkit.cancel import CancelToken
from agentkit.errors import ToolError

READER = Path(__file__).with_name("reader.py")
TICK = 0.05
"""Seconds between two looks whether the call was cancelled."""

How = Literal["article", "words", "pdf"]


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a website: `lines` of its main part, `margin` those of what stands around it.

    A heading begins with `# `, an empty line ends a paragraph.  Links are as they are written, each
    with its text; they lead from `base`, or from the address of the page.
    """

    title: str
    lines: Sequence[str]
    margin: Sequence[str]
    base: str
    links: Sequence[tuple[str, str]]


def read_document(
    name: str, how: How, data: bytes, cancel: CancelToken, *, seconds: float, links_from: str = ""
) -> dict[str, str]:
    """The title and the text of one document; `links_from` keeps the links of an article.

    Raises `ToolError` with what is wrong with it, `TimeoutError` if that took too long.
    """
    told, late = _run([how, *[links_from] * bool(links_from)], data, cancel, seconds)
    if late:
        raise TimeoutError
    try:
        found: dict[str, str] = json.loads(told)
    except ValueError:
        found = {"fault": "its reader broke, or needed too much memory"}
    if "fault" in found:
        raise ToolError(f"{name} cannot be read: {found['fault']}")
    return found


def read_pages(pages: Sequence[bytes], cancel: CancelToken, *, seconds: float) -> list[Page | None]:
    """Pages of a website, in UTF-8; None for each that keeps its reader busy for so long.

    One process reads many of them, and another one goes on behind a page that was too much for it.
    """
    found = list[Page | None]()
    while left := pages[len(found) :]:
        sizes = [str(len(page)) for page in left]
        told, _ = _run(["pages", *sizes], b"".join(left), cancel, seconds)
        found += _pages(told)
        if len(found) < len(pages):
            found.append(None)
    return found


def _pages(told: bytes) -> Iterator[Page]:
    for line in told.splitlines():
        with suppress(ValueError):  # the last one, of a process that was ended
            page = json.loads(line)
            yield Page(**{**page, "links": [(to, text) for to, text in page["links"]]})


def _run(
    arguments: Sequence[str], data: bytes, cancel: CancelToken, seconds: float
) -> tuple[bytes, bool]:
    """What the reader writes, and whether it had to be ended.  Raises `Cancelled`."""
    command = [sys.executable, "-P", str(READER), *arguments]  # -P: what lies beside it is not its
    with TemporaryFile() as document:
        document.write(data)
        document.seek(0)
        with subprocess.Popen(  # noqa: S603 - our own program
            command, stdin=document, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as process:
            try:
                end = time.monotonic() + seconds
                while time.monotonic() < end:
                    cancel.check()
                    with suppress(subprocess.TimeoutExpired):
                        return process.communicate(timeout=TICK)[0], False
            finally:
                process.kill()
            return process.communicate()[0], True
