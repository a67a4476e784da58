"""smolagents: CodeAgent, which writes Python, and ToolCallingAgent, each on either server.

llama.cpp's own finds no tool calls in what Qwen2.5-Coder writes, and leaves them to be read out of
its text; `agentkit serve` holds the model to one, as `tool_choice` asks.

With its own prompts and defaults, but for three things: at most twelve steps; greedy sampling, as
on our side; and a bound on what is written at once, because nothing else would end a model that
repeats itself.  It has no limit of time, so it is interrupted between two steps.
"""

from __future__ import annotations

import importlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from agentkit import machine
from agentkit.errors import UserError
from agentkit.toolbox.output import as_text
from bench.agent.objective import Objective
from bench.agent.players import GRACE, Played, Player, Terms
from bench.agent.players.borrowed import borrowed
from bench.agent.world import World
from bench.servers import Setup, Side, agentkit, llama_server

MAX_STEPS = 12
MAX_TOKENS = 2048
"""Of one answer."""
CONTEXT = 16_384
"""Its prompts are long, and its history is never shortened."""

INSTALL = (
    "python -m venv build/peers && "
    "build/peers/bin/pip install -c constraints.txt -e '.[dev]' smolagents openai && "
    "build/peers/bin/python -m bench.agent"
)

Kind = Literal["CodeAgent", "ToolCallingAgent"]
Server = Callable[[Setup], AbstractContextManager[Side]]


@contextmanager
def smolagents(world: World, terms: Terms, kind: Kind, server: Server) -> Iterator[Player]:
    """Its server is there before any clock starts, and gone afterwards."""
    library = _library()
    setup = Setup(
        terms.model,
        world.runtime.store.resolve(terms.model, role="chat"),
        world.runtime.settings.models_folder,
        threads=machine.physical_cores(),
        slots=1,
        context=CONTEXT,
        prompt_cache=1024,
    )
    with server(setup) as side:
        player = _Smol(world, terms, kind, library, side)
        player.model().generate([{"role": "user", "content": "Say yes."}])  # loads it
        yield player


code = partial(smolagents, kind="CodeAgent", server=llama_server)
tools = partial(smolagents, kind="ToolCallingAgent", server=llama_server)
code_served = partial(smolagents, kind="CodeAgent", server=agentkit)
tools_served = partial(smolagents, kind="ToolCallingAgent", server=agentkit)


def _library() -> Any:
    for name in ("openai", "xllamacpp", "smolagents"):
        try:
            library = importlib.import_module(name)
        except ModuleNotFoundError:
            raise UserError(
                f"{name} is not installed here, and it is no dependency of agentkit: take an "
                "environment of its own",
                hint=INSTALL,
            ) from None
    return library


@dataclass(frozen=True, slots=True)
class _Smol:
    world: World
    terms: Terms
    kind: Kind
    library: Any
    side: Side

    def play(self, objective: Objective, folder: Path) -> Played:
        """See `Player.play`."""
        calls: list[None] = []
        agent = self._agent(objective, folder, lambda: calls.append(None))
        timer = threading.Timer(self.terms.limit, agent.interrupt)
        timer.start()
        began = time.perf_counter()
        answer, stop, error = "", "", ""
        try:
            result = agent.run(objective.ask, return_full_result=True)
            answer = as_text(result.output) if _is_data(result.output) else str(result.output)
            stop = str(result.state)
        except Exception as fault:  # whatever it dies of is what came of it
            stop, error = type(fault).__name__, " ".join(str(fault).split())[:300]
            if agent.interrupt_switch:
                stop = "seconds"
        finally:
            timer.cancel()
        seconds = time.perf_counter() - began
        return _played(agent, answer, seconds, len(calls), stop, error)

    def model(self) -> Any:
        """Theirs, that asks the server."""
        return self.library.OpenAIModel(
            model_id=self.terms.model,
            api_base=self.side.url,
            api_key=self.side.token,
            client_kwargs={"max_retries": 0},
            temperature=0.0,
            max_tokens=MAX_TOKENS,
        )

    def _agent(self, objective: Objective, folder: Path, count: Any) -> Any:
        model = self.model()
        model.generate = _until(time.perf_counter() + self.terms.limit * GRACE, model.generate)
        caller = self.world.caller(folder, objective.tools)
        there = [
            borrowed(self.library.Tool, caller.tools[name].schema, caller, count)
            for name in objective.tools
        ]
        return getattr(self.library, self.kind)(
            tools=there, model=model, max_steps=MAX_STEPS, verbosity_level=-1
        )


def _until(end: float, generate: Callable[..., Any]) -> Callable[..., Any]:
    """The same method, whose requests end at a moment, however long they would take."""

    def bounded(*given: Any, **named: Any) -> Any:
        return generate(*given, **named, timeout=max(1.0, end - time.perf_counter()))

    return bounded


def _is_data(output: object) -> bool:
    """Whether an answer is plain data, which is written as JSON; CodeAgent may return anything."""
    return isinstance(output, str | list | dict)


def _played(agent: Any, answer: str, seconds: float, calls: int, stop: str, error: str) -> Played:
    """What its memory says about what it has done."""
    steps, read, cached, written = 0, 0, 0, 0
    for step in agent.memory.steps:
        steps += hasattr(step, "step_number")
        usage = getattr(step, "token_usage", None)
        if usage is None:  # of a question that was never answered nobody knows what it cost
            continue
        known = _cached(step)
        read += usage.input_tokens - known
        cached += known
        written += usage.output_tokens
    return Played(answer, seconds, steps, read, cached, written, calls, stop, error)


def _cached(step: Any) -> int:
    """The tokens of a prompt that the server had read before, as far as it says so."""
    raw = getattr(getattr(step, "model_output_message", None), "raw", None)
    details = getattr(getattr(raw, "usage", None), "prompt_tokens_details", None)
    return getattr(details, "cached_tokens", None) or 0
