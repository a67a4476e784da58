"""Results that are sent back, and what a person says to an agent that works."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agentkit import events as ev
from agentkit import tool
from agentkit.agent.budget import Budget
from agentkit.agent.checks import FitsSchema
from agentkit.agent.strategies import ANSWER, THINK, chain_of_thought
from agentkit.cancel import CancelToken
from agentkit.errors import Cancelled, ModelError, Paused, ToolRetry
from agentkit.letters import Letter

from .player import Asked, Player, Stage, after, call, stubborn

READ = ("read_file", {"path": "a.txt"})
NOT_FOUND = 'It was not found: nothing that was read says "shed".'


def code(stage: Stage) -> None:
    stage.file("a.txt", "The code is 4711.")


# -- results ---------------------------------------------------------------------------------------


def test_a_made_up_number_is_sent_back_and_may_be_corrected(stage: Stage) -> None:
    code(stage)

    def move(about: Asked) -> Any:
        if about.must:
            return call("read_file", path="a.txt")
        return "It is 4711." if about.rejected else "It is 9999."

    result = stage.pursue(Player(move), "Find the code")

    assert (result.answer, result.reason) == ("It is 4711.", "done")
    (fault,) = stage.told(ev.CheckFailed)
    assert (fault.fault, fault.final) == ("no tool has shown this: 9999", False)


def test_what_was_rejected_is_not_accepted_in_the_next_attempt(stage: Stage) -> None:
    code(stage)

    def move(about: Asked) -> Any:
        wanted = call("read_file", path="a.txt")
        if about.must:
            return wanted if "read_file" in about.offered else call(about.offered[0])
        return "It is 9999."

    result = stage.pursue(Player(move), "Find the code")

    assert result.reason == "nothing_left"
    assert [task.status for task in stage.state().tasks.tasks] == ["failed"]
    assert "[!] Find the code" in stage.report


def test_what_the_model_itself_finds_unlikely_is_sent_back(stage: Stage) -> None:
    code(stage)
    player = Player(after(READ, answer="It is 4711."), found="no")

    result = stage.pursue(player, "Find the code", budget=Budget(attempts=1))

    assert result.reason == "nothing_left"
    assert {fault.fault for fault in stage.told(ev.CheckFailed)} == {"the tools have not shown it"}


@pytest.mark.parametrize(
    ("objective", "about", "answers", "answer"),
    [
        ("Find the code of the shed", "no", "yes", NOT_FOUND),
        ("Find the code of the shed", "yes", "no", NOT_FOUND),
        ("Find the code of the shed", "yes", "yes", "It is 4711."),
        ("Find the code", "no", "no", "It is 4711."),
        ("Is the code of the shed 4711", "no", "no", "It is 4711."),
    ],
)
def test_a_figure_that_is_about_something_else_is_no_answer(
    stage: Stage, objective: str, about: str, answers: str, answer: str
) -> None:
    code(stage)
    player = Player(after(READ, answer="It is 4711."), about=about, answers=answers)

    result = stage.pursue(player, objective)

    assert (result.answer, result.reason) == (answer, "done")
    for asked in (*player.phases("about"), *player.phases("answers")):
        assert asked.request.messages[:-1] == (), "by itself, so that nothing else speaks for it"


@pytest.mark.parametrize(
    ("newest", "answer"),
    [
        ("Ola Berg is the treasurer.", "Ola Berg is the treasurer."),
        ("Tom Becker.", "Tom Becker is the treasurer."),
        ("Ada Lovelace is the treasurer.", "Tom Becker is the treasurer."),
        ("It is not known.", "Tom Becker is the treasurer."),
    ],
)
def test_what_a_later_note_says_holds(stage: Stage, newest: str, answer: str) -> None:
    stage.file("2026-02-09.md", "Ola Berg was elected treasurer.")
    stage.file("2026-01-12.md", "Tom Becker is the treasurer.")
    player = Player("Tom Becker is the treasurer.", newest=newest)

    result = stage.pursue(player, "Who is the treasurer?", ("search_files",))

    assert (result.answer, result.reason) == (answer, "done")
    (asked,) = player.phases("newest")
    assert asked.values["lines"] == (
        "2026-01-12: Tom Becker is the treasurer.\n2026-02-09: Ola Berg was elected treasurer."
    )


def test_notes_of_one_day_are_not_asked_again(stage: Stage) -> None:
    stage.file("2026-01-12.md", "Tom Becker is the treasurer.\nOla Berg was treasurer before.")
    player = Player("Tom Becker is the treasurer.")

    stage.pursue(player, "Who is the treasurer?", ("search_files",))

    assert player.phases("newest") == []


def test_the_next_attempt_knows_the_lesson_of_the_one_before_and_memory_keeps_it(
    stage: Stage,
) -> None:
    code(stage)

    def move(about: Asked) -> Any:
        if "Read the second file." in about.text:
            return after(READ, answer="It is 4711.")(about)
        return stubborn("list_files")(about) if about.must else "It is 9999."

    result = stage.pursue(Player(move, lesson="Read the second file."), "Find the code")

    assert (result.answer, result.reason) == ("It is 4711.", "done")
    assert [start.attempt for start in stage.told(ev.TaskStarted)] == [1, 2]
    (kept,) = stage.services.memories.search("Read the second file.")
    assert kept.metadata["kind"] == "lesson"


def test_without_reflection_there_is_no_lesson(stage: Stage) -> None:
    code(stage)
    player = Player(after(READ, answer="It is 4711."), found="no")

    stage.pursue(player, "Find the code", without=frozenset({"reflection"}))

    assert player.phases("lesson") == []
    assert stage.told(ev.LessonLearned) == []
    assert [start.attempt for start in stage.told(ev.TaskStarted)] == [1, 2]


def test_a_list_that_is_not_as_the_task_says_is_sent_back(stage: Stage) -> None:
    def move(about: Asked) -> Any:
        written = "Ada\nBo" if about.rejected else "Bo\nAda"
        return call("write_file", path="b.txt", content=written) if about.must else "It is written."

    objective = "Write the names to b.txt, in alphabetical order"
    player = Player(move, kind="change", reached="yes", result="It is written.")

    result = stage.pursue(player, objective, ("read_file", "write_file"))

    assert (result.answer, result.reason) == ("It is written.", "done")
    assert (stage.folder / "b.txt").read_text() == "Ada\nBo"
    (fault,) = stage.told(ev.CheckFailed)
    assert fault.fault == "b.txt is not in alphabetical order: 'Ada' comes too late"


@pytest.mark.parametrize(
    "tools",
    [("search_files", "write_file"), ("read_file", "write_file"), ("list_files", "write_file")],
)
def test_what_a_list_is_made_from_may_be_as_it_is(stage: Stage, tools: tuple[str, ...]) -> None:
    stage.file("names.txt", "Bo\nAda\nBo")
    write = ("write_file", {"path": "sorted.txt", "content": "Ada\nBo"})
    objective = "Write the names of names.txt to sorted.txt, each once, in alphabetical order"
    player = Player(after(write), kind="change", reached="yes", result="It is written.")

    result = stage.pursue(player, objective, tools)

    assert (result.answer, result.reason) == ("It is written.", "done")
    assert stage.told(ev.CheckFailed) == []


def test_lines_that_are_collected_are_copied_as_they_are(stage: Stage) -> None:
    stage.file("notes.md", "# Notes\nTODO mend the gate")

    def move(about: Asked) -> Any:
        written = "TODO mend the gate" if about.rejected else "mend the gate"
        return call("write_file", path="b.txt", content=written) if about.must else "It is written."

    objective = "Collect all lines with TODO and write them to b.txt"
    player = Player(move, kind="change", reached="yes", result="It is written.")

    stage.pursue(player, objective, ("read_file", "write_file"))

    assert (stage.folder / "b.txt").read_text() == "TODO mend the gate"
    (fault,) = stage.told(ev.CheckFailed)
    assert fault.fault == "b.txt has a line that stands nowhere as it is: 'mend the gate'"


def test_a_file_that_is_to_be_written_has_to_be_there(stage: Stage) -> None:
    def move(about: Asked) -> Any:
        if about.must:
            return call("write_file", path="b.txt", content="x")
        return "It is written."

    result = stage.pursue(Player(move), "Write b.txt", ("read_file", "write_file"))

    assert (result.answer, result.reason) == ("It is written.", "done")
    assert (stage.folder / "b.txt").read_text().strip() == "x"
    assert stage.told(ev.CheckFailed)[0].fault == "there is no file b.txt yet: make it"


# -- checks of the objective -----------------------------------------------------------------------

NUMBER = {"type": "object", "properties": {"code": {"type": "integer"}}, "required": ["code"]}


def test_a_schema_makes_the_answer_data(stage: Stage) -> None:
    code(stage)
    player = Player(after(READ, answer="It is 4711."), answer={"code": 4711})

    result = stage.pursue(player, "Find the code", checks=(FitsSchema(NUMBER),), schema=NUMBER)

    assert json.loads(result.answer) == {"code": 4711}
    assert result.reason == "done"


def test_a_check_that_fails_is_a_task_and_its_fault_is_known(stage: Stage) -> None:
    code(stage)

    def check(about: Asked) -> str:
        return "yes" if "4711 it is." in about.question else "no"

    def move(about: Asked) -> Any:
        words = "4711 it is." if about.task.startswith("Correct") else "It is 4711."
        return after(READ, answer=words)(about)

    player = Player(move, check=check, answer="4711 it is.")

    result = stage.pursue(player, "Find the code", checks=("Does it say: 4711 it is?",))

    assert (result.answer, result.reason) == ("4711 it is.", "done")
    (fault,) = stage.told(ev.CheckFailed)
    assert "Does it say: 4711 it is?" in fault.fault
    assert stage.state().tasks["t2"].text.startswith("Correct what is wrong (1): ")


def test_a_check_that_never_holds_ends_after_so_many_attempts(stage: Stage) -> None:
    code(stage)
    player = Player(after(READ, answer="It is 4711."), check="no")
    budget = Budget(attempts=3)

    result = stage.pursue(player, "Find the code", checks=("Is it short?",), budget=budget)

    assert result.reason == "nothing_left"
    assert stage.state().failed_checks == 3


# -- a person --------------------------------------------------------------------------------------


def texts(stage: Stage, status: str) -> list[str]:
    return [task.text for task in stage.state().tasks.tasks if task.status == status]


def test_a_person_can_add_drop_and_order_tasks(stage: Stage) -> None:
    stage.services.mail += [
        Letter("add", "Look north"),
        Letter("add", "Look south"),
        Letter("add", "Look west"),
        Letter("drop", "t3"),
        Letter("order", "t4, t2"),
    ]

    stage.pursue(Player(complete="yes"), "Look around")

    assert texts(stage, "dropped") == ["Look south"]
    started = [start.task for start in stage.told(ev.TaskStarted)]
    assert started[:2] == ["t4", "t2"]


@pytest.mark.parametrize(
    "letter", [Letter("drop", "t9"), Letter("order", "t1, t9"), Letter("order", "x")]
)
def test_what_cannot_be_done_is_answered_and_nothing_happens(stage: Stage, letter: Letter) -> None:
    stage.services.mail.append(letter)

    result = stage.pursue(Player(), "Look around")

    (refused,) = stage.told(ev.TaskRefused)
    assert refused.reason == f"a person named {letter.text}, and the open tasks are: t1"
    assert result.reason == "done"


def test_a_pause_parks_the_run_and_it_goes_on_later(stage: Stage) -> None:
    code(stage)
    stage.services.mail.append(Letter("pause"))
    player = Player(after(READ, answer="It is 4711."))

    with pytest.raises(Paused):
        stage.pursue(player, "Find the code")
    assert stage.state().finished is None

    assert stage.pursue(player, "Find the code").answer == "It is 4711."
    assert len(stage.told(ev.AgentResumed)) == 1


def test_a_cancelled_run_leaves_a_report_of_what_there_is(stage: Stage) -> None:
    code(stage)

    def move(about: Asked) -> Any:
        if about.task == "Find the code":
            return after(READ, answer="It is 4711.")(about)
        stage.cancel.cancel()
        return "Too late."

    player = Player(move, complete="no", more={"tasks": ["Look again"]})

    with pytest.raises(Cancelled):
        stage.pursue(player, "Find the code")

    assert "It was cancelled" in stage.report
    assert "It is 4711. [" in stage.report
    stage.cancel = CancelToken()


def test_a_model_that_fails_leaves_a_report_of_what_there_is(stage: Stage) -> None:
    player = Player(lambda about: ModelError("the model is gone"))

    with pytest.raises(ModelError, match="gone"):
        stage.pursue(player, "Look around")

    assert "It failed" in stage.report
    assert "Nothing was found yet." in stage.report


# -- a strategy for the answer ---------------------------------------------------------------------


def test_a_strategy_thinks_before_the_final_answer_with_the_same_beginning(stage: Stage) -> None:
    code(stage)
    player = Player(after(READ, answer="It is 4711."), answer="The code is 4711.")

    result = stage.pursue(player, "Find the code", strategy=chain_of_thought)

    assert (result.answer, result.reason) == ("The code is 4711.", "done")
    *_, think, answer = player.requests
    assert think.messages[-1].content.endswith(THINK)
    assert answer.messages[-1].content == ANSWER
    assert think.messages[0] == answer.messages[0] == player.requests[0].messages[0]
    assert think.tools == answer.tools == player.requests[-3].tools


# -- what is not offered ---------------------------------------------------------------------------


def test_arithmetic_is_offered_only_for_what_has_to_be_computed(stage: Stage) -> None:
    code(stage)
    tools = ("list_files", "read_file", "calculate")
    reading = Player(after(READ, answer="It is 4711."), kind="look")
    computing = Player(after(READ, answer="It is 4711."), kind="compute")

    stage.pursue(reading, "Find the code", tools)
    assert not any("calculate" in about.offered for about in reading.asked if about.phase == "move")
    assert len(reading.phases("kind")) == 1, "it is asked once for each task"

    stage.diary.events.clear()
    stage.pursue(computing, "Add up the codes", tools)
    assert all("calculate" in about.offered for about in computing.phases("move"))


@pytest.mark.parametrize(
    ("objective", "kinds"),
    [
        ("How many codes are there?", {"compute", "look"}),
        ("Which codes are there? Write them to codes.txt", {"change", "compute", "look"}),
        ("Can you write the codes to codes.txt?", {"change", "compute", "look"}),
    ],
)
def test_a_question_asks_for_no_change(stage: Stage, objective: str, kinds: set[str]) -> None:
    code(stage)
    player = Player(after(READ, answer="It is 4711."))

    stage.pursue(player, objective)

    assert {*player.phases("kind")[0].options} == kinds


def test_an_argument_that_says_its_default_makes_no_other_call(stage: Stage) -> None:
    code(stage)
    call = ("list_files", {"path": ".", "recursive": False})

    stage.pursue(Player(after(call, answer="It is a.txt.")), "Find the code", ("list_files",))

    assert [act.arguments for act in stage.told(ev.ActStarted) if act.tool == "list_files"][
        -1
    ] == {}


def test_the_name_of_a_tool_is_no_task(stage: Stage) -> None:
    code(stage)
    more = {"tasks": ["read_file", "Read the other file"]}
    player = Player(after(READ, answer="It is 4711."), complete="no", more=more)

    stage.pursue(player, "Find the code", budget=Budget(tasks=2))

    assert [task.text for task in stage.state().tasks.tasks] == [
        "Find the code", "Read the other file",
    ]  # fmt: skip


def test_where_all_lines_were_shown_there_is_nothing_more_to_read(stage: Stage) -> None:
    code(stage)
    player = Player("It is 4711.")

    result = stage.pursue(player, "Find the code", ("list_files", "search_files", "read_file"))

    assert (result.answer, result.reason, result.steps) == ("It is 4711.", "done", 1)
    assert [about.offered for about in player.phases("move")] == [[]]


def test_after_a_change_there_is(stage: Stage) -> None:
    code(stage)
    write = ("write_file", {"path": "b.txt", "content": "1174"})
    player = Player(after(write, ("read_file", {"path": "b.txt"})), kind="change")
    tools = ("search_files", "read_file", "write_file")

    stage.pursue(player, "Write the code backwards", tools)

    first, second, _ = player.phases("move")
    assert first.offered == ["write_file"]
    assert second.offered == ["search_files", "read_file", "write_file"]


WRITE = ("write_file", {"path": "b.txt", "content": "1174"})


def test_a_change_that_did_all_ends_a_task(stage: Stage) -> None:
    code(stage)
    player = Player(after(WRITE, READ), kind="change", reached="yes", result="It is written.")

    result = stage.pursue(player, "Write it backwards into b.txt", ("read_file", "write_file"))

    assert result.answer == "It is written."
    assert [act.tool for act in stage.made()][-1] == "write_file"
    assert len(player.phases("move")) == 1


def test_what_is_to_be_changed_is_not_answered_before_something_was_tried(stage: Stage) -> None:
    code(stage)
    player = Player(after(WRITE), kind="change")

    stage.pursue(player, "Write it backwards into b.txt", ("read_file", "write_file"))

    assert [about.must for about in player.phases("move")] == [True, False]


def test_a_change_in_one_of_several_files_is_not_all(stage: Stage) -> None:
    for name in ("a.txt", "b.txt"):
        stage.file(name, "call 118")
    edits = [("edit_file", {"path": f"{n}.txt", "old": "118", "new": "9"}) for n in "ab"]
    player = Player(after(*edits), kind="change", reached="yes", result="Both are changed.")

    stage.pursue(player, "Write 9 for 118 in every file", ("edit_file",))

    assert [act.arguments["path"] for act in stage.made("edit_file")] == ["a.txt", "b.txt"]


def test_a_test_that_a_task_names_says_whether_it_is_done(stage: Stage) -> None:
    stage.file("a.py", "one = 1")
    stage.file("test_a.py", "assert one == 3")
    edits = [("edit_file", {"path": "a.py", "old": f"= {n}", "new": f"= {n + 1}"}) for n in (1, 2)]

    def run_shell(command: str) -> str:
        """Run."""
        if "3" not in (stage.folder / "a.py").read_text():
            raise ToolRetry(f"{command}: AssertionError")
        return "passed"

    stage.functions.append(run_shell)
    player = Player(after(*edits), kind="change", result="It passes.")
    tools = ("read_file", "edit_file", "run_shell")

    result = stage.pursue(player, "Mend a.py until test_a.py passes", tools)

    ran = [act.status for act in stage.acted("run_shell")]
    assert (result.answer, ran) == ("It passes.", ["retry", "retry", "returned"])
    assert [act.arguments for act in stage.made("run_shell")] == [
        {"command": "python3 -B test_a.py"}
    ] * 3
    assert not any("run_shell" in about.offered for about in player.phases("move"))


def test_of_json_that_begins_again_and_again_nothing_is_written(stage: Stage) -> None:
    texts = iter(['{"a": 1},\n' * 40, '[{"a": 1}]'])

    def move(about: Asked) -> Any:
        done = (stage.folder / "a.json").exists()
        return "It is written." if done else call("write_file", path="a.json", content=next(texts))

    stage.pursue(Player(move, kind="change"), "Write a list into a.json", ("write_file",))

    refused, _ = stage.told(ev.ActFinished)
    assert "it is no JSON" in refused.observation
    assert (stage.folder / "a.json").read_text() == '[{"a": 1}]'


def test_a_call_that_is_written_into_a_file_is_none(stage: Stage) -> None:
    texts = iter(['{"name": "write_file", "arguments": {}}', "soup"])

    def move(about: Asked) -> Any:
        written = (stage.folder / "a.txt").exists()
        return (
            "It is written." if written else call("write_file", path="a.txt", content=next(texts))
        )

    stage.pursue(Player(move, kind="change"), "Write a dinner into a.txt", ("write_file",))

    refused, written = stage.told(ev.ActFinished)
    assert "write the content itself, and no call of a tool" in refused.observation
    assert written.status == "returned"
    assert (stage.folder / "a.txt").read_text() == "soup"


@pytest.mark.parametrize(
    ("lines", "kept"),
    [
        (["Monday: soup", "", "Tuesday: rice"] * 20, "Monday: soup\n\nTuesday: rice\n"),
        (["Monday: soup"] * 5, "Monday: soup\n" * 5),
        ([""] * 40, "\n"),
    ],
)
def test_of_a_text_that_begins_again_and_again_the_first_is_kept(
    stage: Stage, lines: list[str], kept: str
) -> None:
    write = ("write_file", {"path": "a.txt", "content": "\n".join(lines)})

    stage.pursue(Player(after(write), kind="change"), "Write dinners into a.txt", ("write_file",))

    assert (stage.folder / "a.txt").read_text().rstrip() == kept.rstrip()


def test_what_would_be_no_json_is_not_written(stage: Stage) -> None:
    texts = iter(['{"a": 1},\n{"a": 2}', '[{"a": 1}, {"a": 2}]'])

    def move(about: Asked) -> Any:
        written = (stage.folder / "a.json").exists()
        return (
            "It is written." if written else call("write_file", path="a.json", content=next(texts))
        )

    stage.pursue(Player(move, kind="change"), "Write a list into a.json", ("write_file",))

    refused, written = stage.told(ev.ActFinished)
    assert "a.json would be wrong: it is no JSON: Extra data" in refused.observation
    assert written.status == "returned"
    assert (stage.folder / "a.json").read_text() == '[{"a": 1}, {"a": 2}]'


def test_a_table_has_as_many_fields_in_each_row(stage: Stage) -> None:
    texts = iter(["title,year\nSalt, Bread,2004", 'title,year\n"Salt, Bread",2004'])

    def move(about: Asked) -> Any:
        written = (stage.folder / "a.csv").exists()
        return (
            "It is written." if written else call("write_file", path="a.csv", content=next(texts))
        )

    stage.pursue(Player(move, kind="change"), "Write the books to a.csv", ("write_file",))

    refused, written = stage.told(ev.ActFinished)
    assert "the header has 2 columns, and Salt, Bread,2004 has 3: put" in refused.observation
    assert written.status == "returned"


def test_a_program_that_wrote_an_empty_file_has_not_done_it(stage: Stage) -> None:
    def run_python(code: str) -> str:
        """Run."""
        found = "4711" if "4711" in code else ""
        (stage.folder / "b.txt").write_text(found)
        return f"b.txt begins:\n{found}" if found else "b.txt is empty"

    stage.effects["writes"] = "allow"
    stage.functions.append(tool(effects=("writes",))(run_python))
    programs = iter(["1174", "4711"])

    def move(about: Asked) -> Any:
        return call("run_python", code=next(programs))

    player = Player(move, kind="change", reached="yes", result="It is written.")

    stage.pursue(player, "Write the code into b.txt", ("run_python",))

    assert len(stage.made("run_python")) == 2


def test_a_program_is_told_which_file_it_is_to_write(stage: Stage) -> None:
    code(stage)

    def run_python(code: str) -> str:
        """Run."""
        return code

    stage.functions.append(run_python)
    program = ("run_python", {"code": "print(4711)"})
    player = Player(after(program, answer="It was not found."), kind="change")

    stage.pursue(player, "Write the code into b.txt", ("read_file", "run_python"))

    (asked, *_) = player.phases("code")
    assert 'Path("b.txt").write_text' in asked.question
    assert "DictReader" not in asked.question


def test_the_task_stands_at_the_end_of_a_step_too(stage: Stage) -> None:
    code(stage)
    player = Player(after(READ, answer="It is 4711."))

    stage.pursue(player, "Find the code")

    assert {about.question for about in player.phases("move")} == {"The task again: Find the code"}


def test_a_file_that_a_result_names_has_to_be_there(stage: Stage) -> None:
    def move(about: Asked) -> Any:
        if about.must:
            return call("write_file", path="list.md", content="milk")
        return "The list has been written to list.md."

    result = stage.pursue(Player(move), "Write a list", ("read_file", "write_file"))

    assert result.reason == "done"
    assert (stage.folder / "list.md").read_text() == "milk"
    (fault,) = stage.told(ev.CheckFailed)
    assert fault.fault == "there is no file list.md yet: make it"
