"""Attempts: which failures are worth another one, how long is waited, what a timeout ends."""

from __future__ import annotations

import pytest

from agentkit import events as ev
from agentkit.cancel import CancelToken
from agentkit.durations import shown
from agentkit.errors import (
    AgentkitError,
    ApprovalNeeded,
    Cancelled,
    MachineError,
    ModelError,
    TimedOut,
    ToolError,
    UserError,
)
from agentkit.workflow.attempts import attempted, delay, within, worth_it
from agentkit.workflow.durations import seconds
from agentkit.workflow.report import StepReport
from agentkit.workflow.spec import Retry
from agentkit.workflow.steps.scope import Result


def quickly(**said: object) -> Retry:
    return Retry.model_validate({"delay": "1ms", **said})


def attempts(faults: list[AgentkitError], retry: Retry | None) -> tuple[object, list[ev.Event]]:
    told: list[ev.Event] = []
    left = list(faults)

    def act(cancel: CancelToken) -> Result:
        if left:
            raise left.pop(0)
        return Result("fine")

    def publish(event: ev.Event, more: bool = False) -> None:
        told.append(event)

    report = StepReport(publish, "run", "step")
    try:
        return attempted(act, retry, None, report, CancelToken()).outputs, told
    except AgentkitError as error:
        return error, told


def test_it_tries_until_it_works_and_tells_each_failure() -> None:
    outcome, told = attempts([ToolError("one"), ModelError("two")], quickly(max_attempts=3))

    assert outcome == "fine"
    assert [(e.attempt, e.error) for e in told if isinstance(e, ev.StepRetried)] == [
        (1, "one"),
        (2, "two"),
    ]


def test_max_attempts_counts_all_of_them() -> None:
    outcome, told = attempts([ToolError(str(n)) for n in range(9)], quickly(max_attempts=2))

    assert str(outcome) == "1"
    assert len(told) == 1


def test_without_retry_there_is_one() -> None:
    assert attempts([ToolError("no")], None)[1] == []


@pytest.mark.parametrize("fault", [UserError("file"), ApprovalNeeded("q", "?"), Cancelled()])
def test_what_another_attempt_cannot_mend_is_not_tried_again(fault: AgentkitError) -> None:
    outcome, told = attempts([fault], quickly())

    assert outcome is fault
    assert told == []


def test_only_the_failures_that_are_named_are_worth_it() -> None:
    only = quickly(on=["timeout", "model"])

    assert worth_it(TimedOut("late"), only)
    assert worth_it(ModelError("odd"), only)
    assert not worth_it(ToolError("broke"), only)
    assert not worth_it(MachineError("full"), only)


def test_delays_grow_up_to_a_limit() -> None:
    retry = quickly(delay="1s", backoff=3, max_delay="20s", jitter=False)

    assert [delay(retry, attempt) for attempt in (1, 2, 3, 4, 99)] == [1, 3, 9, 20, 20]


def test_jitter_adds_a_quarter_at_most() -> None:
    retry = quickly(delay="4s", jitter=True)

    assert delay(retry, 1, lambda: 0.0) == 4
    assert delay(retry, 1, lambda: 1.0) == 5


def test_a_timeout_ends_what_takes_too_long() -> None:
    def act(cancel: CancelToken) -> Result:
        cancel.wait(60)
        return Result("late")

    with pytest.raises(TimedOut, match=r"^it took longer than 20 ms$"):
        within(0.02, CancelToken(), act)


def test_a_cancel_is_no_timeout() -> None:
    cancel = CancelToken()

    def act(inner: CancelToken) -> Result:
        cancel.cancel("somebody asked")
        inner.check()
        return Result("late")

    with pytest.raises(Cancelled, match="somebody asked"):
        within(60, cancel, act)


@pytest.mark.parametrize(
    ("text", "length"),
    [("250ms", 0.25), ("30s", 30), ("1.5m", 90), ("1h30m", 5400), ("2d", 172800), ("1h 5s", 3605)],
)
def test_durations(text: str, length: float) -> None:
    assert seconds(text) == length


@pytest.mark.parametrize("text", [30, 2.5, "30", "", "5 parsecs", "-3s", "3s4", None, True, "900d"])
def test_what_is_no_duration(text: object) -> None:
    with pytest.raises(Exception, match=r"duration|longer than a year"):
        seconds(text)


def test_durations_as_a_person_says_them() -> None:
    assert [shown(one) for one in (0.25, 1.5, 60, 3600, 86400, 90)] == [
        "250 ms",
        "1.5 s",
        "1 min",
        "1 h",
        "1 d",
        "90 s",
    ]
