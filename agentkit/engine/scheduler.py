"""Many requests, one context: who may work, what goes into the next batch, what to do if it fails.

One call of `step` admits who is waiting, decodes one batch for all who are working, lets each of
them draw its next token and lets go of those who are done.  Nothing blocks and nothing is shared:
the thread that owns the context is the only caller (see `decoder`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from agentkit.engine.batch import share
from agentkit.engine.context import Context, DecodeFailed, NoRoom, Piece
from agentkit.engine.generation import Generation
from agentkit.engine.grammar import MaskWorker
from agentkit.engine.prefixes import Namespace, PrefixStore
from agentkit.engine.radix import common_length
from agentkit.engine.saved import SavedPrefixes
from agentkit.errors import AgentkitError, ModelError
from agentkit.messages import Completion

RESERVE = 128
"""Cells that a request must find free for its answer before it is let in; more come as it grows."""

WORTH_WAITING = 16
"""Tokens of a prompt that somebody else is about to read: fewer are not waited for."""

WORTH_SAVING = 128
"""Tokens of a prefix: fewer are read again as fast as they are fetched."""

FAULTS = 3
"""How many decodes a request may break before the fault is its own."""

log = logging.getLogger(__name__)

OnDone = Callable[[Generation, Completion], None]


class Scheduler:
    """See the top of the file.

    `slots` requests work at the same time at most.  `adapters` turns the names of a namespace into
    what `Context.use_adapters` takes.  `done` hears of every answer that ended well.  Prefixes that
    prompts share go to `saved`.
    """

    def __init__(
        self,
        context: Context,
        store: PrefixStore,
        *,
        slots: int,
        adapters: Callable[[Namespace], Mapping[str, tuple[Any, float]]],
        done: OnDone,
        saved: SavedPrefixes | None = None,
    ) -> None:
        self._context = context
        self._store = store
        self._slots = slots
        self._adapters = adapters
        self._done = done
        self._saved = saved
        self._keepsakes: set[tuple[int, ...]] = set()
        self._masks = MaskWorker()
        self._waiting: list[Generation] = []
        self._active: list[Generation] = []
        self._submitted = 0
        self._full = False
        self._rows = context.batch

    # -- from outside ----------------------------------------------------------------------------

    @property
    def waiting(self) -> int:
        """Requests without a place, but for those that nobody wants any more.

        May be asked by any thread.
        """
        return sum(not one.task.cancelled() for one in tuple(self._waiting))

    @property
    def free(self) -> int:
        """Places that nobody has.  May be asked by any thread."""
        return self._slots - len(self._active)

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do."""
        return not self._waiting and not self._active

    def submit(self, generation: Generation) -> None:
        """Let a request wait for its place."""
        self._submitted += 1
        generation.order = self._submitted
        self._waiting.append(generation)

    def step(self) -> None:
        """One batch.  Errors of a request go to that request."""
        self._sweep()
        self._admit()
        pieces = self._compose()
        if pieces:
            self._decode(pieces)

    def rest(self) -> None:
        """Nobody wants anything: save what is worth it."""
        while self._keepsakes:
            tokens = list(self._keepsakes.pop())
            state = None if self._saved is None else self._store.state((), tokens)
            if state is not None and self._saved is not None:
                self._saved.save(tokens, state)

    def end_all(self, error: AgentkitError | None = None) -> None:
        """Everybody goes home: cancelled, or with an error."""
        for generation in [*self._active, *self._waiting]:
            if error is None:
                generation.dismissed = True
            else:
                self._leave(generation)
                generation.fail(error)
        self._sweep()

    def close(self) -> None:
        """Everybody goes home, and the thread for the masks ends."""
        self.end_all()
        self._masks.close()

    def forget(self) -> None:
        """Empty the cache, after a fault that nothing is known about."""
        self._store.forget()

    # -- coming and going ------------------------------------------------------------------------

    def _sweep(self) -> None:
        """Let go of those who are done, were cancelled or ran out of time."""
        now = time.monotonic()
        for generation in [*self._active, *self._waiting]:
            with self._to_blame(generation):
                reason = generation.ended(now)
                if reason is None:
                    generation.deliver()
                    continue
                completion = generation.finish(reason)
                pinned = generation.sequence if generation.task.pin else None
                self._leave(generation)
                if pinned is not None and reason == "stop":
                    self._store.pin(pinned)
                self._done(generation, completion)

    @contextmanager
    def _to_blame(self, generation: Generation) -> Iterator[None]:
        """What goes wrong within is the end of this request, and of no other."""
        try:
            yield
        except ModelError as error:
            self._leave(generation)
            generation.fail(error)

    def _admit(self) -> None:
        """Give places to those who wait: interactive ones first, then in the order of arrival."""
        for generation in sorted(self._waiting, key=_rank):
            if self._full and self._active:
                return
            cached = self._store.match(generation.task.namespace, generation.reusable)
            if self._shared_soon(generation, cached):
                continue
            if len(self._active) >= self._slots and not self._displace(generation):
                return
            if self._active and not self._fits(generation, cached):
                return
            place = self._store.acquire(generation.task.namespace, generation.reusable)
            if place is None:
                return
            self._waiting.remove(generation)
            self._active.append(generation)
            self._weigh(generation, place[1])
            with self._to_blame(generation):
                generation.admitted(*place)
                self._checkpoint(generation)  # anew, if it goes on where one was

    def _fits(self, generation: Generation, cached: int) -> bool:
        need = len(generation.tokens) - cached + min(RESERVE, generation.room)
        return self._store.room(generation.task.namespace, generation.reusable) >= need

    def _shared_soon(self, generation: Generation, cached: int) -> bool:
        """Whether somebody is about to read what this prompt begins with."""
        wanted = generation.reusable
        for other in self._active:
            if other.writing or other.task.namespace != generation.task.namespace:
                continue
            common = min(common_length(other.tokens, wanted), len(wanted) - 1)
            common = self._kept_of(other, common)
            if other.position < common and common - cached >= WORTH_WAITING:
                return True
        return False

    def _displace(self, generation: Generation) -> bool:
        """Send a background request back to the queue for an interactive one."""
        if generation.task.priority == "background":
            return False
        background = [one for one in self._active if one.task.priority == "background"]
        if not background:
            return False
        self._preempt(max(background, key=_rank))
        return True

    def _preempt(self, generation: Generation) -> None:
        """Take its place; what it has read stays in the cache as long as there is room."""
        self._leave(generation)
        self._waiting.append(generation)

    def _leave(self, generation: Generation) -> None:
        if generation in self._waiting:
            self._waiting.remove(generation)
            return
        self._active.remove(generation)
        self._full = False
        if generation.sequence is not None:
            self._store.release(generation.sequence)
            generation.sequence = None

    def _weigh(self, generation: Generation, cached: int) -> None:
        """What prompts begin with again and again is worth keeping beyond this process."""
        task = generation.task
        again = WORTH_SAVING <= task.stable <= cached
        prefix = generation.tokens[: generation.prompt_length if task.pin else task.stable]
        if (
            self._saved
            and (again or task.pin)
            and not (task.namespace or self._saved.holds(prefix))
        ):
            self._keepsakes.add(tuple(prefix))

    # -- one batch -------------------------------------------------------------------------------

    def _compose(self) -> list[tuple[Generation, Piece]]:
        """The next batch: for one set of adapters, and no larger than there are cells."""
        while self._active:
            team = self._team()
            pieces = self._pieces(team)
            rows = sum(len(piece.tokens) for _, piece in pieces)
            if self._store.make_room(rows):
                return pieces
            if len(self._active) > 1:
                self._send_back()
            elif not self._store.make_room(rows, pinned=True):
                with self._to_blame(self._active[0]):
                    raise ModelError("the context has no room left")
        return []

    def _team(self) -> list[Generation]:
        """Those who can be decoded together.

        One who broke a decode works alone, so that the next fault is nobody else's.  Different
        adapters take turns.
        """
        for generation in self._active:
            if generation.faults:
                return [generation]
        namespace = self._active[0].task.namespace
        team = [one for one in self._active if one.task.namespace == namespace]
        if len(team) < len(self._active):
            self._active = [one for one in self._active if one not in team] + team
        return sorted(team, key=_rank)

    def _pieces(self, team: Sequence[Generation]) -> list[tuple[Generation, Piece]]:
        writing = [one for one in team if one.writing]
        reading = [one for one in team if not one.writing]
        shares = share(
            self._rows,
            [one.pending for one in writing],
            [self._until_checkpoint(one) for one in reading],
        )
        counts = [*shares[0], *shares[1]]
        return [
            (one, one.piece(count))
            for one, count in zip([*writing, *reading], counts, strict=True)
            if count
        ]

    def _decode(self, pieces: list[tuple[Generation, Piece]]) -> None:
        self._context.use_adapters(self._adapters(pieces[0][0].task.namespace))
        self._masks.start(
            [one.matcher for one, piece in pieces if one.matcher and one.draws(piece)]
        )
        try:
            self._context.decode([piece for _, piece in pieces])
        except NoRoom:
            self._make_do(pieces)
            return
        except DecodeFailed as fault:
            self._recover(pieces, fault)
            return
        finally:
            self._masks.wait()
        self._rows = self._context.batch
        first = 0
        for generation, piece in pieces:
            self._store.extend(piece.sequence, piece.tokens)
            if len(pieces) == 1:
                generation.faults = 0
            with self._to_blame(generation):
                generation.read(piece, self._context, first)
                self._checkpoint(generation)
            first += len(piece.tokens)

    # -- models that carry a state along ---------------------------------------------------------

    def _checkpoints(self, generation: Generation) -> list[int]:
        """Where a prompt may branch later; a state cannot be cut back, so it is copied there."""
        if self._context.keeps_positions:
            return []
        return sorted({generation.task.stable, generation.prompt_length - 1} - {0})

    def _until_checkpoint(self, generation: Generation) -> int:
        ahead = [at for at in self._checkpoints(generation) if at > generation.position]
        return (ahead[0] - generation.position) if ahead else generation.pending

    def _checkpoint(self, generation: Generation) -> None:
        if generation.sequence is not None and generation.position in self._checkpoints(generation):
            self._store.snapshot(generation.sequence)

    def _kept_of(self, other: Generation, common: int) -> int:
        """How much of what two prompts share can be had from the other one."""
        if self._context.keeps_positions:
            return common
        return max((at for at in self._checkpoints(other) if at <= common), default=0)

    # -- when a decode fails ---------------------------------------------------------------------

    def _make_do(self, pieces: list[tuple[Generation, Piece]]) -> None:
        """The cache is fuller than the books say, and as it was before: evict, send back, halve."""
        rows = sum(len(piece.tokens) for _, piece in pieces)
        log.warning("no room for a batch of %d tokens that should have had some", rows)
        if self._store.evict():
            return
        if len(self._active) > 1:
            self._send_back()
        elif rows > 1:
            self._rows = rows // 2
        elif not self._store.evict(pinned=True):
            with self._to_blame(pieces[0][0]):
                raise ModelError("the context has no room left")

    def _send_back(self) -> None:
        """The youngest request makes room, and nobody else comes in until one is done."""
        self._preempt(max(self._active, key=_rank))
        self._full = True

    def _recover(self, pieces: list[tuple[Generation, Piece]], fault: DecodeFailed) -> None:
        """Believe the cache only where it says what the books say; everybody may try again.

        Whoever fails again works alone from then on, and whoever fails alone is to blame.
        """
        log.warning("%s for %d requests", fault, len(pieces))
        for generation, piece in pieces:
            intact = fault.code == -1 and self._context.length(piece.sequence) == piece.start
            self._leave(generation)
            if not intact:
                self._store.drop(piece.sequence)
            generation.faults += 1
            if generation.faults >= FAULTS and len(pieces) == 1:
                generation.fail(ModelError(f"{fault} at position {piece.start} of its answer"))
            else:
                self._waiting.append(generation)


def _rank(generation: Generation) -> tuple[bool, int]:
    return generation.task.priority == "background", generation.order
