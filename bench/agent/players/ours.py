"""agentkit, as a program would use it: one loaded model, a new `Agent` for each objective.

The only file here that knows how agents of agentkit are made and what they tell.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentkit import Agent, AgentResult
from agentkit import events as ev
from agentkit.cancel import CancelToken
from agentkit.messages import Usage
from agentkit.toolbox.output import as_text
from bench.agent.objective import Objective
from bench.agent.players import GRACE, Played, Player, Terms
from bench.agent.world import World


@contextmanager
def agentkit(world: World, terms: Terms) -> Iterator[Player]:
    """Chat model and embedder are loaded when it is there; the world unloads them."""
    model = world.runtime.chat(terms.model)
    assert model.context_tokens  # which loads it
    world.runtime.embedder().embed(["Nothing."])
    yield _Ours(world, terms)


@dataclass(frozen=True, slots=True)
class _Ours:
    world: World
    terms: Terms

    def play(self, objective: Objective, folder: Path) -> Played:
        """See `Player.play`."""
        agent = Agent(
            model=self.terms.model,
            tools=objective.tools,
            folder=folder,
            budget={"seconds": max(1, round(self.terms.limit))},
            without=_parts(self.terms.without),
            runtime=self.world.runtime,
        )
        return listened(agent, objective.ask, self.terms.limit * GRACE)


def _parts(names: tuple[str, ...]) -> Any:
    return names


def listened(agent: Agent, ask: str, limit: float) -> Played:
    """Let an agent work, and count what it tells."""
    usage, steps, calls, stop, error, answer = Usage(), 0, 0, "", "", ""
    cancel = CancelToken()
    timer = threading.Timer(limit, cancel.cancel, ["it did not stop at its limit"])
    timer.start()
    began = time.perf_counter()
    try:
        for event in agent.stream(ask, cancel=cancel):
            match event:
                case ev.ModelAsked():
                    steps, usage = steps + 1, usage + event.usage
                case ev.ActFinished(status=status):
                    calls += status != "refused"
                case AgentResult():
                    answer, stop = as_text(event.answer), event.reason
    except Exception as fault:  # whatever it dies of is what came of it
        stop, error = type(fault).__name__, str(fault)
    finally:
        timer.cancel()
    return Played(
        answer,
        time.perf_counter() - began,
        steps,
        usage.prompt_tokens - usage.cached_tokens,
        usage.cached_tokens,
        usage.completion_tokens,
        calls,
        stop,
        error,
    )
