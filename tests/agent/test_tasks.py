"""The list: ids for life, nothing twice, no more than there is room for, and only permutations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentkit.agent.tasks import Limits, Task, TaskList, by_words

WORDS = st.text("abcdefgh ", min_size=1, max_size=12)


def listed(*texts: str, limits: Limits | None = None) -> TaskList:
    tasks = TaskList(limits=limits or Limits())
    for text in texts:
        (task,), refused = tasks.considered([text], None)
        assert not refused
        tasks = tasks.added(task)
    return tasks


def refusals(tasks: TaskList, *texts: str, parent: str | None = None) -> list[str]:
    return [refusal.reason for refusal in tasks.considered(texts, parent)[1]]


def chain(length: int) -> TaskList:
    """Tasks of tasks: t1, t2 after t1, ..."""
    tasks = TaskList()
    for number in range(1, length + 1):
        parent = f"t{number - 1}" if number > 1 else None
        tasks = tasks.added(Task(f"t{number}", f"step {number}", parent))
    return tasks


# -- ids -------------------------------------------------------------------------------------------


def test_a_task_keeps_its_id_when_others_are_over_and_no_id_comes_twice() -> None:
    tasks = listed("one", "two")
    tasks = tasks.changed(replace(tasks["t1"], status="done"))
    (third,), _ = tasks.considered(["three"], None)

    assert third.id == "t3"
    assert tasks["t1"].text == "one"
    assert [task.id for task in tasks.added(third).tasks] == ["t1", "t2", "t3"]


def test_the_next_task_is_the_first_in_the_order() -> None:
    tasks = listed("one", "two")

    assert tasks.next == tasks["t1"]
    assert tasks.ordered(["t2", "t1"]).next == tasks["t2"]
    assert TaskList().next is None


def test_a_task_that_runs_stays_in_the_order_and_one_that_is_over_leaves_it() -> None:
    tasks = listed("one", "two")

    assert tasks.changed(replace(tasks["t1"], status="running")).order == ("t1", "t2")
    for status in ("done", "failed", "dropped"):
        assert tasks.changed(replace(tasks["t1"], status=status)).order == ("t2",)


# -- what is taken ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "again",
    [
        "Read notes.txt",
        "read the notes.txt",
        "NOTES.TXT read",
        "  read\n notes.txt ",
        "read notes.txt!",
    ],
)
def test_the_same_words_in_another_dress_are_the_same_task(again: str) -> None:
    assert refusals(listed("Read notes.txt"), again) == ["it is there already: Read notes.txt"]


@pytest.mark.parametrize(
    "other", ["Read notes.md", "Read notes", "Read data/notes.txt", "Write notes.txt"]
)
def test_what_differs_in_a_name_is_another_task(other: str) -> None:
    assert refusals(listed("Read notes.txt"), other) == []


def test_addresses_and_paths_are_compared_as_they_are() -> None:
    tasks = listed("Fetch https://example.org/a?b=1")

    assert refusals(tasks, "Fetch https://example.org/a/b=1") == []
    assert tasks["t1"].text == "Fetch https://example.org/a?b=1"


def test_two_proposals_with_the_same_words_are_one() -> None:
    taken, refused = TaskList().considered(["Look at it", "look at IT"], None)

    assert [task.text for task in taken] == ["Look at it"]
    assert [refusal.text for refusal in refused] == ["look at IT"]


def test_what_was_done_or_dropped_is_not_proposed_again() -> None:
    tasks = listed("one thing")
    for status in ("done", "failed", "dropped"):
        over = tasks.changed(replace(tasks["t1"], status=status))
        assert refusals(over, "One thing") == ["it is there already: one thing"]


def test_the_meaning_decides_where_the_words_do_not() -> None:
    asked: list[tuple[str, Sequence[str]]] = []

    def similar(text: str, others: Sequence[str]) -> str | None:
        asked.append((text, others))
        return "Count the rows" if "lines" in text else None

    taken, refused = listed("Count the rows").considered(
        ["How many lines are there?", "Name the columns"], None, similar
    )

    assert [task.text for task in taken] == ["Name the columns"]
    assert [refusal.reason for refusal in refused] == ["it is there already: Count the rows"]
    assert all("Count the rows" in others for _, others in asked)


@pytest.mark.parametrize("nothing", ["", "  ", "...", "and then also", "-"])
def test_a_proposal_that_says_nothing_is_refused(nothing: str) -> None:
    assert refusals(TaskList(), nothing) == ["it says nothing"]


def test_so_many_are_taken_at_a_time() -> None:
    tasks = TaskList(limits=Limits(proposed=2))

    assert refusals(tasks, "one", "two", "three") == ["2 are taken at a time"]


def test_a_list_has_an_end() -> None:
    tasks = listed("one", "two", limits=Limits(total=3))

    taken, refused = tasks.considered(["three", "four"], None)

    assert [task.text for task in taken] == ["three"]
    assert [refusal.reason for refusal in refused] == ["a list has 3 tasks at most"]


def test_tasks_that_are_over_count_for_the_end_of_the_list() -> None:
    tasks = listed("one", "two", limits=Limits(total=2))
    over = tasks.changed(replace(tasks["t1"], status="done"))

    assert refusals(over, "three") == ["a list has 2 tasks at most"]


def test_tasks_of_tasks_go_so_deep() -> None:
    tasks = chain(4)

    assert [tasks.depth(task) for task in tasks.tasks] == [0, 1, 2, 3]
    assert refusals(tasks, "a new one", parent="t3") == []
    assert refusals(tasks, "a new one", parent="t4") == ["tasks of tasks go 3 deep"]


@settings(deadline=None)
@given(
    known=st.lists(WORDS, max_size=6),
    proposed=st.lists(WORDS, max_size=8),
    limits=st.builds(
        Limits, total=st.integers(0, 8), depth=st.integers(0, 3), proposed=st.integers(0, 4)
    ),
)
def test_whatever_is_proposed_is_taken_or_refused_and_the_limits_hold(
    known: list[str], proposed: list[str], limits: Limits
) -> None:
    tasks = TaskList(limits=limits)
    for text in known:
        for task in tasks.considered([text], None)[0]:
            tasks = tasks.added(task)
    taken, refused = tasks.considered(proposed, None)
    for task in taken:
        tasks = tasks.added(task)

    assert len(taken) + len(refused) == len(proposed)
    assert len(taken) <= limits.proposed
    assert len(tasks.tasks) <= limits.total
    texts = [task.text for task in tasks.tasks]
    assert all(by_words(text, texts[:at]) is None for at, text in enumerate(texts))
    assert len({task.id for task in tasks.tasks}) == len(tasks.tasks)


# -- the order -------------------------------------------------------------------------------------


@pytest.mark.parametrize("names", [[], ["t1"], ["t1", "t1"], ["t1", "t2", "t2"], ["t1", "t3"]])
def test_what_is_no_permutation_of_the_open_ids_is_refused(names: list[str]) -> None:
    tasks = listed("one", "two")

    with pytest.raises(ValueError, match="is no order of t1, t2"):
        tasks.ordered(names)


@settings(deadline=None)
@given(data=st.data(), count=st.integers(1, 6))
def test_every_permutation_is_an_order_and_keeps_all_tasks(data: st.DataObject, count: int) -> None:
    tasks = TaskList()
    for number in range(1, count + 1):
        tasks = tasks.added(Task(f"t{number}", f"step {number}"))
    names = data.draw(st.permutations(tasks.order))
    ordered = tasks.ordered(names)

    assert list(ordered.order) == names
    assert ordered.tasks == tasks.tasks


@settings(deadline=None)
@given(names=st.lists(st.sampled_from(["t1", "t2", "t3", "t4"]), max_size=5))
def test_an_order_is_a_permutation_or_an_error(names: list[str]) -> None:
    tasks = listed("one", "two", "three")
    if sorted(names) == ["t1", "t2", "t3"]:
        assert list(tasks.ordered(names).order) == names
    else:
        with pytest.raises(ValueError, match="is no order"):
            tasks.ordered(names)
