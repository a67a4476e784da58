"""Errors build their own sentences: what, where, and what to do next."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentkit import errors
from agentkit.errors import (
    AgentkitError,
    Attempt,
    BadAudio,
    Busy,
    Cancelled,
    DiskFull,
    Fenced,
    InvalidFile,
    MachineError,
    ModelDamaged,
    ModelError,
    ModelMissing,
    Parked,
    Problem,
    PromptTooLong,
    PullFailed,
    Skipped,
    StepFailed,
    TimedOut,
    ToolError,
    UnknownName,
    UserError,
    closest,
    did_you_mean,
    human_bytes,
)


def test_the_tree_is_the_one_in_the_docstring() -> None:
    branches = {
        UserError, MachineError, ModelError, ToolError, TimedOut, Parked, StepFailed, Fenced,
        Busy, Skipped, Cancelled,
    }  # fmt: skip
    assert set(AgentkitError.__subclasses__()) == branches
    for branch in branches:
        assert branch.__name__ in (errors.__doc__ or "")


def test_every_error_of_ours_is_in_the_tree() -> None:
    ours = [
        one
        for _, one in inspect.getmembers(errors, inspect.isclass)
        if issubclass(one, BaseException) and one.__module__ == errors.__name__
    ]
    assert all(issubclass(one, AgentkitError) for one in ours)


def test_exit_codes_say_whose_fault_it_is() -> None:
    codes: dict[type[AgentkitError], int]
    codes = {UserError: 2, MachineError: 1, ModelError: 1, ToolError: 1, Cancelled: 130}
    assert {kind: kind.exit_code for kind in codes} == codes
    assert PromptTooLong.exit_code == InvalidFile.exit_code == UnknownName.exit_code == 2


@pytest.mark.parametrize(
    ("error", "says", "hints"),
    [
        (
            UnknownName("model", "quen", ["qwen", "llama"], hint="agentkit models list"),
            "no model named 'quen'. did you mean \"qwen\"?",
            "agentkit models list",
        ),
        (UnknownName("tool", "x", [], hint="h"), "no tool named 'x'.", "h"),
        (BadAudio(Path("a.wav"), "cannot be decoded"), "a.wav: cannot be decoded", None),
        (ModelMissing("m"), "the model 'm' is not on this machine yet", "agentkit models pull m"),
        (
            ModelDamaged("m", "truncated"),
            "m: truncated",
            "agentkit models remove m && agentkit models pull m",
        ),
        (Cancelled(), "cancelled", None),
    ],
)
def test_sentences(error: AgentkitError, says: str, hints: str | None) -> None:
    assert (str(error), error.message, error.hint) == (says, says, hints)


def test_a_prompt_that_is_too_long_says_by_how_much() -> None:
    error = PromptTooLong(prompt_tokens=900, reserved=200, context_tokens=1024)
    assert error.excess == 76
    assert str(error) == (
        "the prompt is 76 tokens too long: it has 900, 200 are kept free for the answer, and the "
        "context holds 1024"
    )


def test_a_full_disk_says_how_much_is_missing() -> None:
    error = DiskFull(Path("/models"), need=2_000_000_000, free=500_000, what="qwen")
    assert str(error) == "qwen needs 2 GB, but /models has 500 kB free"


def test_a_failed_pull_lists_who_was_asked() -> None:
    error = PullFailed("m", [Attempt("hub", "404"), Attempt("mirror", "timed out")])
    assert str(error).splitlines()[1:] == ["  hub: 404", "  mirror: timed out"]
    assert error.hint == "bring the file by other means: agentkit models add FILE --name m"


def test_a_failed_step_keeps_cause_and_hint() -> None:
    cause = ToolError("no such file", hint="look elsewhere")
    error = StepFailed("read", "w.yaml:3:5", cause)
    assert str(error) == "w.yaml:3:5: step 'read' failed: no such file"
    assert (error.cause, error.hint) == (cause, "look elsewhere")


def problem(**more: object) -> Problem:
    values: dict[str, object] = {
        "file": "w.yaml", "line": 12, "column": 5, "length": 7, "rule": "unknown-key",
        "message": "unknown key 'retires'", "suggestion": 'did you mean "retry"?',
        "source_line": "    retires: 3",
    } | more  # fmt: skip
    return Problem(**values)  # type: ignore[arg-type]  # mixed values


def test_a_problem_is_shown_as_compilers_do() -> None:
    assert problem().render() == (
        "w.yaml:12:5: unknown key 'retires'. did you mean \"retry\"? [unknown-key]\n"
        "   |\n"
        "12 |     retires: 3\n"
        "   |     ^~~~~~~"
    )


def test_a_problem_without_its_line_is_a_headline() -> None:
    assert problem(source_line="", suggestion="").render() == (
        "w.yaml:12:5: unknown key 'retires' [unknown-key]"
    )


@given(st.integers(1, 30), st.integers(0, 99), st.text(st.characters(categories=["L"]), min_size=1))
def test_a_caret_never_leaves_its_line(column: int, length: int, line: str) -> None:
    last = problem(column=column, length=length, source_line=line).render().splitlines()[-1]
    marks = last.split("| ", 1)[1]
    assert marks.strip().startswith("^")
    assert len(marks) <= max(len(line), column)


def test_a_file_with_problems_tells_them_all() -> None:
    error = InvalidFile([problem(), problem(line=13)])
    assert str(error).count("unknown key") == 2
    assert len(error.problems) == 2


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 kB"),
        (98_362_432, "98.4 MB"),
        (1_117_320_768, "1.12 GB"),
        (5_000_000_000_000, "5 TB"),
    ],
)
def test_bytes_for_people(count: int, text: str) -> None:
    assert human_bytes(count) == text


def test_near_misses() -> None:
    options = ["transcribe", "write_file", "Read"]
    assert closest("transcibe", options) == "transcribe"
    assert closest("READ", options) == "Read"
    assert closest("zzz", options) is None
    assert did_you_mean("zzz", options) == did_you_mean("x", []) == ""
