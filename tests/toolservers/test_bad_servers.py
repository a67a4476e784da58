"""Whatever a server does, it costs its own calls, and they end in a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentkit.errors import MachineError, ToolError, ToolRetry

from .conftest import Start

# -- what it does not say --------------------------------------------------------------------------


def test_one_that_never_answers_is_given_up(start: Start) -> None:
    with pytest.raises(MachineError, match=r"did not answer within 0\.3 s") as caught:
        start("hangs", timeout=0.3).tools()
    assert caught.value.hint == "more time for it: mcp.hangs.timeout in settings"


def test_one_that_does_not_answer_a_call_is_started_anew_for_the_next(
    start: Start, tmp_path: Path
) -> None:
    lives = tmp_path / "lives"
    server = start("dies", timeout=3, environment={"LIVES": str(lives)})

    with pytest.raises(ToolError, match="did not finish 'hang': it took longer than 3 s"):
        server.call("hang", {}, None)
    assert server.call("live", {}, None) == "life 2"


def test_one_that_reads_no_more_does_not_hold_us(start: Start) -> None:
    server = start("deaf", timeout=3)
    server.tools()
    with pytest.raises(ToolError, match="took longer than 3 s"):
        server.call("swallow", {"much": "y" * 1_000_000}, None)


# -- nonsense --------------------------------------------------------------------------------------


def test_lines_that_are_no_messages_are_passed_over(start: Start) -> None:
    server = start("nonsense")
    assert [tool.name for tool in server.tools()] == ["speak"]
    assert server.call("speak", {}, None) == "sense"


def test_one_that_writes_nothing_else_is_told_by_what_it_writes(start: Start) -> None:
    with pytest.raises(MachineError) as caught:
        start("nonsense", "only", timeout=0.5).tools()
    assert "it writes what is no message: 'Welcome to [31mnonsense[0m 1.0'" in str(caught.value)


# -- death -----------------------------------------------------------------------------------------


def test_one_that_dies_at_once_says_why(start: Start) -> None:
    with pytest.raises(MachineError) as caught:
        start("dies", "at-once").tools()
    assert str(caught.value) == (
        "the server 'dies' cannot be used: it ended by itself with exit code 1; "
        "the last that it wrote to stderr: no configuration: set WHERE"
    )
    assert caught.value.hint == "is mcp.dies.command in settings right?"


def test_of_many_words_the_last_are_told(start: Start) -> None:
    with pytest.raises(MachineError) as caught:
        start("dies", "wordy").tools()
    assert str(caught.value).endswith("line 998 of many\nline 999 of many\nthe reason")
    assert len(str(caught.value)) < 1700


def test_one_that_is_killed_says_by_what(start: Start) -> None:
    with pytest.raises(MachineError, match="ended by itself with signal SIGKILL"):
        start("dies", "signal").tools()


def test_one_that_dies_in_a_call_is_started_anew_for_the_next(start: Start, tmp_path: Path) -> None:
    server = start("dies", environment={"LIVES": str(tmp_path / "lives")})
    assert server.call("live", {}, None) == "life 1"
    with pytest.raises(ToolError) as caught:
        server.call("die", {}, None)
    assert str(caught.value) == (
        "the server 'dies' did not finish 'die': it ended by itself with exit code 3; "
        "the last that it wrote to stderr: [31mout of luck[0m"
    )
    assert server.call("live", {}, None) == "life 2"


def test_a_program_that_is_none_is_named(start: Start) -> None:
    for program, said in {
        "no-such-program": "there is no program 'no-such-program'",
        "/": "'/' cannot be run: permission denied",
        "a\0b": "cannot be run: embedded null byte",
    }.items():
        with pytest.raises(MachineError) as caught:
            start(command=[program]).tools()
        assert said in str(caught.value)


def test_a_server_can_be_closed_twice_and_is_not_used_after_that(start: Start) -> None:
    server = start("nonsense")
    server.tools()
    server.close()
    server.close()
    with pytest.raises(MachineError, match="it was closed"):
        server.tools()
    with pytest.raises(ToolError, match="it was closed"):
        server.call("speak", {}, None)


# -- lies ------------------------------------------------------------------------------------------


def test_a_tool_that_cannot_be_used_is_left_out_with_the_reason(start: Start) -> None:
    server = start("liar")
    tools = {tool.name: tool for tool in server.tools()}

    assert tools["honest"].description == "Is [2Jwhat it says."
    assert len(tools["endless"].description) == 2000
    assert set(tools) == {"honest", "endless", "typo", "evil", "odd\x1b name/\u202e", "x" * 200,
                          "twice", "number", "unchecked"} - {"typo"}  # fmt: skip
    assert dict(server.refused) == {
        "typo": "has a schema that describes no object",
        "list": "has a schema that describes no object",
        "elsewhere": "has a schema that refers to another document: 'http://127.0.0.1:1/schema'",
        "nowhere": "has a schema that refers to a part that it does not have: '#/$defs/nothing'",
        "loop": "has a schema that refers to itself, part after part, without end",
        "laughs": "has a schema that refers to itself, part after part, without end",
        "deep": "has a schema that is nested more than 40 deep",
        "large": "has a schema that is too large: 269 kB of JSON, 60 kB may be",
    }


def test_a_result_that_does_not_fit_what_was_declared_is_refused(start: Start) -> None:
    server = start("liar")
    server.tools()

    assert server.call("number", {"give": {"n": 3}}, None) == {"n": 3}
    with pytest.raises(ToolError, match="schema that it declared: n: 'three' is not of type"):
        server.call("number", {}, None)
    with pytest.raises(ToolError, match="says that its result is data, and gave none"):
        server.call("number", {"give": None}, None)
    with pytest.raises(ToolError, match="does not answer as the protocol says: structuredContent"):
        server.call("number", {"give": [1]}, None)
    with pytest.raises(ToolError, match="does not answer as the protocol says: content"):
        server.call("honest", {"give": 5, "bare": True}, None)


def test_a_declaration_that_cannot_be_used_is_not_held_against_a_result(start: Start) -> None:
    server = start("liar")
    server.tools()
    assert server.call("unchecked", {}, None) == {"n": "three"}


def test_tools_that_change_are_read_again_when_they_are_asked_for(start: Start) -> None:
    server = start("changes")
    assert server.tools()[0].parameters["properties"]["what"]["type"] == "string"
    with pytest.raises(ToolRetry, match="says: what: must be an integer by now"):
        server.call("take", {"what": "three"}, None)
    assert server.call("take", {"what": 3}, None) == "took 3"
    assert server.tools()[0].parameters["properties"]["what"]["type"] == "integer"


def test_of_thousands_of_tools_the_first_are_taken(start: Start) -> None:
    server = start("crowd")
    assert len(server.tools()) == 1000
    assert server.refused == {"…": "and all after it were left out: 1000 tools are enough"}


# -- floods ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flood", "said"),
    [
        ("notifications", "it sends without end what nobody asked for"),
        ("questions", "it sends without end what nobody asked for"),
        ("answers", "it sends without end what nobody asked for"),
        ("bytes", "it sent more than 16 MB at once"),
    ],
)
def test_one_that_never_stops_talking_is_not_listened_to(
    start: Start, flood: str, said: str
) -> None:
    server = start("floods", timeout=50)
    with pytest.raises(ToolError, match=said):
        server.call(flood, {}, None)
    assert server.call("a-bit", {}, None) == "enough"


def test_what_it_writes_to_stderr_without_end_is_not_kept(start: Start) -> None:
    server = start("floods", timeout=2)
    with pytest.raises(ToolError, match="took longer than 2 s"):
        server.call("stderr", {}, None)


def test_another_server_works_while_one_floods(start: Start) -> None:
    flooding, quiet = start("floods", timeout=2), start("nonsense")
    quiet.tools()
    with pytest.raises(ToolError):
        flooding.call("stderr", {}, None)
    assert quiet.call("speak", {}, None) == "sense"


# -- questions -------------------------------------------------------------------------------------


def test_what_it_asks_of_us_is_refused(start: Start) -> None:
    assert start("asks").call("ask", {}, None) == (
        "sampling/createMessage: error\nroots/list: error\nelicitation/create: error\n"
        "system/format: error"
    )


def test_one_that_knows_only_the_newest_protocol_is_understood(start: Start) -> None:
    server = start("modern")
    assert [tool.name for tool in server.tools()] == ["now", "ask"]
    assert server.call("now", {}, None) == "modern times"
    with pytest.raises(ToolError, match="wants to ask a person or a model in between"):
        server.call("ask", {}, None)
