"""Files that arrive in folders that workflows watch: each starts its workflow once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from agentkit.records import Fire
from agentkit.schedule.files import Found, Settling, look, still
from agentkit.workflow.spec import Trigger

EVERY = 30.0
"""Seconds between two looks at a folder of which nobody tells that it has changed."""


@dataclass
class Inbox:
    """What one trigger has to do with one folder.

    `seen` are the occurrences that are on record, and `moved` is what files on record keep where
    they get another name.
    """

    workflow: str
    trigger: Trigger
    seen: set[str]
    moved: set[str]
    folder: Path = field(init=False)
    deep: bool = field(init=False)
    """Whether it looks into folders, too."""

    def __post_init__(self) -> None:
        """Settle as the trigger says."""
        assert self.trigger.watch is not None
        self._pattern = self.trigger.watch.pattern
        self._settling = Settling(self.trigger.watch.settle)
        self._looked = float("-inf")
        self.folder, self.deep = folder(self.trigger), self._pattern.startswith("**/")

    def arrived(self, now: float, *, hurry: bool) -> Sequence[Found]:
        """The files that have come to rest and are not on record.

        It looks when somebody says that something changed (`hurry`), while something has not come
        to rest, and now and then.
        """
        if not (hurry or self._settling.waiting or now - self._looked >= EVERY):
            return ()
        self._looked = now
        return self._settling.settled(self._unknown(), now)

    def there(self, now: datetime) -> list[Fire]:
        """The files that lay there before anybody looked, as records that start nothing."""
        found = list(self._unknown())
        for one in found:
            self.record(one)
        return [self._lay_there(one, now) for one in found]

    def record(self, found: Found) -> None:
        """It is on record from now on."""
        self.seen.add(found.occurrence)
        self.moved.add(found.moved)

    def _unknown(self) -> Iterator[Found]:
        try:
            for one in look(self.folder, self._pattern):
                if one.occurrence not in self.seen and one.moved not in self.moved:
                    yield one
        except OSError:  # it is not there, or away: `trouble` says so
            return

    def _lay_there(self, found: Found, now: datetime) -> Fire:
        return Fire(
            workflow=self.workflow,
            occurrence=found.occurrence,
            trigger=self.trigger.key,
            time=now,
            decided=now,
            status="known",
            reason="it lay there when the trigger was first seen",
            files=(str(found.path),),
            moved=found.moved,
        )


def folder(trigger: Trigger) -> Path:
    """The one that a trigger watches."""
    assert trigger.watch is not None
    return Path(trigger.watch.folder).expanduser()


def trouble(triggers: Sequence[Trigger]) -> str:
    """What keeps files from arriving, in a sentence."""
    away = [folder(one) for one in triggers if one.watch is not None and not folder(one).is_dir()]
    return f"there is no folder {away[0]}" if away else ""


def same_file(fire: Fire) -> bool:
    """Whether the file of a fire still lies there as it arrived, and is no link to another."""
    inode, size, changed = map(int, fire.moved.split())
    return still(Found(Path(fire.files[0]), size, changed, inode))
