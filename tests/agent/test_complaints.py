"""What people complain about in other agents with small local models, one test for each.

The names end with the project and the number of the issue.  The groups are those of the collection:
calls that are malformed, loops, full contexts, lost work, runs that nobody watches, broken caches.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from agentkit import events as ev
from agentkit import tool
from agentkit.agent import guard
from agentkit.agent.budget import Budget
from agentkit.agent.loop import LAST_WORDS, Loop
from agentkit.cancel import CancelToken
from agentkit.errors import ApprovalNeeded, Paused, ToolError
from agentkit.letters import Letter
from agentkit.messages import (
    ChatRequest,
    Choices,
    JsonSchema,
    Message,
    Regex,
    Sampling,
    ToolCall,
    Usage,
)
from agentkit.ports import HttpResponse
from agentkit.testing import ScriptedHttp

from .player import Asked, Died, Player, Stage, after, call, continues, stubborn

READ = ("read_file", {"path": "a.txt"})
FILES = ("list_files", "read_file", "write_file")


def tasks(*texts: str) -> dict[str, Any]:
    return {"tasks": [*texts]}


def words(text: str, times: int) -> str:
    return " ".join([text] * times)


def schemas(request: ChatRequest) -> Iterator[Any]:
    """All that binds an answer."""
    if isinstance(request.constraint, JsonSchema):
        yield request.constraint.schema
    for one in request.tools:
        if one.allowed is not False:
            yield one.allowed or one.parameters


def parts(schema: Any) -> Iterator[Mapping[str, Any]]:
    """A schema and all that is in it."""
    if isinstance(schema, Mapping):
        yield schema
        for value in schema.values():
            yield from parts(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from parts(value)


# -- A. malformed calls ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "written",
    [
        "{'path': 'a.txt'}",
        '{"path": "a.txt"',
        '{"path": "a.txt}',
        "a.txt",
        "",
        "[]",
        '{"path": "a.txt",}',
        "{path: a.txt}",
    ],
)
def test_arguments_that_are_no_json_are_told_to_the_model_smolagents_1732_122_letta_967(
    stage: Stage, written: str
) -> None:
    stage.file("a.txt", "The code is 4711.")

    def move(about: Asked) -> Any:
        if any("4711" in made.seen for made in about.made if made.tool == "read_file"):
            return "The code is 4711."
        told = any("JSON" in made.seen for made in about.made)
        return call(*READ[:1], **READ[1]) if told else ToolCall("x", "read_file", written)

    result = stage.pursue(Player(move), "Find the code")

    assert (result.answer, result.reason) == ("The code is 4711.", "done")
    assert [act.status for act in stage.acted("read_file")] == ["returned"]


@pytest.mark.parametrize(
    "written",
    [
        '{"name": "read_file", "arguments": {"path": "a.txt"}}',
        '<tool_call>\n{"name": "read_file", "parameters": {"path": "a.txt"}}\n</tool_call>',
        'I will read it now: { "name": "read_file" }',
    ],
)
def test_a_call_that_is_written_as_text_is_no_answer_smolagents_71_36_goose_2926_1817(
    stage: Stage, written: str
) -> None:
    stage.file("a.txt", "The code is 4711.")

    def move(about: Asked) -> Any:
        if any(made.tool == "read_file" for made in about.made):
            return "The code is 4711."
        return call("read_file", path="a.txt") if about.must or about.rejected else written

    result = stage.pursue(Player(move), "Find the code")

    assert result.answer == "The code is 4711."
    assert stage.told(ev.CheckFailed)[0].result == written
    assert [act.status for act in stage.acted("read_file")] == ["returned"]


def test_a_tool_that_does_not_exist_is_told_and_the_agent_goes_on_letta_1705_278_1450(
    stage: Stage,
) -> None:
    def move(about: Asked) -> Any:
        tried = any("cannot be called" in made.seen for made in about.made)
        return "There was nothing to do." if tried else ToolCall("x", "send_message", "{}")

    result = stage.pursue(Player(move), "Say hello")

    assert result.answer == "There was nothing to do."
    (told,) = stage.told(ev.ActFinished)
    assert "send_message cannot be called now" in told.observation
    assert stage.diary.calls == {}


def test_wrong_arguments_are_told_with_what_is_wrong_pydantic_ai_703_877_822(stage: Stage) -> None:
    stage.file("a.txt", "The code is 4711.")

    def move(about: Asked) -> Any:
        seen = [made.seen for made in about.made if made.tool == "read_file"]
        if any("4711" in text for text in seen):
            return "The code is 4711."
        if any("lines" in text for text in seen):
            return call("read_file", path="a.txt")
        return call("read_file", path="a.txt", lines="many")

    result = stage.pursue(Player(move), "Find the code")

    assert result.answer == "The code is 4711."
    assert [act.status for act in stage.acted("read_file")] == ["retry", "returned"]


def test_a_model_that_only_writes_nonsense_comes_to_an_end_agent_zero_1551_home_assistant_123316(
    stage: Stage,
) -> None:
    stage.file("a.txt", "x")
    player = Player(ToolCall("x", "read_file", "{'path': ..."))

    result = stage.pursue(player, "Find the code")

    assert result.reason in ("nothing_left", "done")
    assert result.steps < 20
    assert "Find the code" in result.report


def test_every_answer_but_plain_words_is_bound_by_a_grammar_pydantic_ai_242_smolagents_153(
    stage: Stage,
) -> None:
    stage.file("a.txt", "x")
    player = Player(
        after(READ, ("write_file", {"path": "b.txt", "content": "y"})),
        complete=lambda about: "yes" if "Look again" in about.text else "no",
        more=tasks("Look again", "Look once more"),
    )

    stage.pursue(player, "Look at a.txt", FILES)

    bound = {"found", "complete", "kind", "more", "order", "content", "code", "check", "alone"}
    asked = {about.phase for about in player.asked}
    assert {"move", "found", "complete", "more", "order"} <= asked
    for about in player.asked:
        request = about.request
        if about.phase in bound:
            assert isinstance(request.constraint, Choices | JsonSchema | Regex)


def test_the_likeliest_token_is_taken_as_long_as_nothing_failed_llama_cpp_9639(
    stage: Stage,
) -> None:
    stage.file("a.txt", "x")
    player = Player(
        after(READ, ("write_file", {"path": "b.txt", "content": "y"})),
        complete="no",
        more=tasks("Look again"),
    )

    stage.pursue(player, "Look at a.txt", FILES)

    assert len(player.requests) > 5
    assert all(request.sampling == Sampling() for request in player.requests)


def test_no_schema_asks_for_thousands_of_characters_llama_cpp_25746_25923_openclaw_108671(
    stage: Stage,
) -> None:
    stage.file("a.txt", "See https://example.org/x " + words("word", 600))  # no look shows all
    player = Player(after(READ), complete="no", more=tasks("Look again"))
    tools = (*FILES, "search_files", "fetch_url", "calculate", "now", "read_more", "memory_search")

    stage.pursue(player, "Look at a.txt", tools)

    found = [part for one in player.requests for schema in schemas(one) for part in parts(schema)]
    assert any("maxLength" in part for part in found)
    assert all(part["maxLength"] < 2000 for part in found if "maxLength" in part)


def test_a_turn_is_one_call_and_the_answer_has_an_end_modelship_105_goose_9136(
    stage: Stage,
) -> None:
    rung = list[int]()

    def ring(times: int) -> str:
        """Ring the bell."""
        rung.append(times)
        return f"It rang {times} times."

    stage.functions.append(ring)

    def move(about: Asked) -> Any:
        if about.made:
            return "It rang."
        return tuple(ToolCall(f"x{n}", "ring", json.dumps({"times": n + 1})) for n in range(40))

    player = Player(move)

    stage.pursue(player, "Ring", ("ring",))

    assert rung == [1]
    for about in player.asked:
        assert about.request.max_tokens is not None
        assert not (about.phase == "move" and about.request.parallel_tool_calls)


def test_words_before_a_call_do_not_get_into_its_way_modelship_100(stage: Stage) -> None:
    stage.file("a.txt", "The code is 4711.")

    def move(about: Asked) -> Any:
        if any(made.tool == "read_file" for made in about.made):
            return "The code is 4711."
        made = call("read_file", path="a.txt")
        return Message("assistant", "I will look into the file first.", tool_calls=(made,))

    assert stage.pursue(Player(move), "Find the code").answer == "The code is 4711."
    assert [act.status for act in stage.acted("read_file")] == ["returned"]


THOUGHT = '<tool_call>{"name": "read_file", "arguments": {"path": "a.txt"}}</tool_call>'


def test_what_a_model_thinks_is_neither_a_call_nor_an_answer_lmstudio_827_1589_1592(
    stage: Stage,
) -> None:
    player = Player(
        lambda about: Message(
            "assistant", "", THOUGHT, (ToolCall("x", "answer", '{"text": "It is so."}'),)
        ),
        lesson=Message("assistant", "Look.", "Hm."),
        complete="no",
        more=lambda about: Message("assistant", json.dumps(tasks("Look again")), THOUGHT),
    )

    result = stage.pursue(player, "Think about it")

    assert "tool_call" not in result.answer
    assert stage.told(ev.ActStarted) == []
    assert not any("tool_call" in about.text for about in player.asked)
    assert {task.result for task in stage.state().tasks.tasks} == {"It is so."}


def test_a_call_that_was_cut_off_is_not_made_letta_1450(stage: Stage) -> None:
    def move(about: Asked) -> Any:
        if any("cut off" in made.seen for made in about.made):
            return "It could not be written."
        made = call("write_file", path="a.txt", content="x")
        return Message("assistant", "word " * 2000, tool_calls=(made,))

    result = stage.pursue(Player(move), "Write a.txt", FILES)

    assert "could not" in result.answer
    assert not (stage.folder / "a.txt").exists()


# -- B. loops --------------------------------------------------------------------------------------


def test_the_same_task_is_not_proposed_37_times_babyagi_104(stage: Stage) -> None:
    stage.file("a.txt", "x")
    player = Player(
        after(READ),
        complete="no",
        more=lambda about: tasks("Read the notes", "read the NOTES.", "Read notes, then"),
    )

    result = stage.pursue(player, "Look at a.txt")

    texts = [task.text for task in stage.state().tasks.tasks]
    assert texts == ["Look at a.txt", "Read the notes"]
    assert len(stage.told(ev.TaskRefused)) >= 2
    assert result.reason == "done"


@dataclass
class Meaning:
    """An embedder for which all texts about notes are one."""

    name: str = "meaning"
    dimensions: int = 2

    def embed(self, texts: Sequence[str], cancel: Any = None) -> NDArray[np.float32]:
        rows = [[1.0, 0.0] if "note" in text.lower() else [0.0, 1.0] for text in texts]
        return np.array(rows, dtype=np.float32)

    def text(self, tokens: Sequence[int]) -> str:
        return bytes(tokens).decode()


def test_the_list_does_not_converge_to_one_task_in_many_words_babyagi_78(stage: Stage) -> None:
    said = iter(["Read the notes", "Have a look at each note", "Notes: go through them"])
    stage.embedder = Meaning
    player = Player(complete="no", more=lambda about: tasks(next(said, "Study all notes")))

    stage.pursue(player, "Look around")

    texts = [task.text for task in stage.state().tasks.tasks]
    assert texts == ["Look around", "Read the notes"]


def endless(about: Asked) -> dict[str, Any]:
    """Always something new to do."""
    done = about.question.count("\n- ")
    return tasks(*(f"Look at place {done} {name}" for name in ("north", "south", "west")))


def test_a_list_that_grows_with_each_task_comes_to_an_end_babyagi_12_213_219(
    stage: Stage,
) -> None:
    player = Player(complete="no", more=endless)

    result = stage.pursue(player, "Look around", budget=Budget(tasks=6))

    assert result.tasks <= 6
    assert result.reason in ("tasks", "done", "nothing_left")
    assert len(stage.state().tasks.tasks) <= 6 + 1


def test_the_same_task_is_worked_on_once_babyagi_208_166(stage: Stage) -> None:
    player = Player(complete="no", more=tasks("Look around"))

    stage.pursue(player, "Look around")

    assert [start.task for start in stage.told(ev.TaskStarted)] == ["t1"]


def test_add_two_and_three_ends_with_five_chainlit_cookbook_106(stage: Stage) -> None:
    adding = ("calculate", {"expression": "2 + 3"})
    player = Player(after(adding, answer="It is 5."), kind="compute")

    result = stage.pursue(player, "Add 2 and 3", ("calculate",))

    assert (result.answer, result.reason, result.tasks, result.steps) == ("It is 5.", "done", 1, 1)


def test_when_the_objective_is_reached_nothing_more_is_asked_for_open_interpreter_599_998_221_146(
    stage: Stage,
) -> None:
    stage.file("a.txt", "x")
    player = Player(after(READ), complete="yes", more=tasks("Anything else?"))

    result = stage.pursue(player, "Look at a.txt")

    assert result.reason == "done"
    assert player.phases("more") == []
    assert len(stage.state().tasks.tasks) == 1


@pytest.mark.parametrize("guarded", [True, False])
def test_the_same_call_is_not_made_52_times_prime_agent_1326_goose_9758_9640_langgraph_6889(
    stage: Stage, guarded: bool
) -> None:
    stage.file("a.txt", "x")
    without = frozenset() if guarded else frozenset({"guard"})

    stage.pursue(Player(stubborn(*READ[:1], **READ[1])), "Look at a.txt", without=without)

    made = Counter(act.status for act in stage.acted("read_file"))
    attempts = len(stage.told(ev.TaskStarted))
    assert (made["returned"] == attempts) is guarded
    if guarded:
        assert sum(made.values()) <= 4 * attempts


def test_a_repeated_command_ends_the_task_with_what_is_there_autogpt_3644_1994_3693_2811_2023(
    stage: Stage,
) -> None:
    stage.file("a.txt", "The code is 4711.")
    player = Player(stubborn(*READ[:1], **READ[1]), result="The code is 4711.")

    result = stage.pursue(player, "Find the code")

    assert (result.answer, result.reason) == ("The code is 4711.", "done")
    assert len([act for act in stage.acted("read_file") if act.status == "returned"]) == 1


def test_two_calls_in_turns_are_noticed_autogpt_1994_smolagents_1226_825(stage: Stage) -> None:
    stage.file("a.txt", "x")
    stage.file("b.txt", "y")

    def move(about: Asked) -> Any:
        turns = sum(made.tool == "read_file" for made in about.made)
        return stubborn("read_file", path=("a.txt", "b.txt")[turns % 2])(about)

    stage.pursue(Player(move), "Compare a.txt and b.txt")

    returned = [act for act in stage.acted("read_file") if act.status == "returned"]
    assert len(returned) == 2 * len(stage.told(ev.TaskStarted))


def test_there_is_a_hard_limit_of_steps_langgraph_6731_4231_adk_81(stage: Stage) -> None:
    def count_to(number: int) -> str:
        """Count."""
        return f"counted to {number}"

    stage.functions.append(count_to)
    player = Player(lambda about: call("count_to", number=len(about.made)))

    result = stage.pursue(player, "Count", ("count_to",), budget=Budget(steps=9, steps_per_task=50))

    assert (result.reason, result.steps) == ("steps", 9)
    assert "limit of steps" in result.report


def test_a_call_is_not_forced_for_ever_openai_agents_1544_1442(stage: Stage) -> None:
    stage.file("a.txt", "The code is 4711.")

    def move(about: Asked) -> Any:
        if about.must:
            return stubborn(*READ[:1], **READ[1])(about)
        return "The code is 9999."  # is sent back, and then a call is forced

    player = Player(move)

    result = stage.pursue(player, "Find the code")

    forced = [about.must for about in player.phases("move")]
    assert True in forced
    assert (True, True) not in list(pairwise(forced))
    assert result.answer != "The code is 9999."


def test_a_no_of_a_person_is_not_asked_for_again_goose_1971(stage: Stage) -> None:
    stage.person.answer = "no"
    player = Player(stubborn("fetch_url", url="https://example.org/"))

    result = stage.pursue(player, "Fetch https://example.org/", ("fetch_url",))

    assert len(stage.person.asked) == len(stage.told(ev.TaskStarted))
    assert "a person said no" in stage.acted("fetch_url")[0].observation
    assert result.reason in ("done", "nothing_left")


def broken(stage: Stage) -> list[str]:
    asked = list[str]()

    @tool(effects=("writes",))
    def deliver(place: str) -> str:
        """Deliver it."""
        asked.append(place)
        raise ToolError("the door is locked")

    stage.effects["writes"] = "allow"
    stage.functions.append(deliver)
    return asked


def test_the_same_error_of_ever_new_arguments_ends_a_task_goose_8994(stage: Stage) -> None:
    asked = broken(stage)
    player = Player(
        lambda about: call("deliver", place=f"door {len(about.made)}"), result="It was not found."
    )

    stage.pursue(player, "Deliver it", ("deliver",), budget=Budget(attempts=1))

    assert len(asked) == guard.SAME_ERROR


def test_a_tool_is_not_blocked_for_good_by_its_errors_goose_8994(stage: Stage) -> None:
    asked = broken(stage)
    player = Player(
        lambda about: call("deliver", place=f"{about.task} {len(about.made)}"),
        result="It was not found.",
        complete="no",
        more=lambda about: tasks("Ring the bell"),
    )

    stage.pursue(player, "Deliver it", ("deliver",), budget=Budget(attempts=1))

    assert Counter(place.rsplit(" ", 1)[0] for place in asked) == {
        "Deliver it": guard.SAME_ERROR,
        "Ring the bell": guard.SAME_ERROR,
    }


def test_the_same_result_of_ever_new_arguments_ends_a_task_goose_8994(stage: Stage) -> None:
    asked = list[str]()

    def find(what: str) -> str:
        """Find something."""
        asked.append(what)
        return "nothing"

    stage.functions.append(find)
    player = Player(lambda about: call("find", what=f"thing {len(about.made)}"))

    stage.pursue(player, "Find it", ("find",), budget=Budget(attempts=1))

    assert len(asked) == guard.ANSWER + 1


def test_an_agent_that_goes_round_in_circles_in_task_after_task_stops_goose_9758(
    stage: Stage,
) -> None:
    def find(what: str) -> str:
        """Find something."""
        return "nothing"

    stage.functions.append(find)
    player = Player(
        lambda about: call("find", what=f"thing {len(about.made)}"), complete="no", more=endless
    )

    result = stage.pursue(player, "Find it", ("find",))

    assert (result.reason, result.tasks) == ("stuck", 2)
    assert "went round in circles" in result.report


def test_an_empty_memory_is_a_fact_and_no_failure_tailored_ai_528(stage: Stage) -> None:
    player = Player(after(("memory_search", {"query": "birthday"}), answer="Nothing is known."))

    result = stage.pursue(player, "Find the birthday", ("memory_search",))

    assert (result.answer, result.reason) == ("Nothing is known.", "done")
    (found,) = stage.acted("memory_search")
    assert found.status == "returned"
    assert "memory has nothing about 'birthday'" in found.observation
    assert stage.told(ev.CheckFailed) == []


def test_nothing_that_a_tool_gives_back_is_said_to_be_nothing_tailored_ai_528(
    stage: Stage,
) -> None:
    def search(words: str) -> str:
        """Search."""
        return ""

    stage.functions.append(search)

    stage.pursue(
        Player(after(("search", {"words": "x"}), answer="Nothing was found.")),
        "Find x",
        ("search",),
    )

    (found,) = stage.acted("search")
    assert found.observation.endswith("gave back nothing: there is nothing more to see.")


def test_pages_that_are_out_of_service_are_no_circle_glla_30(stage: Stage) -> None:
    site = "https://example.org"
    busy = {f"{site}/{n}": HttpResponse(f"{site}/{n}", 503, {}, b"") for n in range(4)}
    plain = {"content-type": "text/plain"}
    well = HttpResponse(f"{site}/4", 200, plain, b"The code is 4711.")
    stage.services.web = ScriptedHttp({**busy, f"{site}/4": well})
    stage.effects["network"] = "allow"
    pages = [("fetch_url", {"url": f"{site}/{n}"}) for n in range(5)]

    result = stage.pursue(
        Player(after(*pages, answer="The code is 4711.")),
        f"Find the code on {site}/0",
        ("fetch_url",),
    )

    assert (result.answer, result.reason) == ("The code is 4711.", "done")
    seen = stage.acted("fetch_url")
    assert [act.status for act in seen] == [*["retry"] * 4, "returned"]
    assert "try again later" in seen[0].observation


def test_the_result_of_a_call_stands_in_the_next_prompt_azure_foundry_demo_3(stage: Stage) -> None:
    stage.file("a.txt", "The code is 4711.")
    player = Player(after(READ, answer="The code is 4711."))

    stage.pursue(player, "Find the code")

    (finished,) = stage.acted("read_file")
    told = player.phases("move")[-1].request.messages
    (result,) = [one for one in told if one.tool_call_id == finished.call]
    assert (result.role, result.content) == ("tool", finished.observation)
    before = told[told.index(result) - 1]
    assert [(one.id, one.name) for one in before.tool_calls] == [(finished.call, "read_file")]


# -- C. full contexts ------------------------------------------------------------------------------


def library(stage: Stage, count: int, size: int = 120) -> list[tuple[str, dict[str, Any]]]:
    for number in range(count):
        stage.file(f"{number}.txt", words(f"line{number}", size))
    return [("read_file", {"path": f"{number}.txt"}) for number in range(count)]


def test_many_observations_do_not_end_a_run_smolagents_1930_901_2566_2379_letta_506(
    stage: Stage,
) -> None:
    reads = library(stage, 25)
    player = Player(after(*reads, answer="All were read."), context_tokens=3000)
    budget = Budget(steps=60, steps_per_task=60)

    result = stage.pursue(player, "Read all files", budget=budget)

    assert (result.answer, result.reason) == ("All were read.", "done")
    assert len([act for act in stage.acted("read_file") if act.status == "returned"]) == 25
    assert stage.told(ev.HistoryShortened)
    for request in player.requests:  # and there is room for the answer
        used = player.count_tokens(request.messages)
        assert used + (request.max_tokens or 0) <= player.context_tokens


def test_the_history_is_shortened_seldom_and_many_at_once_smolagents_2566_2153_2454_2037(
    stage: Stage,
) -> None:
    """Of 2037 no more is known than that it is one of those."""
    reads = library(stage, 25)
    player = Player(after(*reads, answer="All were read."), context_tokens=3000)

    stage.pursue(player, "Read all files", budget=Budget(steps=60, steps_per_task=60))

    shortened = stage.told(ev.HistoryShortened)
    counts = [0, *(event.observations for event in shortened)]
    assert counts == sorted(counts)
    assert len(shortened) <= 12
    assert max(later - before for before, later in pairwise(counts)) > 1


def test_what_does_not_fit_at_all_ends_with_a_report_letta_252(stage: Stage) -> None:
    result = stage.pursue(Player(context_tokens=900), words("Find it", 200))

    assert result.reason == "context"
    assert "context is full" in stage.report


@pytest.mark.parametrize("context", [2048, 3000, 4096])
def test_many_long_results_do_not_end_a_run_smolagents_1930_901_letta_506(
    stage: Stage, context: int
) -> None:
    def result(about: Asked) -> str:
        return words(f"{about.task.replace(' ', '-')} was seen", 80)

    player = Player(result, complete="no", more=endless, context_tokens=context)

    ended = stage.pursue(player, "Look around")

    assert (ended.reason, ended.tasks) == ("tasks", Budget().tasks)
    assert stage.told(ev.HistoryShortened)
    for request in player.requests:  # and there is room for the answer
        used = player.count_tokens(request.messages)
        assert used + (request.max_tokens or 0) <= context
    (answer,) = player.phases("answer")
    newest = stage.state().tasks.tasks[-1]
    assert f"- {newest.text}" in answer.values["done"]
    assert newest.result[-30:] in answer.values["done"]


@pytest.mark.parametrize("context", [2048, 4096])
def test_the_real_context_bounds_a_result_goose_1253_7672_8835_8399_4000(
    stage: Stage, context: int
) -> None:
    stage.file("a.txt", words("word", 3000))
    player = Player(after(READ, answer="It was read."), context_tokens=context)

    stage.pursue(player, "Read a.txt", ("read_file", "read_more"))

    (seen,) = stage.acted("read_file")
    length = len(seen.observation.split())
    assert context / 12 < length < context / 4


def test_a_flood_is_shown_in_part_and_the_rest_can_be_read_open_interpreter_126_1146_letta_506(
    stage: Stage,
) -> None:
    lines = [f"line {number} of a long log" for number in range(3000)]
    stage.file("a.txt", "\n".join([*lines, "The code is 4711."]))

    def move(about: Asked) -> Any:
        seen = [made.seen for made in about.made]
        if not any(made.tool == "read_file" for made in about.made):
            return call("read_file", path="a.txt")
        if any(made.tool == "read_more" for made in about.made):
            return "The code is 4711."
        last = seen[-1]
        kept = last.split('read_more(id="')[1].split('"')[0]
        return call("read_more", id=kept, page=2)

    result = stage.pursue(Player(move), "Find the code", ("read_file", "read_more"))

    first, more = stage.acted("read_file")[0], stage.acted("read_more")[0]
    assert "line 0 of" in first.observation
    assert "The code is 4711." in first.observation
    assert "[... cut:" in first.observation
    assert more.status == "returned"
    assert result.reason == "done"


def test_of_95_tools_the_model_is_told_of_those_of_its_objective_harness_engineering_1034_mcp_278(
    stage: Stage,
) -> None:
    for number in range(95):

        def spare(what: str) -> str:
            """Do something else."""
            return what

        spare.__name__ = f"spare_{number}"
        stage.functions.append(spare)
    stage.file("a.txt", "x")
    player = Player(after(READ))

    stage.pursue(player, "Read a.txt", ("read_file", "spare_7"))

    told = {one.name for request in player.requests for one in request.tools}
    assert told - {"answer"} == {"read_file", "spare_7"}
    assert stage.caller(("read_file",)).tools["spare_94"].name == "spare_94"


def test_the_tools_are_as_long_at_the_end_as_at_the_beginning_home_assistant_147150_zed_59401(
    stage: Stage,
) -> None:
    library(stage, 30)
    player = Player(after(("read_file", {"path": "1.txt"}), ("read_file", {"path": "2.txt"})))

    stage.pursue(player, "Read 1.txt and 2.txt")

    told = {
        json.dumps([(one.name, one.description, dict(one.parameters)) for one in request.tools])
        for request in player.requests
    }
    assert len(told) == 1


# -- D. lost work ----------------------------------------------------------------------------------


def counting(stage: Stage) -> Player:
    """Tasks without end, each with a call."""

    def note(text: str) -> str:
        """Note something."""
        return f"noted {text}"

    stage.functions.append(note)

    def move(about: Asked) -> Any:
        return f"Done: {about.task}" if about.made else call("note", text=about.task)

    return Player(move, complete="no", more=endless, answer="So far some places were seen.")


@pytest.mark.parametrize(
    ("limit", "budget"),
    [
        ("tasks", Budget(tasks=2)),
        ("steps", Budget(steps=2)),
        ("tokens", Budget(tokens=600)),
    ],
)
def test_at_a_limit_there_is_an_answer_openai_agents_844_719_2054(
    stage: Stage, limit: str, budget: Budget
) -> None:
    result = stage.pursue(counting(stage), "Look around", ("note",), budget=budget)

    assert result.reason == limit
    assert result.answer in ("So far some places were seen.", "Done: Look around")
    assert f"limit of {limit}" in stage.report
    assert "[x] Look around [1]" in stage.report


def test_the_clock_of_the_whole_run_ends_it_with_an_answer_pydantic_ai_timeouts(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = count(step=100.0)
    monkeypatch.setattr("agentkit.agent.run.Loop", partial(Loop, clock=lambda: next(ticks)))

    result = stage.pursue(counting(stage), "Look around", ("note",), budget=Budget(seconds=1000))

    assert result.reason == "seconds"
    assert result.answer
    assert "limit of time" in stage.report


def test_one_long_answer_does_not_outlast_the_clock_of_the_whole_run(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock of the loop stands still: only the deadline of the question itself can end it."""
    monkeypatch.setattr("agentkit.agent.run.Loop", partial(Loop, clock=lambda: 0.0))

    class Slow(Player):
        def stream(self, request: ChatRequest, cancel: CancelToken | None = None) -> Any:
            deltas = super().stream(request, cancel)
            if request.timeout == 0.01:
                time.sleep(0.02)
            return deltas

    player = Slow("It goes on and on.", answer="Nothing was seen in time.")
    result = stage.pursue(player, "Look around", budget=Budget(seconds=0.01))

    assert (result.reason, result.answer) == ("seconds", "Nothing was seen in time.")
    assert player.requests[-1].timeout == LAST_WORDS


