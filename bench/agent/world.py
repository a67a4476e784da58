"""Where objectives are played: a home of its own, its tools and permissions, memory, the website.

Nothing of the person's own agentkit is used but its models.  Whoever plays calls the same tools
with the same grants: the folder of the objective is its own, the website on this machine is granted
by its address, and what nothing speaks of is denied, for nobody is there to ask.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from agentkit.cancel import CancelToken
from agentkit.config import Permissions, ProfilePermissions, Settings
from agentkit.outcomes import Returned
from agentkit.runtime import Runtime
from agentkit.toolbox.caller import Caller
from bench.agent.objective import Objective
from bench.agent.site import served


@dataclass(frozen=True, slots=True)
class World:
    """A runtime in a home of its own, and the address of the website."""

    runtime: Runtime
    site: str

    @property
    def home(self) -> Path:
        """Where journal, runs and memory are."""
        return self.runtime.settings.home

    def enter(self, objective: Objective, folder: Path) -> Objective:
        """Put everything in place for an objective; the same, with addresses in its sentence."""
        objective.prepare(folder)
        memory = self.runtime.memories.collection()
        if memory.exists:
            memory.forget_all()
        caller = self.caller(folder, ("memory_save",))
        for fact in objective.facts:
            outcome = caller.call("memory_save", {"text": fact}, Silent(), CancelToken())
            assert isinstance(outcome, Returned), outcome
        return objective.at(self.site)

    def caller(self, folder: Path, tools: tuple[str, ...]) -> Caller:
        """Makes calls of these tools in a folder, as a run would that has it for its own."""
        caller = self.runtime.caller("bench", profile="unattended")
        grants = replace(caller.grants, own_write=(folder.resolve(),))
        return replace(caller, folder=folder, grants=grants, offered=tools)


@contextmanager
def world() -> Iterator[World]:
    """A new one; at the end its models are unloaded and its home is removed."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as place,
        served() as site,
        Runtime(settings(Path(place) / "home", site)) as runtime,
    ):
        yield World(runtime, site)


def settings(home: Path, site: str) -> Settings:
    """The same for all who play."""
    granted = ProfilePermissions(read=[], hosts=[urlsplit(site).netloc], otherwise="deny")
    return Settings(
        home=home,
        models_dir=Settings.load().models_folder,
        permissions=Permissions(interactive=granted, unattended=granted),
    )


class Silent:
    """A report that nobody reads."""

    def called(self, call: str, tool: str, arguments: object) -> None:
        """Nothing."""

    def returned(self, call: str, tool: str, status: str, size: int, outcome: object) -> None:
        """Nothing."""

    def progress(self, done: float, total: float | None, unit: str) -> None:
        """Nothing."""

    def warned(self, text: str) -> None:
        """Nothing."""

    def artifact(self, path: Path, folder: Path) -> None:
        """Nothing."""
