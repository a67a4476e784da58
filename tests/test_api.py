"""`Agent` in Python: functions as tools, events as they happen, one runtime for several."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from agentkit import Agent, AgentResult
from agentkit import events as ev
from agentkit.cancel import CancelToken
from agentkit.errors import Cancelled, InvalidFile, ToolError, UnknownName, UserError

from .agent_runs.scripted import Asked, Call, Play, ScriptedRuntime

PATIENCE = 60
"""Seconds after which a test that waits has failed."""


def double(number: int) -> int:
    """Give twice a number.

    Args:
        number: The number.
    """
    return 2 * number


def shout(text: str) -> str:
    """Say it louder."""
    return text.upper()


def calls(about: Asked) -> list[Call]:
    return [("shout", {"text": "hi"})] if "shout" in about.tools else [("double", {"number": 21})]


def play(**changed: Any) -> Play:
    return Play(calls, **{"result": lambda about: "It is 42.", **changed})


@pytest.fixture
def opened() -> Iterator[Callable[[Play], ScriptedRuntime]]:
    with ExitStack() as stack:

        def make(play: Play) -> ScriptedRuntime:
            runtime = ScriptedRuntime(play)
            stack.callback(runtime.close)
            return runtime

        yield make


Opened = Callable[[Play], ScriptedRuntime]


def test_a_function_is_a_tool_and_the_result_says_what_it_took(opened: Opened) -> None:
    runtime = opened(play())
    with Agent(tools=[double], runtime=runtime) as agent:
        result = agent.run("How much is twice 21?")

    assert (result.answer, result.reason) == ("It is 42.", "done")
    assert (result.tasks, result.steps) == (1, 1)
    assert result.usage.prompt_tokens > 0
    assert result.report.startswith("# How much is twice 21?\n\nIt is 42.")
    (call,) = runtime.journal.calls(result.run)
    assert (call.tool, call.arguments, call.outcome) == ("double", {"number": 21}, 42)


def test_a_runtime_that_was_lent_stays_open(opened: Opened) -> None:
    runtime = opened(play())
    with Agent(tools=[double], runtime=runtime) as agent:
        run = agent.run("How much is twice 21?").run
    assert runtime.journal.run(run).status == "succeeded"


def test_the_answer_is_data_where_a_check_is_a_schema(opened: Opened) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    runtime = opened(play(answer=lambda about: {"n": 42}))
    agent = Agent(tools=[double], checks=[{"schema": schema}], runtime=runtime)
    assert agent.run("How much is twice 21?").answer == {"n": 42}


def test_a_strategy_thinks_about_the_answer(opened: Opened) -> None:
    runtime = opened(play(answer=lambda about: "It is 42, on second thought."))
    agent = Agent(tools=[double], strategy="chain_of_thought", runtime=runtime)
    assert agent.run("How much is twice 21?").answer == "It is 42, on second thought."


def test_a_budget_ends_it_with_what_there_is(opened: Opened) -> None:
    agent = Agent(tools=[double], budget={"steps": 1}, runtime=opened(play()))
    result = agent.run("How much is twice 21?")
    assert result.reason == "steps"
    assert "*It stopped at the limit of steps: this is what there is so far.*" in result.report


def test_a_folder_is_where_it_works(opened: Opened, tmp_path: Path) -> None:
    writing = Play(lambda about: [("write_file", {"path": "a.md", "content": "here"})])
    agent = Agent(tools=["write_file"], folder=tmp_path, runtime=opened(writing))
    agent.run("Write a.md")
    assert (tmp_path / "a.md").read_text() == "here"


# -- stream --------------------------------------------------------------------------------------


def test_the_stream_has_all_events_and_last_the_result(opened: Opened) -> None:
    runtime = opened(play())
    agent = Agent(tools=[double], runtime=runtime)

    *events, result = agent.stream("How much is twice 21?")

    assert isinstance(result, AgentResult)
    assert result.answer == "It is 42."
    kinds = [event.kind for event in events if isinstance(event, ev.Event)]
    assert len(kinds) == len(events)
    assert (kinds[0], kinds[-1]) == ("RunStarted", "RunFinished")
    assert kinds.count("ActStarted") == kinds.count("ActFinished") == 1


def test_leaving_the_stream_cancels_the_run(opened: Opened) -> None:
    """It waits until the work has stopped."""

    def slow(about: Asked, cancel: CancelToken) -> None:
        until = time.monotonic() + PATIENCE
        while about.made and not cancel.cancelled and time.monotonic() < until:
            time.sleep(0.01)

    runtime = opened(play(slow=slow))
    agent = Agent(tools=[double], runtime=runtime)

    stream = agent.stream("How much is twice 21?")
    for event in stream:
        if isinstance(event, ev.ActFinished):
            break
    stream.close()  # type: ignore[attr-defined]  # it is a generator

    run = runtime.journal.run("last")
    assert (run.status, run.error) == ("cancelled", "nobody listens any more")
    assert [one.name for one in threading.enumerate() if one.name == "agent"] == []


def test_what_the_run_raises_comes_out_of_the_stream(opened: Opened) -> None:
    token = CancelToken()
    token.cancel("enough")
    agent = Agent(tools=[double], runtime=opened(play()))
    with pytest.raises(Cancelled, match=r"^enough$"):
        list(agent.stream("How much is twice 21?", cancel=token))


def test_two_agents_share_a_runtime_at_the_same_time(opened: Opened) -> None:
    """Each has its own tools, and its own run."""
    together = threading.Barrier(2, timeout=PATIENCE)

    def slow(about: Asked, cancel: CancelToken) -> None:
        if about.phase == "move" and not about.made:
            together.wait()

    runtime = opened(play(slow=slow, result=lambda about: "It is done."))
    agents = [Agent(tools=[tool], runtime=runtime) for tool in (double, shout)]
    results: dict[int, AgentResult] = {}

    def work(number: int) -> None:
        results[number] = agents[number].run(f"Do it {number}")

    threads = [threading.Thread(target=work, args=(number,)) for number in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)

    assert results.keys() == {0, 1}
    made = [[call.tool for call in runtime.journal.calls(results[n].run)] for n in (0, 1)]
    assert made == [["double"], ["shout"]]
    assert results[0].run != results[1].run


# -- what cannot be ------------------------------------------------------------------------------


def test_mistakes_are_told_when_the_agent_is_made(opened: Opened, tmp_path: Path) -> None:
    runtime = opened(play())

    async def later() -> None:
        """Not now."""

    with pytest.raises(UnknownName, match="no tool named 'read_fil'"):
        Agent(tools=["read_fil"], runtime=runtime)
    with pytest.raises(ToolError, match="'later' is async"):
        Agent(tools=[later], runtime=runtime)
    with pytest.raises(UnknownName, match="no model named 'nonsense'"):
        Agent(tools=[double], model="nonsense", runtime=runtime)
    with pytest.raises(InvalidFile, match='unknown key "money"'):
        Agent(tools=[double], budget={"money": 5}, runtime=runtime)
    with pytest.raises(InvalidFile, match="a check has exactly one of"):
        Agent(tools=[double], checks=[{}], runtime=runtime)
    with pytest.raises(UserError, match=r"nowhere' is no folder$"):
        Agent(tools=[double], folder=tmp_path / "nowhere", runtime=runtime)


@pytest.mark.parametrize("objective", ["", " \n"])
def test_an_objective_has_words(opened: Opened, objective: str) -> None:
    runtime = opened(play())
    agent = Agent(tools=[double], runtime=runtime)
    with pytest.raises(UserError, match=r"^an agent needs an objective, and this one is empty$"):
        agent.run(objective)
    with pytest.raises(UserError, match=r"^an agent needs an objective"):
        list(agent.stream(objective))
    assert runtime.journal.runs() == []
