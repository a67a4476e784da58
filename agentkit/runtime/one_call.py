"""A run of a single tool call: so that calls of a person, or of another program, are journaled like
all others, with a folder of their own.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from agentkit import events as ev
from agentkit.cancel import CancelToken
from agentkit.errors import Cancelled, MachineError
from agentkit.messages import Usage
from agentkit.outcomes import Failed, NeedsApproval, Outcome, Retry, Returned
from agentkit.toolbox.caller import Caller
from agentkit.toolbox.plain import on_record, readable
from agentkit.workflow.report import Publish, StepReport

STEP = "call"


def one_call(
    name: str,
    arguments: Mapping[str, Any],
    caller: Caller,
    run: str,
    publish: Publish,
    cancel: CancelToken,
) -> Outcome:
    """Make a call as a run with one step.

    Raises `Cancelled`, and `MachineError` where the run cannot have a folder.
    """
    began, name, inputs = time.perf_counter(), readable(name), on_record(arguments)
    try:
        caller.folder.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise MachineError(f"{caller.folder} cannot be made: {fault.strerror}") from None
    publish(
        ev.RunStarted(run=run, workflow=f"tool:{name}", source="", definition="", inputs=inputs)
    )
    report = StepReport(publish, run, STEP)
    report.started(f"uses {name}", inputs)
    status: ev.RunStatus = "failed"
    outputs: dict[str, Any] = {}
    error = ""
    try:
        outcome = caller.call(name, arguments, report, cancel)
        match outcome:
            case Returned(value):
                status, outputs, error = "succeeded", {"result": value}, ""
                report.finished(value)
            case Retry(said) | Failed(said):
                error = said
                report.failed(said)
            case NeedsApproval(_, said):
                status, error = "parked", said
                report.failed(said, status="parked")
        return outcome
    except (Cancelled, KeyboardInterrupt) as stop:
        status, error = "cancelled", str(stop) or "interrupted"
        report.failed(error, status="cancelled")
        raise
    except BaseException as bug:
        error = f"{type(bug).__name__}: {bug}"
        report.failed(error)
        raise
    finally:
        publish(
            ev.RunFinished(
                run=run,
                status=status,
                outputs=outputs,
                seconds=time.perf_counter() - began,
                usage=Usage(),
                error=error,
            )
        )
