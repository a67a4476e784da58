"""Read a web page or a PDF: its text, without what stands around it."""

from __future__ import annotations

import codecs
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from email.message import Message
from http import HTTPStatus
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Literal

from agentkit import ToolContext, tool
from agentkit.errors import ToolError, ToolRetry, human_bytes
from agentkit.permissions import Url
from agentkit.ports import HttpRequest, HttpResponse

MAX_BYTES = 20_000_000
READ_SECONDS = 20.0
"""For one way of reading a page; see `_read_document`."""
TICK = 0.05
GUESSED = 100_000
"""Bytes that are enough to guess from."""

Kind = Literal["html", "pdf", "text"]

ACCEPT = "text/html, application/xhtml+xml, application/pdf, text/*;q=0.9, */*;q=0.5"
PDF = b"%PDF-"
HTML = ("text/html", "application/xhtml+xml")
TEXT = re.compile(r"text/.*|application/(.*\+)?(json|xml|yaml|toml|javascript|x-ndjson|x-sh)|")
"""Types that are text as they are; nothing said is one of them."""
NOTHING_SAID = ("", "application/octet-stream", "binary/octet-stream")
BUSY = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)

WITHOUT_TEXT: dict[Kind, str] = {
    "html": "it may be a page that only a browser can show",
    "pdf": "its pages may be pictures",
    "text": "it is empty",
}

BOMS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
DECLARED = re.compile(
    rb"<(?:meta|\?xml)[^>]{0,200}?(?:charset|encoding)\s{0,9}=\s{0,9}[\"']?([\w-]+)"
)
CHARSETS = re.compile(r"(utf|iso|windows|cp|koi|mac|euc|shift|gb|big|latin)[\w-]*|(us-)?ascii")
"""Names of what pages are written in; Python knows others that are none (`unicode_escape`)."""
GUESSES = "cp1252 cp1251 koi8_r cp1253 cp1255 cp1256 shift_jis euc_jp gb18030 big5 euc_kr".split()
"""What a page may be in that does not say it; as in browsers, one for all Latin letters."""
WESTERN = ("iso-8859-1", "latin1", "latin-1", "ascii", "us-ascii")
"""Who says one of these means what Windows makes of it, everywhere on the web."""


@tool(effects=("network",))
def fetch_url(url: Url, links: bool = False, *, context: ToolContext) -> dict[str, Any]:
    """Read a web page or PDF and return its text.

    Args:
        url: The full address, beginning with https://.
        links: Whether to keep the addresses of links in the text.
    """
    request = HttpRequest(url, headers={"Accept": ACCEPT}, max_bytes=MAX_BYTES)
    response = context.http.fetch(request, context.cancel)
    _check_status(response)
    kind = _kind(response)
    if kind == "text":
        document = {"title": "", "text": _plain(response)}
    elif kind == "pdf":
        document = _document(response.url, "pdf", response.body, context)
    else:
        document = _page(response, links, context)
    if not document["text"].strip():
        raise ToolError(f"{response.url} has no text: {WITHOUT_TEXT[kind]}")
    return {"url": response.url, **document}


def _check_status(response: HttpResponse) -> None:
    """Raise `ToolRetry` if it may be there later, `ToolError` if it is not there."""
    if response.status < HTTPStatus.MULTIPLE_CHOICES:
        return
    words = str(response.status)
    with suppress(ValueError):
        words += f" ({HTTPStatus(response.status).phrase})"
    if response.status in BUSY:
        after = response.headers.get("retry-after", "")
        when = f"after {after}" + " s" * after.isdigit() if after else "later"
        raise ToolRetry(f"{response.url} answered {words}: try again {when}")
    raise ToolError(f"{response.url} answered {words}")


# -- what it is, and in which characters ---------------------------------------------------------


def _content_type(response: HttpResponse) -> Message:
    message = Message()
    message["content-type"] = response.headers.get("content-type", "/")
    return message