def diary_tool(stage: Stage, *, deadly: bool = False) -> list[str]:
    """A tool whose effects are counted; a deadly one ends the process when it has done its work."""
    lines = list[str]()

    @tool(effects=("writes",))
    def append(text: str) -> str:
        """Add a line."""
        lines.append(text)
        if deadly and len(lines) == 1:
            stage.diary.dies_at = stage.diary.writes + 1
        return f"added {text}"

    stage.effects["writes"] = "allow"
    stage.functions.append(append)
    return lines


APPENDS = [("append", {"text": "one"}), ("append", {"text": "two"})]


def twice(about: Asked) -> Any:
    """Two lines, and what is in doubt is not written again."""
    return after(*APPENDS, answer="Both lines were added.")(about)


def undisturbed(stage: Stage) -> int:
    """The number of writes of a run that nobody disturbs."""
    diary_tool(stage)
    result = stage.pursue(Player(twice), "Add two lines", ("append",))
    assert (result.answer, result.reason) == ("Both lines were added.", "done")
    return stage.diary.writes


def test_a_run_that_died_at_any_moment_comes_to_the_same_end_pydantic_ai_3697_1201_harness_115_149(
    stage: Stage, tmp_path: Path
) -> None:
    writes = undisturbed(stage)
    assert writes > 10
    for moment in range(2, writes + 1):
        work, own = (tmp_path / f"{kind}-{moment}" for kind in ("work", "own"))
        work.mkdir()
        own.mkdir()
        other = Stage(work, own)
        lines = diary_tool(other)
        other.diary.dies_at = moment
        with pytest.raises(Died):
            other.pursue(Player(twice), "Add two lines", ("append",))
        result = other.pursue(Player(twice), "Add two lines", ("append",))

        assert (result.answer, result.reason) == ("Both lines were added.", "done"), moment
        assert len(lines) == len(set(lines)), f"done twice after write {moment}"
        assert set(lines) <= {"one", "two"}
        made = [act.call for act in other.told(ev.ActStarted)]
        assert made == [act.call for act in other.told(ev.ActFinished)]
        assert other.report == result.report


