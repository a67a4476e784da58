"""Calls that go round in circles are noticed, and calls that are new are not."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentkit.agent.guard import Step, advice, fingerprint, left_out, made, stuck

PATH = {"path": "a.txt"}


def read(text: str = "text", status: str = "returned", path: str = "a.txt") -> Step:
    return Step("read_file", {"path": path}, status, text)


def wrote(status: str = "returned", path: str = "a.txt") -> Step:
    return Step("write_file", {"path": path}, status, "written", changes=True)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


def backwards(value: Any) -> Any:
    """The same with the keys in another order."""
    if isinstance(value, dict):
        return {name: backwards(value[name]) for name in reversed(value)}
    return [backwards(item) for item in value] if isinstance(value, list) else value


# -- fingerprints ----------------------------------------------------------------------------------


@settings(deadline=None)
@given(arguments=st.dictionaries(st.text(max_size=5), JSON, max_size=4))
def test_a_fingerprint_does_not_depend_on_the_order_of_keys(arguments: dict[str, Any]) -> None:
    assert fingerprint("t", backwards(arguments)) == fingerprint("t", arguments)


@settings(deadline=None)
@given(
    one=st.dictionaries(st.sampled_from("ab"), JSON, max_size=2),
    other=st.dictionaries(st.sampled_from("ab"), JSON, max_size=2),
)
def test_two_calls_have_the_same_fingerprint_only_if_they_are_the_same(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    same = repr(backwards(backwards(one))) == repr(other) or _sorted(one) == _sorted(other)

    assert (fingerprint("t", one) == fingerprint("t", other)) == same


def _sorted(value: Any) -> Any:
    """As a text in which True is not 1."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k!r}: {_sorted(value[k])}" for k in sorted(value)) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_sorted, value)) + "]"
    return repr(value)


def test_the_order_of_a_list_is_part_of_a_call_and_so_is_the_tool() -> None:
    assert fingerprint("t", {"a": [1, 2]}) != fingerprint("t", {"a": [2, 1]})
    assert fingerprint("t", {"a": 1}) != fingerprint("u", {"a": 1})


# -- repetitions -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("times", "said"), [(0, "go"), (1, "warn"), (2, "refuse"), (3, "answer"), (52, "answer")]
)
def test_a_repetition_is_warned_of_then_refused_then_ends_the_task(times: int, said: str) -> None:
    steps = [read(), *[read("no", "refused")] * (times - 1)][:times]

    assert advice(steps, "read_file", PATH) == said


def test_a_call_with_other_arguments_is_no_repetition() -> None:
    assert advice([read()] * 3, "read_file", {"path": "b.txt"}) == "go"
    assert advice([read()] * 3, "list_files", PATH) == "go"


def test_after_a_change_reading_again_is_no_repetition() -> None:
    steps = [read("old"), read("no", "refused"), wrote()]

    assert advice(steps, "read_file", PATH) == "go"
    assert advice(steps, "write_file", PATH) == "warn"


def test_a_change_that_failed_changed_nothing() -> None:
    assert advice([read(), wrote("failed")], "read_file", PATH) == "warn"


def test_a_call_of_which_nobody_knows_what_it_did_may_be_made_again() -> None:
    lost = read("interrupted", "unverified")

    assert advice([lost] * 5, "read_file", PATH) == "go"
    assert advice([lost, read()], "read_file", PATH) == "warn"
    assert not made([lost])
    assert stuck([lost] * 9) == ""


# -- going round in circles ------------------------------------------------------------------------


def test_work_that_gets_on_is_not_stuck() -> None:
    steps = [read(f"text {n}", path=f"{n}.txt") for n in range(30)]

    assert stuck(steps) == ""


def test_a_call_that_comes_again_and_again_is_stuck() -> None:
    assert stuck([read(), *[read("no", "refused")] * 2]) == ""
    assert "same call" in stuck([read(), *[read("no", "refused")] * 3])


def test_two_calls_in_turns_are_a_circle_too() -> None:
    steps = [read(f"text {n}", path="ab"[n % 2]) for n in range(8)]

    assert "same call" in stuck(steps)


@pytest.mark.parametrize("status", ["failed", "retry", "garbled", "refused"])
def test_the_same_error_of_other_arguments_is_stuck(status: str) -> None:
    steps = [read("there is none", status, f"{n}.txt") for n in range(3)]

    assert stuck(steps[:2]) == ""
    assert "same error" in stuck(steps)


def test_three_different_errors_are_not_stuck() -> None:
    assert stuck([read(f"there is no {n}", "failed", f"{n}.txt") for n in range(9)]) == ""


def test_errors_from_before_a_change_are_forgotten() -> None:
    errors = [read("it does not run", "retry", f"{n}.py") for n in range(2)]

    assert stuck([*errors, wrote(), *errors]) == ""
    assert stuck([*errors, *errors])


def test_the_same_result_of_other_arguments_is_stuck() -> None:
    steps = [read("nothing", path=f"{n}.txt") for n in range(4)]

    assert stuck(steps[:3]) == ""
    assert "same result" in stuck(steps)


def test_the_same_result_of_different_tools_is_not() -> None:
    steps = [Step(f"tool-{n}", {}, "returned", "ok") for n in range(9)]

    assert stuck(steps) == ""


# -- what cannot be chosen -------------------------------------------------------------------------


def test_a_tool_whose_call_was_refused_is_left_out_of_the_next_step() -> None:
    refused = read("no", "refused")

    assert left_out([]) == set()
    assert left_out([read()]) == set()
    assert left_out([read(), refused]) == {"read_file"}
    assert left_out([read(), refused, wrote()]) == set()


def test_after_two_refusals_it_is_left_out_for_the_rest_of_the_attempt() -> None:
    refused = read("no", "refused")

    assert left_out([read(), refused, wrote(), refused, wrote()]) == {"read_file"}
