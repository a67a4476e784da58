"""Try, and try again: attempts that take too long are ended, and the waits grow.

The delay before attempt n + 1 is `delay * backoff ** (n - 1)`, at most `max_delay`, and up to a
quarter more by chance.

An attempt whose machine went away is made again whether the step says `retry` or not: nothing about
the step was wrong.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import count

from agentkit.cancel import CancelToken, Deadline
from agentkit.durations import shown
from agentkit.errors import (
    AgentkitError,
    Cancelled,
    MachineError,
    ModelError,
    Parked,
    TimedOut,
    ToolError,
    WorkerLost,
)
from agentkit.workflow.report import StepReport
from agentkit.workflow.spec import Retry
from agentkit.workflow.steps.scope import Result

JITTER = 0.25
"""The part of a delay that chance may add."""

KINDS: tuple[tuple[str, type[AgentkitError]], ...] = (
    ("timeout", TimedOut),
    ("tool", ToolError),
    ("model", ModelError),
    ("machine", MachineError),
)

LOST = Retry.model_validate({"max_attempts": 3, "delay": "1s", "backoff": 3.0})
"""How often a step is tried again because its machine went away, and after which waits."""

Act = Callable[[CancelToken], Result]


def attempted(
    act: Act, retry: Retry | None, timeout: float | None, report: StepReport, cancel: CancelToken
) -> Result:
    """What the first good attempt gave.  Raises what the last one raised."""
    lost = 0
    for attempt in count(1):
        try:
            return within(timeout, cancel, act)
        except (Cancelled, Parked):
            raise
        except AgentkitError as fault:
            rules, made = retry, attempt - lost
            if isinstance(fault, WorkerLost) and lost < LOST.max_attempts:
                lost += 1
                rules, made = LOST, lost
            elif rules is None or made >= rules.max_attempts or not worth_it(fault, rules):
                raise
            wait = delay(rules, made)
            report.retried(attempt, str(fault), wait)
            cancel.wait(wait)
    raise AssertionError("attempts are counted without end")


def within(timeout: float | None, cancel: CancelToken, act: Act) -> Result:
    """Act, and raise `TimedOut` if that takes longer than `timeout` seconds."""
    if timeout is None:
        return act(cancel)
    said = f"it took longer than {shown(timeout)}"
    deadline = Deadline(cancel, timeout, said)
    try:
        return act(deadline)
    except Cancelled:
        if deadline.over:
            raise TimedOut(said, hint="raise its timeout, or give it less to do") from None
        raise


def worth_it(fault: AgentkitError, retry: Retry) -> bool:
    """Whether a failure is one of those that another attempt may mend."""
    return any(kind in retry.on and isinstance(fault, error) for kind, error in KINDS)


def delay(retry: Retry, attempt: int, chance: Callable[[], float] = random.random) -> float:
    """Seconds to wait after an attempt, which are counted from 1."""
    grown = min(retry.delay * retry.backoff ** min(attempt - 1, 64), retry.max_delay)
    return grown * (1 + JITTER * chance()) if retry.jitter else grown