def test_a_call_that_was_in_flight_is_not_made_again_codec_122_langgraph_8039(
    stage: Stage,
) -> None:
    lines = diary_tool(stage, deadly=True)
    with pytest.raises(Died):
        stage.pursue(Player(twice), "Add a line", ("append",))
    player = Player("It is not known whether the line was added.")

    result = stage.pursue(player, "Add a line", ("append",))

    assert lines == ["one"]
    assert result.answer == "It is not known whether the line was added."
    assert player.asked[0].made[0].tool == "append"


def test_what_was_interrupted_is_said_to_be_unverified_n8n_33845(stage: Stage) -> None:
    diary_tool(stage, deadly=True)
    with pytest.raises(Died):
        stage.pursue(Player(twice), "Add two lines", ("append",))
    player = Player(twice)

    stage.pursue(player, "Add two lines", ("append",))

    seen = player.asked[0].made[0].seen
    assert "append was interrupted, effect unverified" in seen
    assert "before you call it again" in seen
    assert [act.status for act in stage.acted("append")] == ["unverified", "returned"]


def test_what_was_in_doubt_may_be_done_again_n8n_33845(stage: Stage) -> None:
    lines = diary_tool(stage, deadly=True)
    with pytest.raises(Died):
        stage.pursue(Player(twice), "Add a line", ("append",))

    def again(about: Asked) -> Any:
        sure = [made for made in about.made if "unverified" not in made.seen]
        return "The line was added." if sure else call("append", text="one")

    stage.pursue(Player(again), "Add a line", ("append",))

    assert lines == ["one", "one"]
    assert [act.status for act in stage.acted("append")] == ["unverified", "returned"]


