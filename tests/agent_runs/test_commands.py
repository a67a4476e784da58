"""`agentkit agent` and `agentkit runs`, as far as no model has to be there."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from agentkit.cancel import CancelToken
from agentkit.cli import agent as agent_command
from agentkit.cli import agent_view
from agentkit.cli.agent_view import Picture
from agentkit.cli.runs import act, look
from agentkit.errors import Paused
from agentkit.runtime import Wish

from .conftest import Command
from .scripted import Asked, Call, Play, ScriptedRuntime, diary

Opened = Callable[..., ScriptedRuntime]
Post = Callable[..., None]

PLAY = Play(
    lambda about: [("calculate", {"expression": "40 + 2"})], result=lambda about: "It is 42."
)


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> list[ScriptedRuntime]:
    """The commands use a scripted runtime; those that were made."""
    made: list[ScriptedRuntime] = []

    def runtime(**_: object) -> ScriptedRuntime:
        made.append(ScriptedRuntime(PLAY))
        return made[-1]

    for module in (agent_command, act, look):
        monkeypatch.setattr(module, "Runtime", runtime)
    return made


# -- what cannot begin ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said", "hint"),
    [
        (["", "--no-memory"], "an agent needs an objective, and this one is empty", ""),
        (["  \n "], "an agent needs an objective, and this one is empty", ""),
        (
            ["Do it", "-t", "read_fil"],
            "no tool named 'read_fil'. did you mean \"read_file\"?",
            "agentkit tools list",
        ),
        (
            ["Do it", "-b", "nonsense"],
            "-b nonsense: write it as LIMIT=NUMBER; the limits are tasks, steps, steps_per_task, "
            "attempts, tokens, seconds",
            "",
        ),
        (
            ["Do it", "-b", "steps=0"],
            "-b steps=0: write it as LIMIT=NUMBER; the limits are tasks, steps, steps_per_task, "
            "attempts, tokens, seconds",
            "",
        ),
        (
            ["Do it", "-b", "money=5"],
            "-b money=5: write it as LIMIT=NUMBER; the limits are tasks, steps, steps_per_task, "
            "attempts, tokens, seconds",
            "",
        ),
    ],
)
def test_one_sentence_says_what_is_wrong(
    agentkit: Command, isolated_home: Path, arguments: list[str], said: str, hint: str
) -> None:
    code, out, err = agentkit("agent", *arguments)

    assert (code, out) == (2, "")
    assert err == f"error: {said}\n" + (f"hint:  {hint}\n" if hint else "")
    assert not (isolated_home / "runs").exists()


def test_a_model_that_is_not_there_is_told_with_what_to_do(agentkit: Command) -> None:
    code, out, err = agentkit("agent", "Do it", "--model", "gpt-nonsense")
    assert (code, out) == (2, "")
    assert err.startswith("error: no model named 'gpt-nonsense'.")
    assert err.endswith("hint:  agentkit models list\n")


def test_a_model_that_was_not_pulled_is_told_with_the_command(agentkit: Command) -> None:
    code, out, err = agentkit("agent", "Do it")
    assert (code, out) == (1, "")
    name = err.split("'")[1]
    assert err == (
        f"error: the model '{name}' is not on this machine yet\n"
        f"hint:  agentkit models pull {name}\n"
    )


@pytest.mark.parametrize("name", ["nowhere", "file"])
def test_a_folder_that_is_none_is_refused(agentkit: Command, tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("no folder")
    code, out, err = agentkit("agent", "Do it", "-f", str(tmp_path / name))
    assert (code, out) == (2, "")
    assert str(tmp_path / name) in err


def test_a_check_that_is_no_expression_is_shown(agentkit: Command) -> None:
    code, out, err = agentkit("agent", "Do it", "--check", "answer ==")
    assert (code, out) == (2, "")
    assert "[bad-expression]" in err


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("{nonsense", "bill.json:1:1: this { is never closed"),
        ("[1]", "bill.json:1:1: a schema says how answers look"),
        ('{"type": "objekt"}', 'bill.json:1:10: "objekt" is no type of JSON Schema'),
        ("\xff", "bill.json:1:1: "),
    ],
)
def test_a_schema_that_is_none_is_told_before_anything_begins(
    agentkit: Command, tmp_path: Path, isolated_home: Path, written: str, said: str
) -> None:
    file = tmp_path / "bill.json"
    file.write_text(written, encoding="latin-1")

    code, out, err = agentkit("agent", "Do it", "--schema", str(file))

    assert (code, out) == (2, "")
    assert said in err
    assert not (isolated_home / "runs").exists()


# -- what is done --------------------------------------------------------------------------------


@pytest.mark.usefixtures("scripted")
def test_the_answer_is_all_of_stdout(agentkit: Command) -> None:
    code, out, err = agentkit("agent", "How much is 40 + 2?", "-t", "calculate", "--no-memory")
    assert (code, out, err) == (0, "It is 42.\n", "")


@pytest.mark.usefixtures("scripted")
def test_events_are_lines_of_json(agentkit: Command) -> None:
    code, out, err = agentkit(
        "agent", "How much is 40 + 2?", "-t", "calculate", "--no-memory", "--json", "-b", "steps=3"
    )
    assert (code, err) == (0, "")
    events = [json.loads(line) for line in out.splitlines()]
    kinds = [event["kind"] for event in events]
    assert (kinds[0], kinds[-1]) == ("RunStarted", "RunFinished")
    (start,) = (event for event in events if event["kind"] == "AgentStarted")
    assert start["budget"]["steps"] == 3
    assert events[-1]["outputs"] == {"answer": "It is 42.", "reason": "done"}


@pytest.mark.usefixtures("scripted")
def test_a_folder_is_where_it_works(
    agentkit: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def calls(about: Asked) -> list[Call]:
        return [("write_file", {"path": "a.md", "content": "written"})]

    here = tmp_path / "here"
    here.mkdir()
    command = ("agent", "Write a.md", "-f", str(here), "-t", "write_file", "--no-memory")
    monkeypatch.setattr(PLAY, "calls", calls)

    code, _, err = agentkit(*command)

    assert (code, err) == (0, "")
    assert (here / "a.md").read_text() == "written"


@pytest.mark.usefixtures("scripted")
def test_an_answer_with_a_schema_is_data(
    agentkit: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "sum.json"
    schema = {"type": "object", "properties": {"sum": {"type": "integer"}}, "required": ["sum"]}
    file.write_text(json.dumps(schema))
    monkeypatch.setattr(PLAY, "answer", lambda about: {"sum": 42})

    code, out, err = agentkit(
        "agent", "How much is 40 + 2?", "-t", "calculate", "--no-memory", "--schema", str(file)
    )

    assert (code, err) == (0, "")
    assert json.loads(out) == {"sum": 42}


def test_a_check_that_asks_is_a_question_to_the_model(
    agentkit: Command, scripted: list[ScriptedRuntime]
) -> None:
    checks = ("--check", "'42' in answer", "--check", "Is it a number? ")

    code, out, err = agentkit("agent", "How much is 40 + 2?", "-t", "calculate", *checks)

    assert (code, out, err) == (0, "It is 42.\n", "")
    asked = [
        about.values["question"] for about in scripted[0].player.asked if about.phase == "check"
    ]
    assert [question.strip() for question in asked] == ["Is it a number?"]


@pytest.mark.parametrize("options", [(), ("--no-reflection",)])
def test_without_reflection_it_tries_again_and_learns_nothing(
    agentkit: Command, scripted: list[ScriptedRuntime], options: tuple[str, ...]
) -> None:
    code, out, _ = agentkit(
        "agent", "How much is 40 + 2?", "-t", "calculate", "--no-memory", "--json", *options,
        "--check", "answer == 'gold'",
    )  # fmt: skip

    assert code == 0
    kinds = [json.loads(line)["kind"] for line in out.splitlines()]
    assert kinds.count("CheckFailed") == 2
    assert kinds.count("LessonLearned") == (0 if options else 2)
    lessons = [about for about in scripted[0].player.asked if about.phase == "lesson"]
    assert bool(lessons) is not bool(options)


# -- agentkit runs -------------------------------------------------------------------------------


@pytest.fixture
def parked(opened: Opened, post: Post, tmp_path: Path) -> str:
    """A run with three tasks, of which one is done, that somebody has paused; its id."""
    done: list[bool] = []

    def calls(about: Asked) -> list[Call]:
        return [("append_line", {"text": about.task.split()[1]})]

    def more(about: Asked) -> list[str]:
        if not done:
            done.append(True)
            post("pause")
        return ["Note two", "Note three"] if about.values["done"].count("\n") == 0 else []

    play = Play(calls, result=lambda about: "It is noted.", more=more)
    runtime = opened(play, *diary(tmp_path / "diary.txt"))
    wish = Wish(tools=("append_line",), memory=False)
    with pytest.raises(Paused):
        runtime.pursue(runtime.agent(wish), "Note one", None)
    return runtime.journal.run("last").id


def test_tasks_are_listed(agentkit: Command, parked: str) -> None:
    code, out, err = agentkit("runs", "tasks", parked[:-1])
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "t1   done     Note one",
        "t2   open     Note two",
        "t3   open     Note three",
    ]


def test_a_run_that_is_parked_can_be_told_what_to_do_when_it_goes_on(
    agentkit: Command, parked: str, opened: Opened, tmp_path: Path
) -> None:
    assert agentkit("runs", "note", "last", "Be quick.") == (0, "", "")
    assert agentkit("runs", "tasks", "last", "--add", "Note four", "--drop", "t2") == (0, "", "")
    assert agentkit("runs", "tasks", "last", "--order", "t4,t3") == (0, "", "")
    play = Play(
        lambda about: [("append_line", {"text": about.task.split()[1]})],
        result=lambda about: "It is noted.",
    )

    opened(play, *diary(tmp_path / "diary.txt")).resume(parked)

    assert (tmp_path / "diary.txt").read_text().split() == ["one", "four", "three"]


@pytest.mark.usefixtures("scripted")
def test_a_run_that_is_over_hears_nothing(agentkit: Command) -> None:
    agentkit("agent", "How much is 40 + 2?", "-t", "calculate", "--no-memory")
    run = agentkit("runs", "list")[1].split()[0]
    refused = (2, "", f"error: the run {run} is over (succeeded): nobody listens\n")

    assert agentkit("runs", "note", "last", "hello") == refused
    assert agentkit("runs", "pause", "last") == refused
    assert agentkit("runs", "cancel", "last") == refused
    assert agentkit("runs", "tasks", "last", "--add", "more") == refused


@pytest.mark.parametrize("command", [["note", "x", "hello"], ["pause", "x"], ["tasks", "x"]])
def test_a_run_that_never_was_is_told(agentkit: Command, command: list[str]) -> None:
    code, out, err = agentkit("runs", *command)
    assert (code, out) == (2, "")
    assert err == "error: no run named 'x'.\nhint:  agentkit runs list\n"


def test_a_run_without_an_agent_has_no_tasks(agentkit: Command) -> None:
    agentkit("tools", "call", "now")
    assert agentkit("runs", "tasks", "last") == (0, "no agent worked in this run\n", "")


@pytest.mark.usefixtures("scripted")
def test_what_a_paused_command_says(
    agentkit: Command, post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is parked, and the next command is beside it."""

    def pause(about: Asked, cancel: CancelToken) -> None:
        if about.phase == "move":
            post("pause")

    with monkeypatch.context() as patch:
        patch.setattr(PLAY, "slow", pause)
        code, out, err = agentkit("agent", "How much is 40 + 2?", "-t", "calculate", "--no-memory")

    run = agentkit("runs", "list")[1].split()[0]
    assert (code, out) == (3, "")
    assert err == f"parked: paused\nhint:  agentkit runs resume {run}\n"
    code, out, _ = agentkit("runs", "resume", "last")
    assert code == 0
    assert json.loads(out) == {"answer": "It is 42.", "reason": "done"}


@pytest.mark.usefixtures("scripted")
def test_an_agent_that_goes_on_is_drawn_with_all_that_it_has_told(
    agentkit: Command, post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pause(about: Asked, cancel: CancelToken) -> None:
        if about.phase == "move":
            post("pause")

    with monkeypatch.context() as patch:
        patch.setattr(PLAY, "slow", pause)
        agentkit("agent", "How much is 40 + 2?", "-t", "calculate", "--no-memory", "-b", "steps=7")
    picture = Picture()
    monkeypatch.setattr(agent_view, "Picture", lambda: picture)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)

    code, _, err = agentkit("runs", "resume", "last")

    assert code == 0, err
    assert picture.budget["steps"] == 7
    assert picture.tasks == {"t1": ("done", "How much is 40 + 2?")}
