"""Where a value stands in a bash script, compared with what bash makes of it."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentkit.workflow.check.quoting import PLAIN, UNKNOWN, places
from agentkit.workflow.expressions import ExpressionError, render, spans

ATTACK = "'; : >pwned; '\"; : >pwned; \"$(: >pwned)`: >pwned`\n: >pwned\n#"
"""Does something wherever its quotes mean nothing."""

PIECES = st.sampled_from(
    [
        "echo ", "x=", " ", " ", "\n", "'", "'", '"', '"', "\\", "$", "$(", "$((", "((", "(", ")",
        ")", "))", "${", "}", "${x:-", "${#x}", "#", " #", "$#", "$$", "`", ";", "&&", "|", "<<E\n",
        "<<-'E'\n", "<<'E' ", "<<<", "E\n", "\nE\n", "\tE\n", "\\\n", "case x in x) ", ";; esac",
        "it's", "1", "[", "]", "[[ ", " ]]", "{ ", "}", "a", "${{ v }}", "${{ v }}", "${{ v }} ",
    ]
)  # fmt: skip

QUIET: dict[str, Any] = {"capture_output": True, "stdin": subprocess.DEVNULL, "timeout": 10}


def stands(script: str) -> list[str]:
    return list(places(script, dict.fromkeys(spans(script), True)).values())


@pytest.mark.parametrize(
    ("script", "found"),
    [
        ("echo ${{ v }}", [""]),
        ('echo "it: ${{ v }}" ${{ v }}', ["within double quotes", ""]),
        ("echo 'it: ${{ v }}' \"it's\" ${{ v }}", ["within single quotes", ""]),
        ("echo $'\\'${{ v }}'", ["within $'...'"]),
        ("cat <<EOF\n${{ v }}\nEOF\necho ${{ v }}", ["in a heredoc", ""]),
        ("cat <<-'E' | cat # it's\n\tx '\n\tE\necho ${{ v }}", [""]),
        ("cat <<A <<B\nA\n${{ v }}\nB\n${{ v }}", ["in a heredoc", ""]),
        ("cat <<<${{ v }} <<< ${{ v }}", ["", ""]),
        ("echo a#b ${{ v }} # it's ${{ v }}\necho ${{ v }}", ["", "in a comment", ""]),
        ("echo \\\n  ${{ v }} \\' ${{ v }}", ["", ""]),
        ("echo \\${{ v }}", ["after a backslash"]),
        ("echo $${{ v }}", ["right after $"]),
        ("a[${{ v }}]=1", ["right after ["]),
        ('echo "$(cat ${{ v }}) ${{ v }}" ${{ v }}', ["", "within double quotes", ""]),
        ("echo ${x:-${y}} ${#x} $# $((1 + (2))) ${{ v }}", [""]),
        ("((i++)); for ((i=0; i<3; i++)); do echo ${{ v }}; done", [""]),
    ],
)
def test_where_a_value_stands(script: str, found: list[str]) -> None:
    assert stands(script) == found


@pytest.mark.parametrize(
    "before",
    [
        "echo `date` ", "echo ${x:-'} ", "echo $((1 << 2)) ", "cat <<$x\n", "cat <<E.x\n",
        'x="$(case a in a) echo ', 'x="$( # ', 'x="$(cat <<E\n', "cat <<E 'a\n", "cat <<E\na\\\n",
        "echo $(echo a)#'\n",
    ],
)  # fmt: skip
def test_in_doubt_nothing_that_follows_is_a_word(before: str) -> None:
    assert stands(before + "${{ v }} \n'\" ${{ v }}")[-1] == UNKNOWN


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much],
)
@given(st.lists(PIECES, min_size=1, max_size=14))
def test_what_is_said_to_be_a_word_is_never_run(tmp_path: Path, pieces: list[str]) -> None:
    script = "".join(pieces)
    try:
        values = spans(script)
    except ExpressionError:
        return  # two pieces made the beginning of an expression
    found = places(script, dict.fromkeys(values, True))
    kept = [span for span in values if found[span] == PLAIN]
    if not kept:
        return
    for start, end in reversed(values):
        if (start, end) not in kept:  # it is refused; here it is a word that does no harm
            script = script[:start] + "x" + script[end:]
    bash = ["bash", "--norc"]
    if subprocess.run([*bash, "-nc", render(script, {"v": "x"})], check=False, **QUIET).returncode:
        return  # it fails with every value
    script = render(script, {"v": shlex.quote(ATTACK)})
    subprocess.run([*bash, "-c", f"PATH=\n{script}"], cwd=tmp_path, check=False, **QUIET)
    assert not (tmp_path / "pwned").exists(), script
