"""Runs jobs in the sandbox, as whoever starts it: a line of JSON for each, and one for its end."""

from __future__ import annotations

import base64
import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

from agentkit.cancel import CancelToken
from agentkit.errors import AgentkitError
from agentkit.jobs import Apart, Job, JobResult, Limits
from agentkit.ports import Sandbox
from agentkit.sandbox import BubblewrapSandbox, NoSandbox

SANDBOXES: dict[str, Sandbox] = {"bubblewrap": BubblewrapSandbox(), "none": NoSandbox()}


def main() -> None:
    print(os.getpid(), flush=True)
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)


def answer(asked: dict[str, Any]) -> dict[str, Any]:
    cancel = CancelToken()
    sandbox = SANDBOXES[asked.pop("sandbox")]
    if sign := asked.pop("cancel_when"):
        threading.Thread(target=cancel_when, args=(cancel, Path(sign)), daemon=True).start()
    try:
        return {"result": plain(sandbox.run(job(asked), cancel))}
    except AgentkitError as error:
        return {"error": type(error).__name__, "message": error.message, "hint": error.hint}


def cancel_when(cancel: CancelToken, sign: Path) -> None:
    """Cancel as soon as there is such a file."""
    while not sign.exists():
        time.sleep(0.01)
    cancel.cancel()


def job(asked: dict[str, Any]) -> Job:
    return Job(
        argv=tuple(asked["argv"]),
        work=Path(asked["work"]),
        inputs={name: Path(path) for name, path in asked["inputs"].items()},
        stdin=base64.b64decode(asked["stdin"]),
        environment=asked["environment"],
        limits=Limits(**asked["limits"]),
        apart=Apart(Path(asked["apart"]), "it") if asked["apart"] else None,
    )


def plain(result: JobResult) -> dict[str, Any]:
    return {
        "exit_code": result.exit_code,
        "stdout": base64.b64encode(result.stdout).decode(),
        "stderr": base64.b64encode(result.stderr).decode(),
        "seconds": result.seconds,
        "stopped": result.stopped,
        "changed": result.changed,
        "removed": result.removed,
        "conflicts": result.conflicts,
        "alone": result.alone,
    }


if __name__ == "__main__":
    main()
