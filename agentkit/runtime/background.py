"""Runs that nobody waits for: each on a thread of its own, all put away when the service stops.

A run is on record before `begin` returns, so nothing that was taken is lost with the process.
"""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from agentkit.cancel import CancelToken
from agentkit.errors import AgentkitError, Busy, HasBegun, UnknownName, UserError
from agentkit.events import Event
from agentkit.runtime.agents import given
from agentkit.runtime.permits import check_named
from agentkit.runtime.publishing import Subscriber
from agentkit.runtime.root import Runtime
from agentkit.runtime.runs import new_run_id
from agentkit.runtime.terms import How

if TYPE_CHECKING:
    from agentkit.workflow.load import LoadedWorkflow

log = logging.getLogger(__name__)

STOPPED = "the service stopped"
"""What parked runs wait for, in words."""


class Background:
    """At most so many runs at a time.  May be used from any thread.

    `hear` are told what happens in all of them.
    """

    def __init__(self, runtime: Runtime, most: int, hear: Sequence[Subscriber]) -> None:
        self._runtime = runtime
        self._most = most
        self._hear = hear
        self._lock = threading.Lock()
        self._work: dict[str, _Work] = {}
        self._stopping = False

    # -- beginning -------------------------------------------------------------------------------

    def begin(
        self,
        workflow: LoadedWorkflow,
        inputs: Mapping[str, Any],
        id: str | None = None,
        **how: Unpack[How],
    ) -> str:
        """Begin a run, and return its id when it is on record.

        With an `id` that is on record, or about to be, nothing begins: the same request came twice.
        Raises what `Runtime.run` raises before anything starts, `Busy`, and `InvalidInput` for a
        file that a program may not name.
        """
        if not how.get("handed", True):
            check_named(workflow, inputs, self._runtime.settings)
        run = id or new_run_id()

        def work(**more: Unpack[How]) -> dict[str, Any]:
            return self._runtime.run(workflow, inputs, run, **more)

        try:
            return self._start(run, work, how, joins=id is not None)
        except HasBegun:
            if id is None:
                raise
            return run

    def pursue(
        self, agent: LoadedWorkflow, objective: str, folder: Path | None, **how: Unpack[How]
    ) -> str:
        """Begin to work towards an objective; raises what `begin` raises."""
        how["work"] = folder
        return self.begin(agent, given(objective, folder), **how)

    def go_on(self, run: str, inputs: Mapping[str, str] | None = None, **how: Unpack[How]) -> str:
        """Go on with a run; raises what `Runtime.resume` raises before anything happens."""
        name = self._runtime.journal.run(run).id

        def work(**more: Unpack[How]) -> dict[str, Any]:
            return self._runtime.resume(name, inputs, **more)

        return self._start(name, work, how)

    def again(
        self,
        run: str,
        step: str | None = None,
        edited: bool = False,
        inputs: Mapping[str, str] | None = None,
        *,
        failed: bool = False,
        **how: Unpack[How],
    ) -> str:
        """Do what failed again, or a step; raises what `Runtime.retry` raises at once."""
        name = self._runtime.journal.run(run).id

        def work(**more: Unpack[How]) -> dict[str, Any]:
            return self._runtime.retry(name, step, edited, inputs, failed=failed, **more)

        return self._start(name, work, how)

    def _start(
        self, run: str, work: Callable[..., dict[str, Any]], how: How, *, joins: bool = False
    ) -> str:
        """Let a run work; one that works already is an error, unless who asks `joins` it."""
        with self._lock:
            if self._stopping:
                raise Busy("the service is about to stop", seconds=10)
            one = self._work.get(run)
            if one is None:
                one = self._begun(run, work, how)
            elif not joins:
                raise UserError(f"the run {run} is at work", hint=f"agentkit runs show {run}")
        one.wait()
        return run

    def _begun(self, run: str, work: Callable[..., dict[str, Any]], how: How) -> _Work:
        if len(self._work) >= self._most:
            raise Busy(f"{self._most} runs are at work already", seconds=5)
        one = self._work[run] = _Work(run, self._hear, self._forget)
        try:
            one.start(work, how)
        except RuntimeError as error:  # the system has no thread to give
            del self._work[run]
            raise Busy(str(error), seconds=5) from None
        return one

    def _forget(self, run: str) -> None:
        with self._lock:
            self._work.pop(run, None)

    # -- while they work -------------------------------------------------------------------------

    def knows(self, run: str) -> bool:
        """Whether a run has begun, here or anywhere."""
        with suppress(UnknownName):
            return self._runtime.journal.run(run).id == run
        return run in self.at_work()

    def at_work(self) -> list[str]:
        """The runs that are under way here."""
        with self._lock:
            return list(self._work)

    def cancel(self, run: str) -> bool:
        """Ask a run of this process to stop; False if it is none."""
        with self._lock:
            one = self._work.get(run)
        if one is not None:
            one.cancel.cancel()
        return one is not None

    def stop(self, seconds: float) -> list[str]:
        """Take no more runs, and park those that are under way; which of them go on later.

        Each ends at the next place where it can go on later; what takes longer than `seconds` is
        left to the end of the process, which costs the step that it was at.
        """
        with self._lock:
            self._stopping = True
            left = list(self._work.values())
        until = time.monotonic() + seconds
        for one in left:
            one.cancel.cancel(STOPPED, parks=True)
        for one in left:
            one.thread.join(max(0.0, until - time.monotonic()))
        return [one.run for one in left if self._goes_on(one.run)]

    def _goes_on(self, run: str) -> bool:
        try:
            record = self._runtime.journal.run(run)
        except UnknownName:  # it had not begun
            return False
        return record.id == run and record.status in ("parked", "running")


class _Work:
    """One run, on its thread."""

    def __init__(self, run: str, hear: Sequence[Subscriber], forget: Callable[[str], None]) -> None:
        self.run = run
        self.cancel = CancelToken()
        self.thread = threading.Thread(target=self._carry_out, name=f"run {run}", daemon=True)
        self._hear = hear
        self._forget = forget
        self._under_way = threading.Event()
        self._error: BaseException | None = None

    def start(self, work: Callable[..., dict[str, Any]], how: How) -> None:
        """Begin.  Raises `RuntimeError` where there can be no thread more."""
        how["cancel"] = self.cancel
        how["subscribers"] = (self._heard, *how.get("subscribers", ()))
        self._work, self._how = work, how
        self.thread.start()

    def wait(self) -> None:
        """Return when the run is on record, or raise why it cannot begin."""
        self._under_way.wait()
        if self._error is not None:
            raise self._error

    def _heard(self, event: Event) -> None:
        self._under_way.set()
        for listener in self._hear:
            listener(event)

    def _carry_out(self) -> None:
        try:
            self._work(**self._how)
        except AgentkitError as error:  # the run has it on record
            self._ended(error)
        except BaseException as bug:
            self._ended(bug)
            where = "".join(traceback.format_tb(bug.__traceback__))  # what it says may be secret
            log.error("run %s: a %s\n%s", self.run, type(bug).__name__, where)
        finally:
            self._forget(self.run)
            self._under_way.set()

    def _ended(self, error: BaseException) -> None:
        """Before the run was on record, whoever began it is told."""
        if not self._under_way.is_set():
            self._error = error
