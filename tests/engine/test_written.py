"""What the model wrote is found again, as long as there is room for it."""

from __future__ import annotations

import threading

import pytest

from agentkit.engine.written import Written
from agentkit.messages import Message, ToolCall


def said(text: str) -> Message:
    return Message("assistant", text)


def test_a_turn_is_known_by_what_it_says() -> None:
    written = Written()
    message = Message("assistant", "text", "why", (ToolCall("id", "tool", '{"a": 1}'),))
    written.remember(message, [1, 2, 3])
    assert written.recall(message) == [1, 2, 3]
    same = Message("assistant", "text", "why", (ToolCall("other", "tool", '{"a":1}'),))
    assert written.recall(same) == [1, 2, 3]


@pytest.mark.parametrize(
    "other",
    [
        Message("assistant", "Text"),
        Message("assistant", "text", "why not"),
        Message("assistant", "text", "", (ToolCall("", "tool", "{}"),)),
        Message("assistant", "", "text"),
    ],
)
def test_whatever_says_something_else_is_another_turn(other: Message) -> None:
    written = Written()
    written.remember(said("text"), [1])
    assert written.recall(other) is None


def test_calls_that_differ_are_other_turns() -> None:
    written = Written()
    written.remember(Message("assistant", "", "", (ToolCall("", "tool", '{"a": 1}'),)), [1])
    for call in (
        ToolCall("", "tool", '{"a": 2}'),
        ToolCall("", "toll", '{"a": 1}'),
        ToolCall("", "tool", '{"a": 1'),
    ):
        assert written.recall(Message("assistant", "", "", (call,))) is None


def test_what_was_said_before_stays_as_it_was() -> None:
    written = Written()
    written.remember(said("a"), [1, 2])
    written.remember(said("a"), [3])
    assert written.recall(said("a")) == [1, 2]


def test_who_changes_the_list_changes_nothing() -> None:
    written = Written()
    tokens = [1, 2]
    written.remember(said("a"), tokens)
    tokens.append(3)
    recalled = written.recall(said("a"))
    assert recalled == [1, 2]
    recalled.append(4)
    assert written.recall(said("a")) == [1, 2]


def test_the_least_recently_used_are_forgotten_first() -> None:
    written = Written(kept_tokens=6)
    for name in "abc":
        written.remember(said(name), [0, 0])
    assert written.recall(said("a"))
    written.remember(said("d"), [0, 0, 0])
    assert [name for name in "abcd" if written.recall(said(name))] == ["a", "d"]


def test_what_is_too_long_or_empty_is_not_kept_and_displaces_nothing() -> None:
    written = Written(kept_tokens=3)
    written.remember(said("a"), [1])
    written.remember(said("b"), [0] * 4)
    written.remember(said("c"), [])
    assert [name for name in "abc" if written.recall(said(name))] == ["a"]


def test_many_threads_may_write_and_read() -> None:
    written = Written(kept_tokens=50)
    failed: list[BaseException] = []

    def work(start: int) -> None:
        try:
            for number in range(start, start + 300):
                written.remember(said(str(number % 40)), [number % 40] * 3)
                for other in range(40):
                    assert written.recall(said(str(other))) in (None, [other] * 3)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(start,)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    kept = [number for number in range(40) if written.recall(said(str(number)))]
    assert len(kept) <= 50 // 3


def test_what_a_prompt_has_as_text_stays_text_though_the_model_says_it_too() -> None:
    """Otherwise all that follows it would be read again."""
    written = Written()
    assert written.recall(said("a")) is None

    written.remember(said("a"), [1])

    assert written.recall(said("a")) is None