def test_a_finished_run_is_finished_and_gives_the_same_again_adk_5485(stage: Stage) -> None:
    diary_tool(stage)
    first = stage.pursue(Player(twice), "Add two lines", ("append",))
    (stage.home / "report.md").unlink()
    silent = Player("not this")

    again = stage.pursue(silent, "Add two lines", ("append",))

    assert silent.asked == []
    assert (again.answer, again.reason, again.report) == (first.answer, "done", stage.report)
    assert (again.tasks, again.steps, again.usage) == (first.tasks, first.steps, first.usage)


def test_what_a_person_said_while_it_was_away_is_read_cowagent_3191(stage: Stage) -> None:
    diary_tool(stage)
    stage.services.mail += [Letter("pause")]
    with pytest.raises(Paused):
        stage.pursue(Player(twice), "Add two lines", ("append",))
    stage.services.mail += [Letter("note", "In small letters."), Letter("add", "Count them")]
    player = Player(twice)

    result = stage.pursue(player, "Add two lines", ("append",))

    assert result.reason == "done"
    assert "In small letters." in player.asked[0].text
    assert "Count them" in [task.text for task in stage.state().tasks.tasks]


def test_all_that_is_told_belongs_to_the_run_that_it_is_told_of_cowagent_3191(
    stage: Stage,
) -> None:
    stage.diary.place = {"run": "run-7", "step": "look", "item": 3}
    diary_tool(stage)

    stage.pursue(Player(twice), "Add two lines", ("append",))

    places = {(event.run, event.step, event.item) for event in stage.diary.events}
    assert places == {("run-7", "look", 3)}


