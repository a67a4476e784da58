"""The one thread that computes: requests come from any other, a bounded number may wait."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

from agentkit.compute import Compute
from agentkit.engine.generation import Generation
from agentkit.engine.scheduler import Scheduler
from agentkit.errors import ModelBusy, ModelError

log = logging.getLogger(__name__)


class Decoder:
    """Runs a scheduler for as long as there is work.

    `queue` requests may wait for a place.  Each batch is one turn at `compute`.
    """

    def __init__(self, name: str, scheduler: Scheduler, *, compute: Compute, queue: int) -> None:
        self._name = name
        self._scheduler = scheduler
        self._compute = compute
        self._queue = queue
        self._news = threading.Condition()
        self._inbox: list[Generation] = []
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=f"decode {name}", daemon=True)
        self._thread.start()

    def submit(self, generations: Sequence[Generation]) -> None:
        """Hand over requests.  Raises `ModelBusy` if too many wait, `ModelError` after `close`."""
        with self._news:
            if self._closed:
                raise ModelError(f"the model {self._name!r} was closed")
            waiting = self._waiting()
            if waiting + len(generations) > self._queue + self._scheduler.free:
                raise ModelBusy(self._name, waiting)
            self._inbox += generations
            self._news.notify()

    @property
    def full(self) -> bool:
        """Whether a request that came now would be refused.  May be asked by any thread."""
        return self._waiting() >= self._queue + self._scheduler.free

    def close(self) -> None:
        """Cancel what is running and wait for the batch at hand.  Idempotent."""
        with self._news:
            self._closed = True
            self._news.notify()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _waiting(self) -> int:
        arriving = sum(not one.task.cancelled() for one in tuple(self._inbox))
        return self._scheduler.waiting + arriving

    def _run(self) -> None:
        while self._wait():
            self._step()
        self._scheduler.close()

    def _wait(self) -> bool:
        """Until there is something to do; false when the model is closed."""
        if self._scheduler.idle:
            self._rest()
        with self._news:
            while not (self._inbox or self._closed) and self._scheduler.idle:
                self._news.wait()
            arrived, self._inbox = self._inbox, []
            closed = self._closed
        for generation in arrived:
            self._scheduler.submit(generation)
        return not closed

    def _rest(self) -> None:
        try:
            self._scheduler.rest()
        except Exception:
            log.exception("prefixes of %r could not be saved", self._name)

    def _step(self) -> None:
        try:
            with self._compute.turn():
                self._scheduler.step()
        except Exception as error:  # a fault of ours: nobody may wait for ever
            log.exception("the decode thread of %r stumbled", self._name)
            self._scheduler.end_all(ModelError(f"the engine stumbled: {error!r}"))
            self._scheduler.forget()
