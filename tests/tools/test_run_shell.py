"""Commands of a model run in the real sandbox."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agentkit.errors import Cancelled, ToolRetry

Call = Callable[..., Any]


@pytest.mark.parametrize(
    ("command", "printed"),
    [
        ("echo hello", "hello"),
        ("printf 'b\\na\\n' | sort", "a\nb"),
        ("for n in 1 2; do echo $n; done", "1\n2"),
        ("echo größe", "größe"),
        ("echo out; echo err >&2", "out\nerr"),
        ("true", "it worked and printed nothing"),
        ("touch a.txt", "it worked and printed nothing; it made or changed: a.txt\na.txt is empty"),
        ("cat <<EOF\none\nEOF", "one"),
        ("python3 -c 'print(6 * 7)'", "42"),
        ("pwd", "/work"),
        ("printf '\\xff'", "\ufffd"),
    ],
)
def test_what_a_command_prints_comes_back(call: Call, command: str, printed: str) -> None:
    assert call("run_shell", command=command) == printed


def test_files_that_it_makes_are_results_of_the_run(call: Call, context: Any) -> None:
    (context.folder / "a.txt").write_text("one\ntwo\n")

    call("run_shell", command="wc -l < a.txt > b.txt")

    assert (context.folder / "b.txt").read_text().strip() == "2"
    assert context.artifacts == [context.folder / "b.txt"]


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (" ", ["command is empty"]),
        ("echo \0", ["no NUL character"]),
        ("echo before; exit 3", ["it ended with exit code 3\nit had printed:\nbefore"]),
        ("grep x /dev/null", ["exit code 1\nIt printed nothing: grep, diff and test end so"]),
        ("ffmpegg -i a.wav", ["command not found", "Only what is installed can be used"]),
        ("cat /home/me/a.txt", ["No such file or directory", "read_file reads those"]),
        ("touch /etc/a", ["It can write to its own folder only."]),
        ("echo 'a", ["A quote is not closed."]),
        ("kill -SEGV $$", ["it crashed: Segmentation fault"]),
        (
            "python3 -c 'import socket; socket.getaddrinfo(\"example.org\", 80)'",
            ["no network here"],
        ),
    ],
)
def test_what_models_do_wrong_is_answered_with_what_to_do(
    call: Call, command: str, said: list[str]
) -> None:
    with pytest.raises(ToolRetry) as caught:
        call("run_shell", command=command)
    for piece in said:
        assert piece in str(caught.value)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("echo go; sleep 99", "it took too long and was ended.*\nit had printed:\ngo"),
        ("yes", "it printed too much and was ended"),
    ],
)
def test_limits_are_those_of_the_settings(
    call: Call, context: Any, command: str, said: str
) -> None:
    context.settings = {"seconds": 2}

    with pytest.raises(ToolRetry, match=said):
        call("run_shell", command=command)


def test_a_cancel_ends_it(call: Call, context: Any) -> None:
    context.cancel.cancel()

    with pytest.raises(Cancelled):
        call("run_shell", command="sleep 50")


def test_nothing_outside_is_seen(call: Call, elsewhere: Path) -> None:
    with pytest.raises(ToolRetry, match="No such file or directory"):
        call("run_shell", command=f"cat {elsewhere}/secret.txt")