def test_a_long_result_is_kept_on_disk_once_cowagent_3191(stage: Stage) -> None:
    stage.file("a.txt", words("word", 3000))

    stage.pursue(
        Player(stubborn(*READ[:1], **READ[1]), context_tokens=4096), "Read a.txt", ("read_file",)
    )

    kept = list((stage.home / "tool-outputs").iterdir())
    returned = [act for act in stage.acted("read_file") if act.status == "returned"]
    assert len(kept) == len(returned)
    assert len(returned) == len(stage.told(ev.TaskStarted))


# -- E. runs that nobody watches -------------------------------------------------------------------


FETCH = ("fetch_url", {"url": "https://example.org/"})


def page(stage: Stage) -> None:
    body = "<html><body><p>The code is 4711.</p></body></html>"
    plain = {"content-type": "text/plain"}
    stage.services.web = ScriptedHttp(
        {"https://example.org/": HttpResponse("https://example.org/", 200, plain, body.encode())}
    )


def fetching() -> Player:
    return Player(after(FETCH, answer="The code is 4711."))


def test_a_first_approval_parks_the_run_and_does_not_end_it_goose_11164(stage: Stage) -> None:
    page(stage)
    with pytest.raises(ApprovalNeeded) as need:
        stage.pursue(fetching(), "Find the code on https://example.org/", ("fetch_url",))

    (request,) = stage.desk.requests.values()
    assert need.value.args[0] == request.id or request.id in str(vars(need.value))
    assert stage.services.web.requests == []  # type: ignore[attr-defined]
    assert stage.state().finished is None
    assert stage.state().pending is not None

    with pytest.raises(
        ApprovalNeeded
    ):  # nobody has answered, and it can go on as often as you like
        stage.pursue(fetching(), "Find the code on https://example.org/", ("fetch_url",))
    assert [*stage.desk.requests] == [request.id]

    stage.desk.answer(request.id, "once")
    result = stage.pursue(fetching(), "Find the code on https://example.org/", ("fetch_url",))

    assert (result.answer, result.reason) == ("The code is 4711.", "done")
    assert len(stage.services.web.requests) == 1  # type: ignore[attr-defined]


