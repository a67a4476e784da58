"""What does not exist cannot be called for; a call from before a crash is not made again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from agentkit.agent.guard import Step, fingerprint
from agentkit.agent.hands import ToolHands
from agentkit.agent.possible import EACH, MOST
from agentkit.agent.tasks import Kind
from agentkit.errors import ApprovalNeeded, Cancelled
from agentkit.messages import ToolSchema

from .player import Stage

TOOLS = ("list_files", "read_file", "write_file", "search_files", "fetch_url", "read_more", "now")


def hands(
    stage: Stage, *tools: str, earlier: dict[str, tuple[str, Any]] | None = None, budget: int = 200
) -> ToolHands:
    return ToolHands(
        stage.caller(),
        tools or TOOLS,
        stage.diary,
        stage.cancel,
        lambda text: len(text.split()),
        budget,
        earlier or {},
    )


def computing() -> Kind:
    return "compute"


def looks(
    there: ToolHands, task: str = "What is the rent?", kind: Kind = "look"
) -> list[tuple[str, dict[str, Any]]]:
    return there.first_looks(task, lambda: kind)


def allowed(
    stage: Stage, tool: str, *done: tuple[str, dict[str, Any]], said: Sequence[str] = ()
) -> ToolSchema | None:
    made = {fingerprint(name, arguments) for name, arguments in done}
    return hands(stage).schema(tool, made, ["Do it.", *said], computing)


def fits(schema: ToolSchema | None, **arguments: Any) -> bool:
    assert schema is not None
    assert isinstance(schema.allowed, dict)
    return Draft202012Validator(schema.allowed).is_valid(arguments)


# -- files -----------------------------------------------------------------------------------------


def test_only_files_that_are_there_can_be_changed(stage: Stage) -> None:
    stage.file("a.txt", "a")
    there = hands(stage, "edit_file")

    for said, path, possible in (
        ("Do it.", "a.txt", True),
        ("Do it.", "a.txt.txt", False),
        ("Do it.", "~/b.txt", False),
        ("Do it in ~/b.txt", "~/b.txt", True),
    ):
        schema = there.schema("edit_file", set(), [said, "there is ~/b.txt"], computing)
        assert fits(schema, path=path, old="a", new="b") is possible


def test_a_list_goes_through_all_files_one_by_one(stage: Stage) -> None:
    for name in ("a b.txt", "c.txt"):
        stage.file(name, "x")
    there = hands(stage, "rename_files")
    schema = there.schema("rename_files", set(), ["Do it."], computing)

    first, second = {"old": "a b.txt", "new": "a-b.txt"}, {"old": "c.txt", "new": "c.txt"}
    assert fits(schema, files=[first, second])
    assert not fits(schema, files=[first])
    assert not fits(schema, files=[second, first])
    assert not fits(schema, files=[first, second], folder="in")
    assert fits(
        there.schema("rename_files", set(), ["Do it in ~/b"], computing),
        files=[second],
        folder="~/b",
    )
    for number in range(EACH):
        stage.file(f"{number}.txt", "x")
    assert fits(there.schema("rename_files", set(), ["Do it."], computing), files=[second])


@pytest.mark.parametrize(
    ("task", "command"),
    [
        ("Mend a.py until test_a.py passes.", "python3 -B test_a.py"),
        ("Mend a.py until a_test.sh passes.", "sh a_test.sh"),
        ("Mend a.py.", None),
        ("Mend a.py until test_b.py passes.", None),
        ("Mend a.py until test_a.py and a_test.sh pass.", None),
    ],
)
def test_the_test_that_a_task_names_is_run(stage: Stage, task: str, command: str | None) -> None:
    for name in ("a.py", "test_a.py", "a_test.sh"):
        stage.file(name, "x")
    there = hands(stage, "read_file", "run_shell")

    found = there.test(task)

    assert found == (("run_shell", {"command": command}) if command else None)
    assert hands(stage, "read_file").test(task) is None


def test_what_is_tested_is_mended_in_its_files(stage: Stage) -> None:
    for name in ("a.py", "test_a.py"):
        stage.file(name, "x")
    programs = ("list_files", "run_python", "run_shell")
    there = hands(stage, "read_file", "edit_file", *programs)
    read = {fingerprint("read_file", {"path": name}) for name in ("a.py", "test_a.py")}

    def tested(tool: str, *done: str) -> ToolSchema | None:
        return there.schema(tool, set(done), ["Mend it."], computing, tested=True)

    assert {tested(tool) for tool in programs} == {None}
    assert tested("read_file") is not None
    assert tested("read_file", *read) is None
    assert fits(tested("edit_file"), path="a.py", old="a", new="b")
    assert not fits(tested("edit_file"), path="test_a.py", old="a", new="b")


def test_only_files_that_are_there_can_be_read(stage: Stage) -> None:
    stage.file("a.txt", "a")
    stage.file("data/b.csv", "b")
    schema = allowed(stage, "read_file")

    assert fits(schema, path="a.txt")
    assert fits(schema, path="data/b.csv")
    for path in ("c.txt", "b.csv", "data", ".", "/etc/passwd", "../a.txt", "~/a.txt", ""):
        assert not fits(schema, path=path)


def test_hidden_files_are_not_offered(stage: Stage) -> None:
    stage.file(".secret", "x")
    stage.file(".git/config", "x")
    stage.file("a.txt", "a")

    schema = allowed(stage, "read_file")

    assert not fits(schema, path=".secret")
    assert not fits(schema, path=".git/config")


def test_a_tool_for_folders_takes_folders_and_no_files(stage: Stage) -> None:
    stage.file("data/b.csv", "b")
    schema = allowed(stage, "list_files")

    assert fits(schema, path=".")
    assert fits(schema, path="data")
    assert not fits(schema, path="data/b.csv")


def test_what_was_read_is_left_out(stage: Stage) -> None:
    stage.file("a.txt", "a")
    stage.file("b.txt", "b")
    schema = allowed(stage, "read_file", ("read_file", {"path": "a.txt"}))

    assert fits(schema, path="b.txt")
    assert not fits(schema, path="a.txt")


def test_if_all_was_read_all_may_be_read_again(stage: Stage) -> None:
    stage.file("a.txt", "a")
    schema = allowed(stage, "read_file", ("read_file", {"path": "a.txt"}))

    assert fits(schema, path="a.txt", start=2)


@pytest.mark.parametrize(
    ("objective", "path", "possible"),
    [
        ("Read it and/or more.", "/data/b.txt", False),
        ("Read /data/b.txt.", "/data/b.txt", True),
        ("Read ~/notes.", "~/notes", True),
    ],
)
def test_a_path_outside_is_possible_only_where_the_objective_names_one(
    stage: Stage, objective: str, path: str, possible: bool
) -> None:
    stage.file("a.txt", "a")
    seen = ["list_files gave this data: see /data/b.txt and ~/notes"]

    assert (
        fits(hands(stage).schema("read_file", set(), [objective, *seen], computing), path=path)
        is possible
    )


def test_of_very_many_files_the_name_is_left_to_the_model(stage: Stage) -> None:
    for number in range(MOST + 1):
        stage.file(f"{number}.txt", "x")

    assert fits(allowed(stage, "read_file"), path="another.txt")


def test_a_file_to_write_lies_inside(stage: Stage) -> None:
    schema = allowed(stage, "write_file")

    for path in ("new.txt", "data/new.txt", "_x"):
        assert fits(schema, path=path, content="x")
    for path in ("/tmp/new.txt", "~/new.txt", "../new.txt", "", "a\nb"):
        assert not fits(schema, path=path, content="x")


def test_a_file_to_write_may_lie_where_the_objective_says(stage: Stage) -> None:
    schema = hands(stage).schema("write_file", set(), ["Write it to /data/out.txt"], computing)
    by_a_page = hands(stage).schema(
        "write_file", set(), ["Do it.", "Write it to /data/out.txt"], computing
    )

    assert fits(schema, path="/data/out.txt", content="x")
    assert not fits(by_a_page, path="/data/out.txt", content="x")


def test_the_prompt_tells_of_a_tool_as_ever(stage: Stage) -> None:
    there = hands(stage)
    (before,) = (one for one in there.schemas() if one.name == "read_file")
    stage.file("a.txt", "a")
    now = there.schema("read_file", set(), ["Do it."], computing)

    assert now is not None
    assert (now.name, now.description, now.parameters) == (
        before.name,
        before.description,
        before.parameters,
    )
    assert before.allowed is None


# -- addresses -------------------------------------------------------------------------------------

PAGE = "https://example.org/a"


def test_only_addresses_that_were_seen_can_be_fetched_and_others_of_their_site(
    stage: Stage,
) -> None:
    schema = allowed(stage, "fetch_url", said=[f"It stands in {PAGE}."])

    assert fits(schema, url=PAGE)
    assert fits(schema, url="https://example.org/other?page=2")
    for url in (
        "https://example.com/a",
        "https://exampleXorg/a",
        "https://example.org.evil.net/a",
        "http://example.org/a",
    ):
        assert not fits(schema, url=url)


def test_an_address_that_was_fetched_is_left_out_of_those_to_choose_from(stage: Stage) -> None:
    schema = allowed(stage, "fetch_url", ("fetch_url", {"url": PAGE}), said=[PAGE, f"{PAGE}/b"])

    assert schema is not None
    assert isinstance(schema.allowed, dict)
    options = schema.allowed["properties"]["url"]["anyOf"]
    assert [one["enum"] for one in options if "enum" in one] == [[f"{PAGE}/b"]]


def test_where_no_address_was_seen_the_model_may_know_one(stage: Stage) -> None:
    assert fits(allowed(stage, "fetch_url"), url="https://example.net/")


# -- tools that can do nothing ---------------------------------------------------------------------


def test_read_more_is_there_only_when_something_was_cut(stage: Stage) -> None:
    assert allowed(stage, "read_more") is None
    there = hands(stage, budget=20)
    stage.file("long.txt", "word " * 100)
    seen = there.act("abc234", "read_file", {"path": "long.txt"}, 60.0)

    assert "read_more" in seen.text
    schema = there.schema("read_more", set(), ["Do it."], computing)
    assert fits(schema, id="abc234")
    assert not fits(schema, id="xyz789")


def test_arithmetic_is_there_only_for_what_has_to_be_computed(stage: Stage) -> None:
    there = hands(stage, "calculate")

    assert there.schema("calculate", set(), ["Do it."], computing) is not None
    assert there.schema("calculate", set(), ["Do it."], lambda: "look") is None


@pytest.mark.parametrize(
    ("tool", "said", "task", "partly"),
    [
        ("edit_file", "a.txt was changed; 118 stands also in: b.txt", "Change it in all", True),
        ("edit_file", "a.txt was changed; 118 stands also in: b.txt", "Change it", False),
        ("edit_file", "a.txt was changed", "Change it in all", False),
        ("rename_files", "118 stands also in: b.txt", "Change it in all", False),
        ("write_file", "b.txt is empty", "Write it", True),
    ],
)
def test_a_change_of_one_of_several_places_is_a_part(
    stage: Stage, tool: str, said: str, task: str, partly: bool
) -> None:
    step = Step(tool, {}, "returned", said, changes=True)

    assert hands(stage, tool).partly(step, task) is partly


def test_a_tool_without_arguments_can_do_nothing_new_after_it_was_called(stage: Stage) -> None:
    def ring() -> str:
        """Ring the bell."""
        return "It rings."

    stage.functions.append(ring)
    there = hands(stage, "ring")

    assert there.schema("ring", set(), ["Do it."], computing) is not None
    assert there.schema("ring", {fingerprint("ring", {})}, ["Do it."], computing) is None


# -- the first look --------------------------------------------------------------------------------


def test_there_is_nothing_to_look_at_in_an_empty_folder_or_without_a_tool_for_it(
    stage: Stage,
) -> None:
    assert looks(hands(stage)) == []
    stage.file(".hidden", "x")
    assert looks(hands(stage)) == []
    stage.file("a.txt", "x")
    assert looks(hands(stage, "read_file")) == []


def test_the_first_look_shows_names_and_does_not_break_on_odd_ones(stage: Stage) -> None:
    stage.file("data/a.txt", "one line")
    (stage.folder / "nowhere.txt").symlink_to("gone")
    there = hands(stage)
    (first,) = looks(there)

    assert first is not None
    seen = there.act("abc234", *first, 60.0)
    assert seen.status == "returned"
    assert "data/a.txt" in seen.text


# -- calls -----------------------------------------------------------------------------------------


def test_a_call_is_made_and_on_record(stage: Stage) -> None:
    stage.file("a.txt", "It is 4711.")

    seen = hands(stage).act("abc234", "read_file", {"path": "a.txt"}, 60.0)

    assert seen.status == "returned"
    assert "It is 4711." in seen.text
    assert stage.diary.calls == {"abc234": ("returned", "It is 4711.")}


def test_a_call_that_waits_for_a_person_is_no_result(stage: Stage) -> None:
    with pytest.raises(ApprovalNeeded):
        hands(stage).act("abc234", "fetch_url", {"url": PAGE}, 60.0)


def test_a_call_that_was_cancelled_is_no_result(stage: Stage) -> None:
    stage.cancel.cancel()
    stage.file("a.txt", "x")

    with pytest.raises(Cancelled):
        hands(stage).act("abc234", "read_file", {"path": "a.txt"}, 60.0)


# -- calls from before a crash ---------------------------------------------------------------------


def recalled(stage: Stage, earlier: dict[str, tuple[str, Any]]) -> tuple[str, str]:
    arguments = {"path": "a.txt", "content": "new"}
    seen = hands(stage, earlier=earlier).recall("abc234", "write_file", arguments, 60.0)
    return seen.status, seen.text


def was_made(stage: Stage) -> bool:
    return (stage.folder / "a.txt").exists()


@pytest.mark.parametrize(
    ("status", "outcome", "told"),
    [
        ("returned", {"path": "a.txt"}, '{"path": "a.txt"}'),
        ("retry", "name a file", "did not work, correct the call: name a file"),
        ("failed", "the disk is full", "failed, the same call will fail again: the disk is full"),
    ],
)
def test_what_came_of_a_call_that_ended_is_on_record_and_it_is_not_made_again(
    stage: Stage, status: str, outcome: Any, told: str
) -> None:
    found, text = recalled(stage, {"abc234": (status, outcome)})

    assert found == status
    assert told in text
    assert not was_made(stage)
    assert stage.diary.calls == {}


@pytest.mark.parametrize("status", ["running", "cancelled"])
def test_of_a_call_that_was_interrupted_nobody_knows_what_it_did(stage: Stage, status: str) -> None:
    found, text = recalled(stage, {"abc234": (status, None)})

    assert found == "unverified"
    assert "effect unverified" in text
    assert not was_made(stage)


def test_a_call_that_never_reached_the_tool_is_made_now(stage: Stage) -> None:
    found, _ = recalled(stage, {"other1": ("returned", None)})

    assert found == "returned"
    assert was_made(stage)
    assert [*stage.diary.calls] == ["abc234"]


def test_a_call_that_waited_for_a_person_is_made_again_under_another_id(stage: Stage) -> None:
    found, _ = recalled(stage, {"abc234": ("needs_approval", "a person has to answer")})

    assert found == "returned"
    assert was_made(stage)
    (again,) = stage.diary.calls
    assert again != "abc234"


def test_and_that_one_is_not_made_twice_either(stage: Stage) -> None:
    first = hands(stage, earlier={"abc234": ("needs_approval", "?")})
    first.recall("abc234", "write_file", {"path": "a.txt", "content": "new"}, 60.0)
    (again,) = stage.diary.calls
    (stage.folder / "a.txt").unlink()

    found, _ = recalled(
        stage, {"abc234": ("needs_approval", "?"), again: ("returned", {"path": "a.txt"})}
    )

    assert found == "returned"
    assert not was_made(stage)


# -- what is missing -------------------------------------------------------------------------------


def test_files_that_a_text_names_and_that_are_not_there(stage: Stage) -> None:
    stage.file("a.txt", "x")
    missing = hands(stage).folder.missing

    assert missing("Read a.txt and write data/b.csv, b.md.", []) == ["data/b.csv", "b.md"]
    assert missing("Write b.md", ["it was named b.md once"]) == []
    assert missing("Fetch https://example.org/a.html e.g. in 3.5 s", []) == []


@pytest.mark.parametrize(
    ("tool", "changes"), [("read_file", False), ("fetch_url", False), ("write_file", True)]
)
def test_which_tools_change_files(stage: Stage, tool: str, changes: bool) -> None:
    assert hands(stage).changes(tool) is changes


def test_a_long_table_is_for_programs(stage: Stage) -> None:
    stage.file("long.csv", "a,b\n" + "1,2\n" * 400)
    stage.file("short.csv", "a,b\n1,2\n")
    stage.file("a.txt", "A text")

    with_programs = hands(stage, "read_file", "run_python").schema(
        "read_file", set(), ["Sum up"], computing
    )
    without = hands(stage, "read_file").schema("read_file", set(), ["Sum up"], computing)

    assert fits(with_programs, path="short.csv")
    assert fits(with_programs, path="a.txt")
    assert not fits(with_programs, path="long.csv")
    assert fits(without, path="long.csv")


def test_where_there_are_only_long_tables_there_is_nothing_to_read(stage: Stage) -> None:
    stage.file("long.csv", "a,b\n" + "1,2\n" * 400)

    assert (
        hands(stage, "read_file", "run_python").schema("read_file", set(), ["Sum up"], computing)
        is None
    )


def test_a_question_looks_for_its_words_and_a_task_that_changes_files_sees_their_names(
    stage: Stage,
) -> None:
    stage.file("a.txt", "The rent is 1,150.\n" + "Nothing. " * 200)
    there = hands(stage, "list_files", "search_files", "run_python")

    names = ("list_files", {"recursive": True, "first_lines": True})
    assert looks(there) == [("search_files", {"pattern": "What is the rent"})]
    assert looks(there, kind="change") == [("search_files", {"pattern": "."})]
    assert looks(there, kind="compute") == [names], "lines are counted in all of a file"
    stage.file("b.txt", "Nothing. " * 200)
    assert looks(there, kind="change") == [names]
    stage.file("c.csv", "a,b")
    assert looks(there) == [names]


def test_short_files_that_a_task_names_are_read_first(stage: Stage) -> None:
    stage.file("one.py", "a = 1\n" * 50)
    stage.file("two.py", "b = 2\n" * 50)
    stage.file("three.py", "c = 3\n" * 900)
    stage.file("long.csv", "a,b\n" * 400)
    there = hands(stage, "list_files", "read_file", "run_python")

    task = "Mend one.py so that two.py passes; not phone.py, nor one.pyc"
    assert looks(there, task, "change") == [
        ("read_file", {"path": "one.py"}),
        ("read_file", {"path": "two.py"}),
    ]
    for task in ("Mend three.py", "Mend long.csv", "Mend it", "Rename all, one.py to 1.py"):
        ((tool, _),) = looks(there, task, "change")
        assert tool == "list_files"


def test_a_question_about_a_page_sees_the_whole_of_it(stage: Stage) -> None:
    stage.file("a.txt", "The rent is 1,150.")

    assert looks(hands(stage, "search_files")) == [("search_files", {"pattern": "."})]


SITE = "The site of the club is at https://example.org/ (all of it). When does it meet?"


def test_a_question_about_a_site_looks_for_its_words_there(stage: Stage) -> None:
    there = hands(stage, "search_site", "fetch_url", "read_file")

    question = "The site of the club is at (all of it). When does it meet?"
    assert looks(there, SITE) == [
        ("search_site", {"url": "https://example.org/", "question": question})
    ]
    assert looks(there, "When does it meet?") == []
    assert looks(there, "https://example.org/") == []
    assert looks(hands(stage, "fetch_url", "read_file"), SITE) == []


def test_where_there_are_files_these_come_first(stage: Stage) -> None:
    stage.file("a.txt", "The club.")

    assert looks(hands(stage, "search_site", "read_file"), SITE) == []
    first = looks(hands(stage, "search_site", "search_files"), SITE)
    assert first == [("search_files", {"pattern": "."})]


def test_a_site_is_searched_where_an_address_was_seen_and_for_a_question_that_ends(
    stage: Stage,
) -> None:
    schema = hands(stage, "search_site").schema("search_site", set(), [SITE], computing)

    assert fits(schema, url="https://example.org/", question="When?")
    assert not fits(schema, url="https://example.com/", question="When?")
    assert not fits(schema, url="https://example.org/", question="When? " * 100)
