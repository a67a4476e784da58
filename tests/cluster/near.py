"""A machine of a cluster in this process: what travels is pickled, and nothing else is shared."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from agentkit.cancel import CancelToken
from agentkit.cluster import Host, RemoteWorker, Workplace
from agentkit.errors import WorkerLost


@dataclass
class NearLink:
    """`worker.Link` to a host here; `lose` is a method in which the machine goes away, once, and
    `meanwhile` happens here when work has begun there.
    """

    host: Host
    asked: list[tuple[str, tuple[Any, ...]]] = field(default_factory=list)
    lose: str = ""
    damage: bool = False
    meanwhile: Callable[[], None] = lambda: None

    def __call__(self, method: str, *arguments: Any, look: Callable[[], None]) -> Any:
        look()
        self.asked.append((method, arguments))
        if method == self.lose:
            self.lose = ""
            raise WorkerLost("box", "it was unplugged")
        given = pickle.loads(pickle.dumps(arguments))
        try:
            value = getattr(self.host, method)(*given)
        except Exception as error:
            raise pickle.loads(pickle.dumps(error)) from None
        if method == "begin":
            self.meanwhile()
        if self.damage and method == "read":
            value = value[::-1]
        return pickle.loads(pickle.dumps(value))

    def count(self, method: str) -> int:
        return sum(name == method for name, _ in self.asked)


@dataclass
class NearWorkers:
    """`ports.Workers` with one machine."""

    link: NearLink

    @classmethod
    def of(cls, workplace: Workplace) -> NearWorkers:
        return cls(NearLink(Host(lambda: workplace)))

    @contextmanager
    def taken(
        self, queue: str, warn: Callable[[str], None], cancel: CancelToken
    ) -> Iterator[RemoteWorker]:
        yield RemoteWorker("box", self.link)

    def close(self) -> None:
        """It stays."""
