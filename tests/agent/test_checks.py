"""Whether the objective is reached, by what a person wrote down; what is wrong is said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from agentkit.agent.checks import SAID, Answers, Check, FitsSchema, Holds, Succeeds
from agentkit.cancel import CancelToken
from agentkit.errors import UserError
from agentkit.jobs import Job, JobResult
from agentkit.sandbox import BubblewrapSandbox
from agentkit.workflow import expressions

NUMBER = {"type": "object", "properties": {"total": {"type": "integer"}}, "required": ["total"]}


# -- a schema --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        ('{"total": 3}', ""),
        ("three", "the answer is not JSON"),
        ("", "the answer is not JSON"),
        ('{"total": "3"}', "the answer does not fit the schema: '3' is not of type 'integer'"),
        ("{}", "the answer does not fit the schema: 'total' is a required property"),
        ("[1]", "the answer does not fit the schema: [1] is not of type 'object'"),
    ],
)
def test_an_answer_has_to_fit_the_schema(answer: str, fault: str) -> None:
    said = FitsSchema(NUMBER).fault(answer)

    assert said.startswith(fault) if fault else said == ""


def test_a_schema_does_not_fetch_another_one() -> None:
    elsewhere = FitsSchema({"$ref": "https://example.org/schema.json"})

    with pytest.raises(UserError, match=r"refers to https://example\.org/schema\.json"):
        elsewhere.fault("1")


# -- an expression ---------------------------------------------------------------------------------


def evaluated(expression: str, facts: Mapping[str, Any]) -> Any:
    return expressions.render(f"{expressions.OPEN} {expression} {expressions.CLOSE}", facts)


@pytest.mark.parametrize(
    ("expression", "holds"),
    [
        ("'out/b.csv' in files", True),
        ("'b.csv' in files", False),
        ("files | length == 2", True),
        ("'4711' in answer", True),
        ("answer == ''", False),
    ],
)
def test_an_expression_sees_the_answer_and_the_names_of_the_files(
    tmp_path: Path, expression: str, holds: bool
) -> None:
    for name in ("a.txt", "out/b.csv", ".git/config"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("x")

    fault = Holds(expression, evaluated, tmp_path).fault("It is 4711.")

    assert fault == ("" if holds else f"this is not true: {expression}")


def test_an_expression_that_cannot_be_evaluated_is_a_mistake_of_the_person(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"the check 'no_such_name \+ 1': "):
        Holds("no_such_name + 1", evaluated, tmp_path).fault("x")


# -- a script --------------------------------------------------------------------------------------


@dataclass
class Box:
    """A sandbox in which nothing runs."""

    result: JobResult
    jobs: list[Job] = field(default_factory=list)

    def run(self, job: Job, cancel: CancelToken | None = None) -> JobResult:
        self.jobs.append(job)
        return self.result


def script(folder: Path, **result: Any) -> tuple[Succeeds, Box]:
    said: dict[str, Any] = {"exit_code": 0, "stdout": b"", "stderr": b"", "seconds": 0.1}
    box = Box(JobResult(**{**said, **result}))
    return Succeeds("test -f out.txt", lambda: box, folder, CancelToken()), box


@pytest.mark.parametrize(
    ("result", "fault"),
    [
        ({}, ""),
        ({"stdout": b"all is well"}, ""),
        (
            {"exit_code": 1, "stdout": b"one\n", "stderr": b"two\n"},
            "the check script failed (exit code 1): one\ntwo",
        ),
        ({"exit_code": 2}, "the check script failed (exit code 2): it said nothing"),
        (
            {"exit_code": -9, "stopped": "wall"},
            "the check script ran into its limit of wall (exit code -9): it said nothing",
        ),
        (
            {"stopped": "output"},
            "the check script ran into its limit of output (exit code 0): it said nothing",
        ),
        (
            {"exit_code": 1, "stderr": b"\xff bad"},
            "the check script failed (exit code 1): \ufffd bad",
        ),
    ],
)
def test_a_script_has_to_end_well(tmp_path: Path, result: dict[str, Any], fault: str) -> None:
    check, _ = script(tmp_path, **result)

    assert check.fault("x") == fault


def test_of_much_output_the_end_is_told(tmp_path: Path) -> None:
    check, _ = script(tmp_path, exit_code=1, stdout=b"begin " + b"x" * 10_000 + b" the end")

    fault = check.fault("x")

    assert fault.endswith(" the end")
    assert "begin" not in fault
    assert len(fault) < SAID + 60


def test_a_script_runs_in_the_folder_and_reads_the_answer(tmp_path: Path) -> None:
    check, box = script(tmp_path)

    check.fault("größer")

    (job,) = box.jobs
    assert job.work == tmp_path
    assert job.stdin == "größer".encode()
    assert job.argv[-1] == "test -f out.txt"


def real(script: str, folder: Path) -> Check:
    return Succeeds(script, BubblewrapSandbox, folder, CancelToken())


def test_a_script_in_the_real_sandbox(tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    (work / "out.txt").write_text("42")
    (tmp_path / "secret").write_text("x")

    assert real("test -f out.txt\ngrep -q 42 out.txt", work).fault("x") == ""
    assert real('read answer; test "$answer" = 4711', work).fault("4711\n") == ""
    assert "exit code 1" in real('read answer; test "$answer" = 4711', work).fault("4712\n")
    assert "exit code 1" in real("false\ntrue", work).fault("x")
    assert "unbound variable" in real("echo $no_such_name", work).fault("x")
    assert "exit code 1" in real(f"test -f {tmp_path}/secret", work).fault("x")


# -- a question ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("sure", "holds"), [(1.0, True), (0.5, True), (0.49, False), (0.0, False)])
def test_the_model_has_to_say_yes(sure: float, holds: bool) -> None:
    asked: list[tuple[str, str]] = []

    def likely(question: str, answer: str) -> float:
        asked.append((question, answer))
        return sure

    fault = Answers("Is it short?", likely).fault("Yes.")

    assert fault == ("" if holds else "the answer to this is no: Is it short?")
    assert asked == [("Is it short?", "Yes.")]