def test_a_no_that_comes_later_is_a_fact_for_the_agent_goose_11164(stage: Stage) -> None:
    page(stage)
    with pytest.raises(ApprovalNeeded):
        stage.pursue(fetching(), "Find the code on https://example.org/", ("fetch_url",))
    (request,) = stage.desk.requests
    stage.desk.answer(request, "no")

    result = stage.pursue(
        Player("It could not be fetched."), "Find the code on https://example.org/", ("fetch_url",)
    )

    assert "could not" in result.answer
    assert stage.acted("fetch_url")[0].status == "failed"
    assert stage.services.web.requests == []  # type: ignore[attr-defined]


def test_what_settings_deny_is_a_fact_and_nobody_is_asked_goose_11164(stage: Stage) -> None:
    page(stage)
    stage.effects["network"] = "deny"
    player = Player(after(FETCH, answer="It could not be fetched."))

    result = stage.pursue(player, "Find the code on https://example.org/", ("fetch_url",))

    assert "could not" in result.answer
    assert stage.acted("fetch_url")[0].status == "failed"
    assert stage.desk.requests == {}
    assert stage.person.asked == []


def test_an_interrupted_run_does_not_stand_in_its_own_way_goose_11164(stage: Stage) -> None:
    diary_tool(stage)
    for moment in (3, 5, 7):
        stage.diary.dies_at = stage.diary.writes + moment
        with pytest.raises(Died):
            stage.pursue(Player(twice), "Add two lines", ("append",))

    result = stage.pursue(Player(twice), "Add two lines", ("append",))

    assert result.reason == "done"
    assert len(stage.told(ev.AgentFinished)) == 1
    assert len(stage.told(ev.AgentStarted)) == 1


