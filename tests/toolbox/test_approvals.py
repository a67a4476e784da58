"""A person is asked once for each call; an answer counts for that call and for no other."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import AfterValidator, BaseModel, SecretStr

from agentkit import ToolContext, tool
from agentkit.cancel import CancelToken
from agentkit.errors import ApprovalNeeded, Cancelled, ToolError, UserError
from agentkit.journal import Journal
from agentkit.outcomes import Failed, NeedsApproval, Retry, Returned
from agentkit.permissions import Access, ReadPath, Request, Rule, Url, WritePath
from agentkit.testing import ScriptedDesk
from agentkit.toolbox.approvals import Approvals, nobody, settle, standing_answer
from agentkit.toolbox.grants import Grants

from .calls import Person, door

READ = Access("reads", "/home/x/notes/a.md")


@tool(effects=("reads",))
def look(path: ReadPath, deep: bool = False) -> str:
    """Look."""
    return f"{path.name} {deep}"


@tool(effects=("executes",))
def work(task: str = "") -> str:
    """Work."""
    return f"did {task}"


def approvals(*answers: str, desk: ScriptedDesk | None = None) -> tuple[Approvals, Person]:
    person = Person(*answers)
    return Approvals(desk or ScriptedDesk(), person, "run-1"), person


def allowed(asked: Approvals, arguments: dict[str, Any] | None = None, *accesses: Access) -> bool:
    return asked.allows("t", arguments or {}, accesses or (READ,), CancelToken())


# -- answers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "yes", "rules"),
    [
        ("once", True, []),
        ("no", False, []),
        ("always", True, [Rule("t", "reads", "/home/x/notes", "allow")]),
        ("never", False, [Rule("t", "reads", "/home/x/notes", "deny")]),
    ],
)
def test_the_four_answers(answer: str, yes: bool, rules: list[Rule]) -> None:
    asked, person = approvals(answer)
    assert allowed(asked) is yes
    assert list(asked.rules()) == rules
    assert (person.asked[0].accesses, person.asked[0].run) == ((READ,), "run-1")


@pytest.mark.parametrize("answer", ["yes", "Once", "", "allow", "once ", "y"])
def test_anything_else_is_no_answer(answer: str) -> None:
    asked, _ = approvals(answer)
    with pytest.raises(UserError, match="is no answer to this: once, always, no, never"):
        allowed(asked)
    assert list(asked.rules()) == []


def test_where_nobody_is_there_the_question_stays_on_record() -> None:
    desk = ScriptedDesk()
    asked = Approvals(desk, nobody, "run-1")
    with pytest.raises(ApprovalNeeded) as caught:
        allowed(asked, {"a": 1})
    request = desk.requests[caught.value.request]
    assert (request.tool, request.arguments, request.answer) == ("t", {"a": 1}, None)
    assert str(caught.value) == f"t needs approval: it would read {READ.what}"
    assert caught.value.hint == f"agentkit approvals show {request.id}"


def test_an_answer_from_elsewhere_counts_when_the_call_comes_again() -> None:
    desk = ScriptedDesk()
    asked = Approvals(desk, nobody, "run-1")
    with pytest.raises(ApprovalNeeded) as first:
        allowed(asked)
    with pytest.raises(ApprovalNeeded) as second:
        allowed(asked)
    assert first.value.request == second.value.request
    settle(desk, desk.requests[first.value.request], "once")
    assert allowed(asked)
    with pytest.raises(ApprovalNeeded) as third:
        allowed(asked)
    assert third.value.request != first.value.request


def test_a_no_from_elsewhere_counts_once_too() -> None:
    desk = ScriptedDesk()
    asked = Approvals(desk, nobody, "run-1")
    with pytest.raises(ApprovalNeeded) as first:
        allowed(asked)
    settle(desk, desk.requests[first.value.request], "no")
    assert not allowed(asked)
    with pytest.raises(ApprovalNeeded):
        allowed(asked)


def test_an_answer_does_not_count_for_another_call() -> None:
    """Other arguments, another thing that it would touch, another tool, another run."""
    desk = ScriptedDesk()
    asked = Approvals(desk, nobody, "run-1")
    with pytest.raises(ApprovalNeeded) as needed:
        allowed(asked, {"a": 1})
    settle(desk, desk.requests[needed.value.request], "once")
    others: list[Callable[[], object]] = [
        lambda: allowed(asked, {"a": 2}),
        lambda: allowed(asked, {"a": "1"}),
        lambda: allowed(asked, {"a": 1, "b": None}),
        lambda: allowed(asked, {"a": 1}, Access("reads", "/etc/passwd")),
        lambda: allowed(asked, {"a": 1}, Access("writes", READ.what)),
        lambda: allowed(asked, {"a": 1}, READ, READ),
        lambda: asked.allows("t2", {"a": 1}, (READ,), CancelToken()),
        lambda: allowed(Approvals(desk, nobody, "run-2"), {"a": 1}),
        lambda: asked.text("t", "a", (), CancelToken()),
    ]
    for other in others:
        with pytest.raises(ApprovalNeeded):
            other()
    assert allowed(asked, {"a": 1})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": ["x", "y"]}, {"a": ["y", "x"]}),
        ({"a": "x, y"}, {"a": ["x", "y"]}),
        ({"a": {"b": 1}}, {"a": {"b": 1, "c": None}}),
        ({"a": True}, {"a": 1}),
        ({"a": "null"}, {"a": None}),
        ({"a": "\u00e9"}, {"a": "e\u0301"}),
    ],
)
def test_calls_that_look_alike_are_not_the_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    desk = ScriptedDesk()
    asked = Approvals(desk, nobody, "run-1")
    for arguments in (one, other):
        with pytest.raises(ApprovalNeeded):
            allowed(asked, arguments)
    assert len(desk.requests) == 2


def test_the_order_of_arguments_makes_no_other_call() -> None:
    desk = ScriptedDesk()
    asked = Approvals(desk, nobody, "run-1")
    for arguments in ({"a": 1, "b": 2}, {"b": 2, "a": 1}):
        with pytest.raises(ApprovalNeeded):
            allowed(asked, arguments)
    assert len(desk.requests) == 1


class Mute:
    """An argument that cannot be shown."""

    def __str__(self) -> str:
        raise RuntimeError("no")

    __repr__ = __str__


@pytest.mark.parametrize("argument", [object(), Mute(), {1, Mute()}, b"\xff", lambda: 1])
def test_what_a_person_cannot_see_a_person_cannot_allow(argument: Any) -> None:
    desk = ScriptedDesk()
    with pytest.raises(ToolError, match="its arguments cannot be shown to a person"):
        allowed(Approvals(desk, Person("once"), "run-1"), {"a": argument})
    assert desk.requests == {}


def test_an_argument_without_end_cannot_be_allowed() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(ToolError, match="cannot be shown"):
        allowed(approvals("once")[0], {"a": endless})


def test_a_person_sees_what_is_written_and_what_goes_without_saying(tmp_path: Path) -> None:
    opened = door(tmp_path, look, answers=["once", "once"])
    opened("look", path="/etc/passwd")
    opened.say("look", '{"path": "/etc/../etc/passwd", "deep": null}')
    assert [request.arguments for request in opened.person.asked] == [
        {"path": "/etc/passwd", "deep": False},
        {"path": "/etc/../etc/passwd", "deep": False},
    ]
    assert {request.accesses for request in opened.person.asked} == {
        (Access("reads", "/etc/passwd"),)
    }


class Login(BaseModel):
    user: str
    password: SecretStr


def test_arguments_that_hide_in_print_are_told_apart(tmp_path: Path) -> None:
    """A secret prints as stars: two of them would be one call."""

    @tool(effects=("spends",))
    def pay(login: Login) -> str:
        """Pay."""
        return login.password.get_secret_value()

    desk = ScriptedDesk()
    opened = door(tmp_path, pay, desk=desk)
    needed = opened("pay", login={"user": "a", "password": "one"})
    assert isinstance(needed, NeedsApproval)
    settle(desk, desk.requests[needed.request], "once")
    assert isinstance(opened("pay", login={"user": "a", "password": "two"}), NeedsApproval)
    assert opened("pay", login={"user": "a", "password": "one"}) == Returned("one")


# -- always, never ---------------------------------------------------------------------------------


def test_always_is_not_asked_again_for_its_folder_and_is_for_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/somewhere")
    for name in ("notes", "notes-private", "other"):
        (tmp_path / name).mkdir()
    desk = ScriptedDesk()
    opened = door(tmp_path, look, desk=desk, answers=["always"])
    assert opened("look", path="../notes/a.md").status == "returned"
    assert opened("look", path="../notes/b/c.md").status == "returned"
    for path in ("../notes-private/a.md", "../other/a.md", "../notes/../other/a", "../notes/.env"):
        assert opened("look", path=path).status == "needs_approval", path
    assert len(opened.person.asked) == 5


def test_never_is_never_asked_again(tmp_path: Path) -> None:
    opened = door(tmp_path, work, answers=["never", "always"])
    assert isinstance(opened("work", task="a"), Failed)
    second = opened("work", task="b")
    assert isinstance(second, Failed)
    assert "a person said never" in second.reason
    assert len(opened.person.asked) == 1


def test_always_is_remembered_of_what_was_open_and_of_nothing_else(tmp_path: Path) -> None:
    @tool(effects=("reads", "writes", "network"))
    def copy(source: ReadPath, target: WritePath, url: Url) -> None:
        """Copy."""

    (tmp_path / "granted").mkdir()
    desk = ScriptedDesk()
    grants = Grants(read=(tmp_path / "granted",))
    opened = door(tmp_path, copy, desk=desk, grants=grants, answers=["always"])
    opened("copy", source="../granted/a", target="/srv/b/c", url="https://example.org/x")
    assert set(desk.rules()) == {
        Rule("copy", "writes", "/srv/b", "allow"),
        Rule("copy", "network", "example.org:443", "allow"),
    }


def test_what_always_means_is_said_in_words() -> None:
    request = Request("id", "run", "t", {}, "key", (READ, READ, Access("executes")), None)  # type: ignore[arg-type]
    assert standing_answer(request) == "t may read /home/x/notes, run code"


# -- questions in words ----------------------------------------------------------------------------


def test_a_question_has_an_answer_in_words() -> None:
    asked, person = approvals("blue, I think", "red")
    assert asked.text("ask_user", "Which?", (), CancelToken()) == "blue, I think"
    assert asked.text("ask_user", "Which?", ("red", "blue"), CancelToken()) == "red"
    assert [request.choices for request in person.asked] == [(), ("red", "blue")]


def test_an_answer_is_one_of_the_choices() -> None:
    with pytest.raises(UserError, match=r"'rde' is no answer to this: red, blue\. did you mean"):
        approvals("rde")[0].text("ask_user", "Which?", ("red", "blue"), CancelToken())


def test_the_same_question_with_other_choices_is_another_one() -> None:
    desk = ScriptedDesk()
    asked = Approvals(desk, nobody, "run-1")
    with pytest.raises(ApprovalNeeded) as needed:
        asked.text("ask_user", "Which?", ("red", "blue"), CancelToken())
    settle(desk, desk.requests[needed.value.request], "red")
    with pytest.raises(ApprovalNeeded):
        asked.text("ask_user", "Which?", ("delete everything", "stop"), CancelToken())


@pytest.mark.parametrize("question", ["", " \n"])
def test_a_question_without_words_does_not_become_an_approval(question: str) -> None:
    asked, person = approvals("always")
    with pytest.raises(ToolError, match="a question has words in it"):
        asked.text("ask_user", question, (), CancelToken())
    assert person.asked == []


def test_no_answer_to_a_question_is_a_permission(tmp_path: Path) -> None:
    """A model that asks "May I? once / always / no / never" has got a text."""

    @tool
    def ask_user(question: str, *, context: ToolContext) -> str:
        """Ask."""
        return context.ask(question, ("once", "always", "no", "never"))

    desk = ScriptedDesk()
    opened = door(tmp_path, ask_user, work, desk=desk, answers=["always"])
    assert opened("ask_user", question="May I call work?") == Returned("always")
    assert desk.rules() == []
    assert isinstance(opened("work"), NeedsApproval)


def test_a_question_and_a_call_that_reads_the_same_are_two() -> None:
    desk = ScriptedDesk()
    asked = Approvals(desk, nobody, "run-1")
    with pytest.raises(ApprovalNeeded) as needed:
        asked.text("t", "Well?", (), CancelToken())
    settle(desk, desk.requests[needed.value.request], "once")
    with pytest.raises(ApprovalNeeded):
        asked.allows("t", {"question": "Well?", "choices": []}, (), CancelToken())


def test_a_line_for_the_tool_that_asks_is_not_answered_by_its_own_question(tmp_path: Path) -> None:
    @tool
    def ask_user(question: str, *, context: ToolContext) -> str:
        """Ask."""
        return context.ask(question)

    desk = ScriptedDesk()
    grants = Grants(tools={"ask_user": "ask"})
    opened = door(tmp_path, ask_user, desk=desk, grants=grants, answers=["once", "fine"])
    assert opened("ask_user", question="Well?") == Returned("fine")
    assert [request.question for request in opened.person.asked] == ["", "Well?"]


def test_half_characters_do_not_reach_the_record() -> None:
    asked, person = approvals("x")
    asked.text("ask_user", "what\ud800?", (), CancelToken())
    assert person.asked[0].question == "what??"


# -- several at once -------------------------------------------------------------------------------


def test_one_question_at_a_time_and_one_answer_for_each_call() -> None:
    """Two threads that would do the same each need a yes of their own."""
    at_once, most, lock = 0, 0, threading.Lock()

    def person(request: Request, cancel: CancelToken) -> str:
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        threading.Event().wait(0.01)
        with lock:
            at_once -= 1
            seen.append(request.id)
        return "once"

    seen: list[str] = []
    asked = Approvals(ScriptedDesk(), person, "run-1")
    came: list[bool] = []
    threads = [threading.Thread(target=lambda: came.append(allowed(asked))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert came == [True] * 8
    assert len(set(seen)) == 8
    assert most == 1


def test_an_answer_from_elsewhere_is_used_by_one_of_two() -> None:
    """Both have seen it before either has used it, as two processes do: with no lock in common."""

    class Slow(ScriptedDesk):
        both = threading.Barrier(2)

        def file(self, request: Request) -> Request:
            found = super().file(request)
            if found.answer:
                self.both.wait(10)
            return found

    desk = Slow()
    with pytest.raises(ApprovalNeeded) as needed:
        allowed(Approvals(desk, nobody, "run-1"))
    settle(desk, desk.requests[needed.value.request], "once")
    came: list[object] = []

    def call() -> None:
        try:
            came.append(allowed(Approvals(desk, nobody, "run-1")))
        except ApprovalNeeded:
            came.append(None)

    threads = [threading.Thread(target=call) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(came, key=str) == [None, True]


def test_who_waits_for_a_turn_can_be_cancelled() -> None:
    inside, go = threading.Event(), threading.Event()

    def person(request: Request, cancel: CancelToken) -> str:
        inside.set()
        assert go.wait(10)
        return "no"

    asked = Approvals(ScriptedDesk(), person, "run-1")
    first = threading.Thread(target=lambda: allowed(asked))
    first.start()
    assert inside.wait(10)
    cancel = CancelToken()
    cancel.cancel("enough")
    with pytest.raises(Cancelled, match="enough"):
        asked.allows("t", {}, (READ,), cancel)
    go.set()
    first.join()


def test_who_was_answered_elsewhere_in_the_meantime_has_the_first_answer() -> None:
    desk = ScriptedDesk()

    def person(request: Request, cancel: CancelToken) -> str:
        settle(desk, request, "no")  # in another terminal
        return "always"

    with pytest.raises(UserError, match="has an answer already: no"):
        allowed(Approvals(desk, person, "run-1"))
    assert desk.rules() == []


def test_an_approver_that_breaks_allows_nothing_and_lets_the_next_one_ask() -> None:
    answers: Iterator[Any] = iter([KeyboardInterrupt(), "once"])

    def person(request: Request, cancel: CancelToken) -> str:
        answer = next(answers)
        if isinstance(answer, BaseException):
            raise answer
        return str(answer)

    desk = ScriptedDesk()
    asked = Approvals(desk, person, "run-1")
    with pytest.raises(KeyboardInterrupt):
        allowed(asked)
    assert [request.answer for request in desk.requests.values()] == [None]
    assert allowed(asked)


# -- from another process --------------------------------------------------------------------------


def test_a_person_answers_later_and_from_another_process(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.sqlite")
    opened = door(tmp_path, work, desk=journal.desk)
    needed = opened("work", task="now")
    assert isinstance(needed, NeedsApproval)
    code = (
        "import sys; from pathlib import Path; from agentkit.journal import Journal; "
        "from agentkit.toolbox.approvals import settle; journal = Journal(Path(sys.argv[1])); "
        "settle(journal.desk, journal.desk.find(sys.argv[2]), 'always')"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "journal.sqlite"), needed.request]
    subprocess.run(command, check=True)
    assert opened("work", task="now") == Returned("did now")
    assert opened("work", task="later") == Returned("did later"), "always was remembered"
    journal.close()


# -- what must fail closed -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        {"path": "a\0b"},
        {"path": "~nobody-of-this-name"},
        {"path": "half \ud800"},
        {"path": "x" * 5000},
        {"path": None},
        {"path": {"a": 1}},
        {"path": ["a"]},
        {},
        {"path": Mute()},
        {"path": object()},
        '{"path": "half \\ud800"}',
        '{"path": ',
        '["/etc/passwd"]',
        '"/etc/passwd"',
        '{"path": NaN}',
        "[" * 100_000,
    ],
)
def test_arguments_that_are_malformed_are_neither_asked_about_nor_called(
    tmp_path: Path, arguments: Any
) -> None:
    called: list[object] = []

    @tool(effects=("reads",))
    def see(path: ReadPath) -> None:
        """See."""
        called.append(path)

    opened = door(tmp_path, see, grants=Grants(tools={"see": "allow"}), answers=["always"] * 3)
    outcome = opened.caller.call("see", arguments, opened.report, opened.cancel)
    assert isinstance(outcome, Retry | Failed), outcome
    assert (called, opened.person.asked) == ([], [])


def test_a_validator_that_breaks_fails_the_call(tmp_path: Path) -> None:
    def explode(value: str) -> str:
        raise KeyError("boom")

    def see(path: Annotated[str, AfterValidator(explode)]) -> None:
        """See."""

    see.__annotations__["path"] = Annotated[str, AfterValidator(explode)]
    opened = door(tmp_path, tool(see))
    outcome = opened("see", path="x")
    assert isinstance(outcome, Failed)
    assert outcome.reason == "this call of 'see' cannot be checked: 'boom'"


@pytest.mark.parametrize("url", ["http://", "http://[::1", "https://a b/", "//x", "http://x:99999"])
def test_an_address_that_cannot_be_read_is_not_asked_about(tmp_path: Path, url: str) -> None:
    @tool(effects=("network",))
    def fetch(url: Url) -> None:
        """Fetch."""

    opened = door(tmp_path, fetch, grants=Grants(hosts=("*",)), answers=["always"])
    assert isinstance(opened("fetch", url=url), Retry)
    assert opened.person.asked == []
