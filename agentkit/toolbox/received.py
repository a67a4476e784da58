"""What a server sent: whether it is there, what kind of document it is, in which characters.

Servers say wrong things about what they send, so what a document looks like counts, too.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from contextlib import suppress
from email.message import Message
from http import HTTPStatus
from typing import Literal

from agentkit.errors import ToolError, ToolRetry, human_bytes
from agentkit.ports import HttpResponse

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


def check_status(response: HttpResponse) -> None:
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


def _content_type(response: HttpResponse) -> Message:
    message = Message()
    message["content-type"] = response.headers.get("content-type", "/")
    return message


def kind_of(response: HttpResponse) -> Kind:
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


def plain_text(response: HttpResponse) -> str:
    """What is text as it is.  Raises `ToolError` for what only says so."""
    text = decoded(response)
    if "\0" in text:
        raise _no_text(response, "binary data")
    return text


def decoded(response: HttpResponse) -> str:
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