# -- F. the cache of prefixes ----------------------------------------------------------------------


@pytest.fixture
def long_run(stage: Stage) -> Player:
    """Several tasks with calls, a note, an objection, memory and a reflection."""
    stage.services.memories.save("Lesson: Look at place north first.", source="run 0")
    for name in ("north", "south", "west"):
        stage.file(f"{name}.txt", f"It is {name}.")
    stage.services.mail.append(Letter("note", "Be quick."))

    def move(about: Asked) -> Any:
        name = about.task.split()[-1]
        made = [one.arguments for one in about.made if one.tool == "read_file"]
        wanted = {"path": f"{name if name in ('north', 'south', 'west') else 'north'}.txt"}
        if wanted not in made:
            return call("read_file", **wanted)
        if about.must:
            return call("list_files")
        return "It is 4711." if name == "south" and not about.rejected else f"It is {name}."

    def complete(about: Asked) -> str:
        return "yes" if "Look at place 0 west:" in about.question else "no"

    player = Player(move, complete=complete, more=endless)
    stage.pursue(player, "Look around", budget=Budget(tasks=4))
    kinds = {event.kind for event in stage.diary.events}
    assert {"CheckFailed", "NoteGiven", "TasksOrdered", "TaskFinished"} <= kinds
    assert len(player.requests) > 15
    return player


