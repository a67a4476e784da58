"""The places that models come from, one module each: the hub, PyPI, an address, this machine."""

from __future__ import annotations

from pathlib import Path

from agentkit.cancel import CancelToken
from agentkit.models.catalog import Source
from agentkit.models.sources.base import OpenSource, SourceFailed
from agentkit.models.sources.hub import Hub
from agentkit.models.sources.local import Local
from agentkit.models.sources.web import Address
from agentkit.models.sources.wheels import Wheels

__all__ = ["OpenSource", "SourceFailed", "open_source"]


def open_source(source: Source, scratch: Path, cancel: CancelToken) -> OpenSource:
    """Make a source ready; nothing is asked of it yet.  `scratch` is a folder for its own files."""
    if source.hf is not None:
        return Hub(str(source), source.hf, cancel)
    if source.pypi is not None:
        return Wheels(str(source), source.pypi, scratch, cancel)
    if source.url is not None:
        return Address(str(source), source.url, cancel)
    return Local(str(source), Path(source.file or "").expanduser())
