"""What a place that has model files must be able to do, and how it says that it cannot."""

from __future__ import annotations

from typing import Protocol

from agentkit.models.blobs import Expected, Partial
from agentkit.models.catalog import ModelFile


class SourceFailed(Exception):
    """A source cannot give a file: a short reason, to be read by a person.

    `whole` says that it will not give any other file of the model either (no answer, no pip), so
    that it need not be asked again.
    """

    def __init__(self, reason: str, *, whole: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.whole = whole


class OpenSource(Protocol):
    """A source during one pull.  Both methods raise `SourceFailed`, `DiskFull` or `Cancelled`."""

    @property
    def label(self) -> str:
        """Which place this is, as the catalog writes it."""

    def look(self, file: ModelFile) -> Expected:
        """What is known of a file before it is fetched: digest and size, as far as can be told."""

    def fetch(self, file: ModelFile, partial: Partial) -> None:
        """Append to `partial` what is still missing of a file.

        Raises `NotAsExpected` if the source sends more than it should.
        """

    def close(self) -> None:
        """Give back connections and temporary files."""
