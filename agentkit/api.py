"""Agents in Python: `Agent(tools=[...]).run("...")`.

    from agentkit import Agent

    agent = Agent(tools=["read_file", "list_files"], folder="notes")
    print(agent.run("When is the next meeting?").answer)

A run is in the journal like those of the command line: `agentkit runs show last`.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from agentkit import events as ev
from agentkit.cancel import CancelToken
from agentkit.errors import UserError
from agentkit.messages import Usage
from agentkit.permissions import Profile
from agentkit.runtime import Runtime, Wish

Tool = str | Callable[..., Any]
"""The name of a tool, or a function: its type hints and docstring are all that a model is told."""

Part = Literal["grammar", "guard", "reflection", "memory", "prefix"]


@dataclass(frozen=True, slots=True)
class AgentResult:
    """What came of an objective.

    `reason` says why it ended: done, nothing_left, tasks, steps, tokens, seconds, stuck, context.
    `report` is Markdown with the sources of the answer, `run` the id for `agentkit runs show`;
    `answer` is data where one of the checks is a schema.
    """

    answer: Any
    reason: str
    report: str
    run: str
    tasks: int
    steps: int
    seconds: float
    usage: Usage


class Agent:
    """Works towards objectives with tools; each `run` is one of its own.

    model     a name from `agentkit models list`, or of a remote; None: the one of the role `chat`
    tools     names and functions; None: files, computing, pages, the clock
    folder    where it works, and may read and change what is there; None: an empty one of its own
    budget    limits: tasks, steps, steps_per_task, attempts, tokens, seconds
    checks    what has to hold of the answer, as in YAML: {"expression": "'Anna' in answer"}
    strategy  how the final answer is found, as in YAML: "chain_of_thought"
    without   parts that are left out, for comparison
    profile   which permissions of the settings count
    runtime   one that is open already, to share its models; otherwise one is opened and closed

    Use it as a context manager, or call `close`.
    """

    def __init__(
        self,
        *,
        model: str | None = None,
        tools: Sequence[Tool] | None = None,
        folder: str | Path | None = None,
        budget: Mapping[str, int] | None = None,
        checks: Sequence[Mapping[str, Any]] = (),
        strategy: str | Mapping[str, Any] | None = None,
        without: Sequence[Part] = (),
        profile: Profile = "unattended",
        runtime: Runtime | None = None,
    ) -> None:
        self._own = runtime is None
        self._runtime = runtime or Runtime()
        self._folder = None if folder is None else Path(folder).expanduser().absolute()
        if self._folder is not None and not self._folder.is_dir():
            raise UserError(f"folder {str(folder)!r} is no folder")
        wish: dict[str, Any] = {
            "model": model, "budget": budget or {}, "checks": checks, "strategy": strategy,
        }  # fmt: skip
        if tools is not None:
            functions = [tool for tool in tools if not isinstance(tool, str)]
            names = self._runtime.lend(functions)
            wish["tools"] = [tool for tool in tools if isinstance(tool, str)] + names
        self._workflow = self._runtime.agent(Wish(**wish))
        self._without = frozenset(without)
        self._profile: Profile = profile

    def run(self, objective: str, *, cancel: CancelToken | None = None) -> AgentResult:
        """Work towards an objective to its end.

        Raises `Parked` where a person has to answer first (`agentkit runs resume` goes on),
        `Cancelled`, `StepFailed` for a model or machine that failed.
        """
        told: list[ev.Event] = []
        outputs = self._run(objective, cancel, told.append)
        return _result(outputs, told)

    def stream(
        self, objective: str, *, cancel: CancelToken | None = None
    ) -> Iterator[ev.Event | AgentResult]:
        """The events of a run as they happen, and its result as the last.

        Leaving the iterator cancels the run.  Raises what `run` raises.
        """
        cancel = cancel or CancelToken()
        heard: queue.SimpleQueue[ev.Event | AgentResult | BaseException] = queue.SimpleQueue()

        def work() -> None:
            told: list[ev.Event] = []

            def tell(event: ev.Event) -> None:
                told.append(event)
                heard.put(event)

            try:
                heard.put(_result(self._run(objective, cancel, tell), told))
            except BaseException as error:
                heard.put(error)

        worker = threading.Thread(target=work, name="agent")
        worker.start()
        try:
            while True:
                one = heard.get()
                if isinstance(one, BaseException):
                    raise one
                yield one
                if isinstance(one, AgentResult):
                    return
        finally:
            cancel.cancel("nobody listens any more")
            worker.join()

    def close(self) -> None:
        """Unload what was loaded.  Idempotent."""
        if self._own:
            self._runtime.close()

    def __enter__(self) -> Agent:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    def _run(
        self, objective: str, cancel: CancelToken | None, tell: Callable[[ev.Event], None]
    ) -> dict[str, Any]:
        if not objective.strip():
            raise UserError("an agent needs an objective, and this one is empty")
        return self._runtime.pursue(
            self._workflow,
            objective,
            self._folder,
            profile=self._profile,
            without=self._without,
            cancel=cancel,
            subscribers=(tell,),
        )


def _result(outputs: Mapping[str, Any], told: Sequence[ev.Event]) -> AgentResult:
    (step,) = (one for one in told if isinstance(one, ev.StepFinished))
    *_, end = (one for one in told if isinstance(one, ev.AgentFinished))
    return AgentResult(
        answer=outputs["answer"],
        reason=outputs["reason"],
        report=end.report,
        run=end.run,
        tasks=step.outputs["tasks"],
        steps=step.outputs["steps"],
        seconds=step.outputs["seconds"],
        usage=step.usage or Usage(),
    )