def superseded(one: Asked, later: Asked) -> bool:
    """Whether an attempt was given up between two questions: its steps go, on purpose."""
    return later.text.count("What earlier attempts taught") > one.text.count(
        "What earlier attempts taught"
    )


def test_nothing_before_the_end_of_a_prompt_changes_hermes_agent_8687_gsd_pi_108_kon_4(
    long_run: Player,
) -> None:
    for one, later in pairwise(long_run.asked):
        if not superseded(one, later):
            assert continues(one.request, later.request), later.phase


def test_the_system_prompt_has_no_time_and_no_memory_in_it_llama_cpp_22746_hermes_agent_18547(
    stage: Stage, long_run: Player
) -> None:
    systems = {request.messages[0].content for request in long_run.requests}
    assert len(systems) == 1
    (system,) = systems
    assert "20" not in system
    assert "place north" not in system

    other = Player("It is so.")
    stage.diary.events.clear()
    stage.pursue(other, "Something else")
    assert {request.messages[0].content for request in other.requests} == systems


def test_what_memory_says_stands_at_the_end_home_generative_agent_617(
    stage: Stage, long_run: Player
) -> None:
    told = [start for start in stage.told(ev.TaskStarted) if "place north" in start.recalled]
    assert told
    remembered = [
        [
            n
            for n, message in enumerate(about.request.messages)
            if told[0].recalled in message.content
        ]
        for about in long_run.asked
    ]
    assert any(remembered)
    for one, later in pairwise(remembered):
        assert later[: len(one)] == one  # where it was said once it stays


def test_tools_are_the_same_in_every_prompt_open_webui_computer_238(long_run: Player) -> None:
    told = {
        json.dumps([(one.name, one.description, dict(one.parameters)) for one in request.tools])
        for request in long_run.requests
    }
    assert len(told) == 1


def test_questions_on_the_side_leave_nothing_behind_hermes_agent_8687(long_run: Player) -> None:
    sides = [about for about in long_run.asked if about.request.tool_choice == "none"]
    assert sides
    moves = "\n".join(about.text for about in long_run.phases("move"))
    for side in sides:
        last_line = side.question.splitlines()[-1]
        assert last_line not in moves


def test_only_what_was_read_or_written_is_counted_as_spent_hermes_agent_8687(stage: Stage) -> None:
    usage = Usage(prompt_tokens=1000, cached_tokens=990, completion_tokens=5)
    state = stage.state().told(ev.ModelAsked(run="run-1", step="agent", phase="move", usage=usage))

    assert state.spent.tokens == 15