def _kind(response: HttpResponse) -> Kind:
    """What the server says that it is, or what it looks like.  Raises `ToolError` for no text."""
    body, head = response.body, response.body[:1024].lstrip().lower()
    said = _content_type(response)["content-type"].partition(";")[0].strip(" /").lower()
    if body.startswith(PDF):
        return "pdf"
    if said in NOTHING_SAID:
        said = HTML[0] if head.startswith(b"<!doctype html") or b"<html" in head else ""
    if said in HTML:
        return "html"
    if TEXT.fullmatch(said):
        return "text"
    raise _no_text(response, said)


def _no_text(response: HttpResponse, what: str) -> ToolError:
    return ToolError(f"{response.url} is no text but {what} of {human_bytes(len(response.body))}")


def _plain(response: HttpResponse) -> str:
    text = _decoded(response)
    if "\0" in text:
        raise _no_text(response, "binary data")
    return text


def _decoded(response: HttpResponse) -> str:
    """In the first of these that fits: its mark, the header, its own word, UTF-8, a guess."""
    for charset in _charsets(response):
        with suppress(UnicodeDecodeError, LookupError):
            return response.body.decode(charset)
    return response.body.decode("utf-8", "replace")


def _charsets(response: HttpResponse) -> Iterator[str]:
    body = response.body
    yield from (charset for bom, charset in BOMS.items() if body.startswith(bom))
    header = _content_type(response).get_content_charset() or ""
    declared = DECLARED.search(body[:4096].lower())
    for name in (header.lower(), declared[1].decode("ascii", "replace") if declared else ""):
        if name in WESTERN:
            yield "utf-8"  # which is rarely valid by chance, and often what was meant
            yield "cp1252"
        elif CHARSETS.fullmatch(name):
            yield name
    yield "utf-8"
    from charset_normalizer import from_bytes  # few pages get here

    guess = from_bytes(body[:GUESSED], cp_isolation=GUESSES).best()
    if guess is not None:
        yield guess.encoding


# -- what stands in it -----------------------------------------------------------------------------


def _page(response: HttpResponse, links: bool, context: ToolContext) -> dict[str, str]:
    """The article of a page; all its words if that cannot be found in time."""
    page = _decoded(response).encode("utf-8", "replace")
    with suppress(TimeoutError):
        return _run(response.url, "article", page, context, links=links)
    context.warn(f"{response.url} is too long to find its article: these are all its words")
    return _document(response.url, "words", page, context)


def _document(url: str, reader: str, data: bytes, context: ToolContext) -> dict[str, str]:
    try:
        return _run(url, reader, data, context)
    except TimeoutError:
        raise ToolError(f"{url} cannot be read in {READ_SECONDS:g} s") from None


def _run(
    url: str, reader: str, data: bytes, context: ToolContext, *, links: bool = False
) -> dict[str, str]:
    """What `_read_document` makes of it.  Raises `TimeoutError`, and `ToolError` for its faults."""
    program = Path(__file__).with_name("_read_document.py")
    command = [
        sys.executable,
        "-P",
        str(program),
        reader,
        *[url] * links,
    ]  # -P: tools are no modules
    with TemporaryFile() as document:
        document.write(data)
        document.seek(0)
        with subprocess.Popen(  # noqa: S603 - our own program
            command, stdin=document, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as process:
            try:
                told = _told(process, context)
            finally:
                process.kill()
    try:
        found: dict[str, str] = json.loads(told)
    except ValueError:
        found = {"fault": "its reader broke, or needed too much memory"}
    if "fault" in found:
        raise ToolError(f"{url} cannot be read: {found['fault']}")
    return found


def _told(process: subprocess.Popen[bytes], context: ToolContext) -> bytes:
    """What a program writes.  Raises `TimeoutError`, `Cancelled`."""
    end = time.monotonic() + READ_SECONDS
    while time.monotonic() < end:
        context.cancel.check()
        with suppress(subprocess.TimeoutExpired):
            return process.communicate(timeout=TICK)[0]
    raise TimeoutError
