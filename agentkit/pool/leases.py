"""Models by key, lent out.  Nothing in here knows what a model is, or how much memory there is.

    with pool.lease("qwen", prepare) as model: ...

The first lease of a key loads it, later ones share it.  `prepare` is told how much room there is
and says what it would load, or raises `NotEnoughMemory`.  Then idle models go, the least recently
used first, until there is room; one in use is never unloaded, but waited for.  One model is loaded
at a time, so that two never count on the same memory; what is loaded can be leased meanwhile.

Who waits for memory that only waiters hold would wait for ever: that is an error, told at once.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import field, replace
from typing import Any, Generic, Protocol, TypeVar

from agentkit.cancel import CancelToken
from agentkit.errors import ModelError, NotEnoughMemory, human_bytes
from agentkit.values import dataclass

KEEP_ALIVE = 600.0
"""Seconds after its last use until an idle model is unloaded."""
PATIENCE = 600.0
"""Seconds that a model waits for others to become idle."""
GRACE = 10.0
"""Seconds that `close` waits for models in use."""
TICK = 0.1
"""How often a waiting lease looks whether it was cancelled."""

log = logging.getLogger(__name__)


class Closable(Protocol):
    """What can be lent: something that gives its memory back when it is closed."""

    def close(self) -> None:
        """Idempotent."""


M = TypeVar("M", bound=Closable)
M_co = TypeVar("M_co", bound=Closable, covariant=True)


@dataclass(frozen=True, slots=True)
class Room:
    """Bytes that are free: main memory (None where it cannot be told) and each GPU."""

    ram: int | None
    gpus: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Offer(Generic[M_co]):
    """A model that would fit: how to load it, and the bytes it will take.

    `mapped` is the part of `ram` that the system goes on counting as free (a file mapped into
    memory).  `cramped` says that it would be better with more room.
    """

    load: Callable[[], M_co]
    ram: int = 0
    vram: int = 0
    mapped: int = 0
    cramped: bool = False


Prepare = Callable[[Room], Offer[M]]
"""Raises `NotEnoughMemory` where the room is too small.  May be called several times."""


@dataclass(frozen=True, slots=True)
class Holding:
    """A loaded model; bytes and seconds.  `users` counts the leases on it."""

    key: str
    ram: int
    vram: int
    users: int
    idle: float


@dataclass(slots=True, eq=False)
class _Entry:
    key: str
    model: Any
    offer: Offer[Any]
    keep_alive: float
    used: float = 0.0
    users: list[int] = field(default_factory=list)
    """The threads that have a lease, once for each lease."""

    @property
    def expires(self) -> float:
        return self.used + self.keep_alive

    def __str__(self) -> str:
        return f"{self.key} ({human_bytes(self.offer.ram + self.offer.vram)})"


class Pool:
    """The models that are loaded now.  May be used from any thread.

    `free` is asked for the room on the machine before each load.  An idle model is unloaded
    `keep_alive` seconds after its last use: 0 is at once, a negative number never.  There are never
    more than `most` models.
    """

    def __init__(
        self,
        free: Callable[[], Room],
        *,
        keep_alive: float = KEEP_ALIVE,
        most: int | None = None,
        patience: float = PATIENCE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._free = free
        self._keep_alive = keep_alive if keep_alive >= 0 else float("inf")
        self._most = most
        self._patience = patience
        self._clock = clock
        self._change = threading.Condition()
        self._loaded: dict[str, _Entry] = {}
        self._busy = False  # somebody loads or unloads
        self._queued: list[int] = []
        """Threads that wait for a lease: they give none back meanwhile."""
        self._closed = False
        self._reaper: threading.Thread | None = None

    @contextmanager
    def lease(
        self, key: str, prepare: Prepare[M], cancel: CancelToken | None = None
    ) -> Iterator[M]:
        """Have a model, loaded if need be, that is not unloaded before the end of the block.

        Raises `NotEnoughMemory` naming what is in the way, `Cancelled` while it waits, and whatever
        `prepare` and the loading raise; the pool is then as it was, but for idle models that had to
        go.
        """
        thread = threading.get_ident()
        entry = self._lend(key, prepare, cancel or CancelToken(), thread)
        try:
            yield entry.model
        finally:
            self._take_back(entry, thread)

    def peek(self, key: str) -> Any | None:
        """The model if it is loaded.  It may go at any moment: for facts that stay true."""
        with self._change:
            entry = self._loaded.get(key)
            return entry.model if entry else None

    def loaded(self) -> tuple[tuple[str, Any], ...]:
        """All that is loaded.  See `peek`."""
        with self._change:
            return tuple((entry.key, entry.model) for entry in self._loaded.values())

    def holdings(self) -> tuple[Holding, ...]:
        """What is loaded, the least recently used first."""
        with self._change:
            now = self._clock()
            return tuple(
                Holding(
                    entry.key,
                    ram=entry.offer.ram,
                    vram=entry.offer.vram,
                    users=len(entry.users),
                    idle=0.0 if entry.users else now - entry.used,
                )
                for entry in self._by_use()
            )

    def drop(self, key: str) -> None:
        """Unload a model now, or as soon as it is idle."""
        with self._change:
            if key in self._loaded:
                self._loaded[key].keep_alive = 0.0
        self.sweep()

    def sweep(self) -> None:
        """Unload every idle model whose time is over."""
        with self._change:
            due = self._due()
            while self._busy and due and not self._closed:
                self._change.wait()
                due = self._due()
            if self._closed or not due:
                return
            self._busy = True
            for entry in due:
                del self._loaded[entry.key]
        self._unload(due)

    def close(self) -> None:
        """End what is running, unload everything, wait until it is done (at most `GRACE` seconds).

        Not waited for: models that the calling thread itself has in use.  Idempotent.
        """
        with self._change:
            self._closed = True
            self._change.notify_all()
            while self._busy:
                self._change.wait()
            entries = list(self._loaded.values())
            self._loaded.clear()
        for entry in entries:
            entry.model.close()
        me = threading.get_ident()
        with self._change:
            self._change.wait_for(
                lambda: not any(set(entry.users) - {me} for entry in entries), GRACE
            )
        if self._reaper and self._reaper is not threading.current_thread():
            self._reaper.join(GRACE)

    # -- lending ---------------------------------------------------------------------------------

    def _lend(self, key: str, prepare: Prepare[Any], cancel: CancelToken, thread: int) -> _Entry:
        with self._change:
            if key not in self._loaded and self._busy:
                self._queue(key, cancel, thread)
            self._check_open()
            if entry := self._loaded.get(key):
                entry.users.append(thread)
                return entry
            self._busy = True
        return self._load(key, prepare, cancel, thread)

    def _queue(self, key: str, cancel: CancelToken, thread: int) -> None:
        """Wait until the model is there or can be loaded."""
        self._queued.append(thread)
        self._change.notify_all()  # who waits for this thread has to know that it waits, too
        try:
            while key not in self._loaded and self._busy:
                cancel.check()
                self._change.wait(TICK)
        finally:
            self._queued.remove(thread)

    def _load(self, key: str, prepare: Prepare[Any], cancel: CancelToken, thread: int) -> _Entry:
        """Put a model into the pool, with its first lease.  The caller has made the pool busy."""
        entry = None
        try:
            offer = self._make_room(prepare, cancel)
            entry = _Entry(key, offer.load(), offer, self._keep_alive, users=[thread])
        finally:
            with self._change:
                self._busy = False
                self._change.notify_all()
                if entry and not self._closed:
                    self._loaded[key] = entry
        if self._closed and key not in self._loaded:
            entry.model.close()
            self._check_open()
        return entry

    def _take_back(self, entry: _Entry, thread: int) -> None:
        with self._change:
            entry.users.remove(thread)
            entry.used = self._clock()
            self._change.notify_all()
            if not entry.users and entry.expires < float("inf") and not self._closed:
                self._start_reaper()

    def _check_open(self) -> None:
        if self._closed:
            raise ModelError("models cannot be used any more: agentkit is shutting down")

    # -- making room -----------------------------------------------------------------------------

    def _make_room(self, prepare: Prepare[Any], cancel: CancelToken) -> Offer[Any]:
        """Unload and wait until something can be loaded.  The caller has made the pool busy."""
        deadline = self._clock() + self._patience
        while True:
            offer, lack = self._asked(prepare)
            if offer and not offer.cramped:
                return offer
            with self._change:
                if victim := next((one for one in self._by_use() if not one.users), None):
                    del self._loaded[victim.key]
                elif offer:
                    return offer
                else:
                    cancel.check()
                    self._check_open()
                    self._check_hope(lack, late=self._clock() >= deadline)
                    self._change.wait(TICK)
            if victim:
                victim.model.close()

    def _asked(self, prepare: Prepare[Any]) -> tuple[Offer[Any] | None, NotEnoughMemory | None]:
        """What can be loaded into the room there is now, or why nothing can."""
        with self._change:
            count = len(self._loaded)
            mapped = sum(entry.offer.mapped for entry in self._loaded.values())
        if self._most is not None and count >= self._most:
            most = f"{self._most} model{'s' if self._most > 1 else ''} at a time"
            return None, NotEnoughMemory(
                f"no more than {most} may be loaded", hint="raise engine.max_models in settings"
            )
        room = self._free()
        if room.ram is not None:
            room = replace(room, ram=max(0, room.ram - mapped))
        try:
            return prepare(room), None
        except NotEnoughMemory as lack:
            return None, lack

    def _check_hope(self, lack: NotEnoughMemory | None, *, late: bool) -> None:
        """Raise if nobody will give back what is in use."""
        assert lack is not None
        users = {thread for entry in self._loaded.values() for thread in entry.users}
        if late or users <= {*self._queued, threading.get_ident()}:
            names = ", ".join(str(entry) for entry in self._by_use())
            using = f"; in use: {names}" if names else ""
            raise NotEnoughMemory(f"{lack}{using}", hint=lack.hint)

    def _by_use(self) -> list[_Entry]:
        return sorted(self._loaded.values(), key=lambda entry: entry.used)

    # -- unloading -------------------------------------------------------------------------------

    def _due(self) -> list[_Entry]:
        now = self._clock()
        return [one for one in self._loaded.values() if not one.users and one.expires <= now]

    def _unload(self, entries: list[_Entry]) -> None:
        try:
            for entry in entries:
                entry.model.close()
                log.info("%s was unloaded", entry)
        finally:
            with self._change:
                self._busy = False
                self._change.notify_all()

    def _start_reaper(self) -> None:
        if self._reaper is None:
            self._reaper = threading.Thread(target=self._reap, name="agentkit-pool", daemon=True)
            self._reaper.start()

    def _reap(self) -> None:
        """Unload what has been idle for too long, until the pool is closed."""
        while True:
            self.sweep()
            with self._change:
                if self._closed:
                    return
                idle = [one.expires for one in self._loaded.values() if not one.users]
                next_one = min(idle, default=float("inf")) - self._clock()
                if next_one > 0:
                    self._change.wait(None if next_one == float("inf") else next_one)
