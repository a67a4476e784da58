"""Source `hf:`: the Hugging Face hub, or a server that speaks its protocol (`HF_ENDPOINT`).

    HEAD {endpoint}/{repository}/resolve/{revision}/{path}

answers with the digest of the file: `X-Linked-Etag` is the SHA-256 of a large one (which then lies
elsewhere, behind a redirect), `ETag` the git blob SHA-1 of a small one.
"""

from __future__ import annotations

import os
import re
from urllib.parse import quote

import httpx

from agentkit.cancel import CancelToken
from agentkit.models.blobs import Expected, Partial
from agentkit.models.catalog import ModelFile
from agentkit.models.sources.base import SourceFailed
from agentkit.models.sources.web import Web, is_loopback

ENDPOINT = "https://huggingface.co"


class Hub:
    """One repository at one revision.  Reads `HF_ENDPOINT`, `HF_TOKEN` and `HF_HUB_OFFLINE`."""

    def __init__(self, label: str, repository: str, cancel: CancelToken) -> None:
        self.label = label
        self._endpoint = (os.environ.get("HF_ENDPOINT") or ENDPOINT).rstrip("/")
        self._repository, _, revision = repository.partition("@")
        self._revision = revision or "main"
        safe = self._endpoint.startswith("https:") or is_loopback(self._endpoint)
        token = os.environ.get("HF_TOKEN", "").strip() if safe else ""
        self._web = Web(cancel, token=token, token_for=self._endpoint)

    def look(self, file: ModelFile) -> Expected:
        """Ask for digest and size; both must agree with what the catalog says."""
        if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
            raise SourceFailed("HF_HUB_OFFLINE is set", whole=True)
        try:
            headers = self._web.head(self._place(file), plain_http=file.sha256 is not None)
        except SourceFailed as failed:
            if failed.reason.startswith("HTTP 401"):
                raise SourceFailed(
                    "HTTP 401: no such repository, or HF_TOKEN is needed", whole=True
                ) from None
            raise
        return _expected(file, headers)

    def fetch(self, file: ModelFile, partial: Partial) -> None:
        """Download what is missing."""
        self._web.download(self._place(file), partial, plain_http=file.sha256 is not None)

    def close(self) -> None:
        """Close the connections."""
        self._web.close()

    def _place(self, file: ModelFile) -> str:
        revision = quote(self._revision, safe="")
        return f"{self._endpoint}/{self._repository}/resolve/{revision}/{quote(file.path)}"


def _expected(file: ModelFile, headers: httpx.Headers) -> Expected:
    etag = headers.get("x-linked-etag") or headers.get("etag") or ""
    digest = etag.removeprefix("W/").strip('"').lower()
    sha256 = digest if re.fullmatch(r"[0-9a-f]{64}", digest) else None
    git_sha1 = digest if re.fullmatch(r"[0-9a-f]{40}", digest) else None
    size = _size(headers)
    if file.sha256 and sha256 and sha256 != file.sha256:
        raise SourceFailed(
            f"has another file there: digest {sha256[:12]}…, expected {file.sha256[:12]}…"
        )
    if file.size is not None and size is not None and size != file.size:
        raise SourceFailed(f"has another file there: {size} bytes, expected {file.size}")
    if file.sha256:
        return Expected(size=file.size if size is None else size, sha256=file.sha256)
    if sha256:
        return Expected(size=size, sha256=sha256)
    if git_sha1 and size is not None:
        return Expected(size=size, git_sha1=git_sha1)
    raise SourceFailed("gives no digest to check the file with")


def _size(headers: httpx.Headers) -> int | None:
    """Of the file itself: the length of a redirect's own body says nothing about it."""
    told = headers.get("x-linked-size")
    if told is None and "location" not in headers:
        told = headers.get("content-length")
    return int(told) if told is not None and told.isdecimal() else None
