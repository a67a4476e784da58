"""Tools are found in folders, described and called; a broken file stops nothing else."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from agentkit.config import shipped
from agentkit.errors import InvalidInput, ToolError, UnknownName
from agentkit.ports import ToolContext
from agentkit.toolbox import Tool, Toolbox, tool
from agentkit.toolbox.sources import Scan

from .calls import Given, made

HEAD = "from __future__ import annotations\nfrom agentkit import ToolContext, tool\n"
GOOD = (
    HEAD + '@tool\ndef greet(name: str) -> str:\n    """Say hello."""\n    return "hello " + name\n'
)

CONTEXT = cast(ToolContext, SimpleNamespace(folder=Path("somewhere")))


def call(tools: Toolbox, name: str, arguments: dict[str, Any], context: ToolContext) -> Any:
    tool = tools.find(name)
    return tool.run(tool.bind(arguments), context)


def box(folder: Path, **files: str) -> Toolbox:
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    return Toolbox([folder])


def test_the_shipped_tools_come_in_through_the_same_door() -> None:
    tools = Toolbox([shipped("tools")])

    assert tools.bad == []
    assert {"write_file", "transcribe", "render_template"} <= set(tools.names())
    assert all(tool.description for tool in tools.values())


def test_a_tool_is_described_and_called(tmp_path: Path) -> None:
    tools = box(tmp_path / "tools", greet=GOOD)
    greet = tools.find("greet")

    assert tools.names() == list(tools) == ["greet"]
    assert (greet.description, greet.effects) == ("Say hello.", ())
    assert greet.source == tmp_path / "tools" / "greet.py"
    assert greet.parameters.json_schema["required"] == ["name"]
    assert call(tools, "greet", {"name": "Ada"}, CONTEXT) == "hello Ada"


def test_the_context_is_handed_in_and_cannot_be_given(tmp_path: Path) -> None:
    source = HEAD + (
        '@tool(name="where-am-i", effects=("reads", "network"))\n'
        "def anything(*, context: ToolContext) -> str:\n    return str(context.folder)\n"
    )
    tools = box(tmp_path / "tools", x=source)

    assert tools.find("where-am-i").effects == ("reads", "network")
    assert "context" not in tools.find("where-am-i").parameters.json_schema.get("properties", {})
    assert call(tools, "where-am-i", {}, CONTEXT) == "somewhere"
    with pytest.raises(InvalidInput, match='unknown argument "context"'):
        call(tools, "where-am-i", {"context": 1}, CONTEXT)


BROKEN = {
    "syntax": ("def x(:\n", "SyntaxError: invalid syntax"),
    "imports": ("import nothing_of_that_name\n", "ModuleNotFoundError: No module named"),
    "raises": ("1 / 0\n", "ZeroDivisionError: division by zero"),
    "exits": ("import sys\nsys.exit('no')\n", "SystemExit: no"),
    "empty": ("", "has no function marked with @tool"),
    "imported": (
        "from agentkit_sibling import greet\n",
        "ModuleNotFoundError: No module named 'agentkit_sibling'",
    ),
    "bytes": ("# -*- coding: latin-9000 -*-\n", "SyntaxError: unknown encoding"),
    "untyped": (HEAD + "@tool\ndef a(x): ...\n", "TypeError: parameter 'x' has no type hint"),
    "hints": (HEAD + "@tool\ndef b(x: Nope): ...\n", "NameError: name 'Nope' is not defined"),
    "objects": (
        HEAD + "import threading\n@tool\ndef c(x: threading.Thread): ...\n",
        "PydanticSchemaGenerationError",
    ),
    "callables": (
        HEAD + "from collections.abc import Callable\n@tool\ndef d(x: Callable[[], int]): ...\n",
        "PydanticInvalidForJsonSchema",
    ),
    "names": (HEAD + "@tool(name='a b')\ndef e(): ...\n", "'a b' is no name for a tool"),
    "effects": (HEAD + "@tool(effects=('explodes',))\ndef f(): ...\n", "'explodes' is no effect"),
    "asynchronous": (HEAD + "@tool\nasync def g(): ...\n", "'g' is async"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_file_is_reported_and_stops_nothing_else(tmp_path: Path, kind: str) -> None:
    text, reason = BROKEN[kind]
    tools = box(tmp_path / "tools", greet=GOOD, **{kind: text})

    assert tools.names() == ["greet"]
    (bad,) = tools.bad
    assert bad.source.name == f"{kind}.py"
    assert bad.reason.startswith(reason)
    assert not [name for name in sys.modules if name.startswith("agentkit_tool") and
                name.endswith(kind) and reason.startswith("SyntaxError")]  # fmt: skip


def test_one_broken_function_does_not_stop_the_others_of_its_file(tmp_path: Path) -> None:
    tools = box(tmp_path / "tools", mixed=GOOD + "@tool\ndef bad(x): ...\n")

    assert tools.names() == ["greet"]
    assert [bad.reason for bad in tools.bad] == ["TypeError: parameter 'x' has no type hint"]


def test_two_tools_of_one_name_in_one_folder_are_a_mistake(tmp_path: Path) -> None:
    tools = box(tmp_path / "tools", a=GOOD, b=GOOD.replace("hello", "goodbye"))

    assert call(tools, "greet", {"name": "Ada"}, CONTEXT) == "hello Ada"
    assert [(bad.source.name, bad.reason) for bad in tools.bad] == [
        ("b.py", "there is a tool 'greet' already, in a.py")
    ]


def test_a_later_folder_replaces_a_tool(tmp_path: Path) -> None:
    box(tmp_path / "one", greet=GOOD)
    box(tmp_path / "two", other=GOOD.replace("hello", "goodbye"))
    tools = Toolbox([tmp_path / "one", tmp_path / "two", tmp_path / "not there"])

    assert call(tools, "greet", {"name": "Ada"}, CONTEXT) == "goodbye Ada"
    assert tools.bad == []


def test_files_with_an_underscore_and_other_files_are_no_tools(tmp_path: Path) -> None:
    tools = box(tmp_path / "tools", _helper="1 / 0\n", __init__="1 / 0\n")
    (tmp_path / "tools" / "notes.txt").write_text("1 / 0\n")

    assert tools.names() == []
    assert tools.bad == []


def test_two_files_of_one_name_do_not_meet(tmp_path: Path) -> None:
    """Each is a module of its own, also for the type hints in it."""
    source = HEAD + (
        "from pydantic import BaseModel\nclass Item(BaseModel):\n    {field}: int\n"
        "@tool\ndef take_{field}(item: Item) -> int:\n    return item.{field}\n"
    )
    box(tmp_path / "one", take=source.format(field="a"))
    box(tmp_path / "two", take=source.format(field="b"))
    tools = Toolbox([tmp_path / "one", tmp_path / "two"])

    assert call(tools, "take_a", {"item": {"a": 1}}, CONTEXT) == 1
    assert call(tools, "take_b", {"item": {"b": 2}}, CONTEXT) == 2


def test_an_unknown_tool(tmp_path: Path) -> None:
    tools = box(tmp_path / "tools", greet=GOOD)

    with pytest.raises(UnknownName, match=r"no tool named 'great'\. did you mean") as caught:
        call(tools, "great", {}, CONTEXT)
    assert caught.value.hint == "agentkit tools list"


def test_arguments_that_do_not_fit(tmp_path: Path) -> None:
    tools = box(tmp_path / "tools", greet=GOOD)

    with pytest.raises(InvalidInput) as caught:
        call(tools, "greet", {"nam": "Ada"}, CONTEXT)
    assert str(caught.value) == (
        "tool 'greet': the argument \"name\" is missing; "
        'unknown argument "nam". did you mean "name"?'
    )
    assert caught.value.hint == "agentkit tools show greet"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("1 / 0", "tool 'x' broke: ZeroDivisionError: division by zero"),
        ("import sys; sys.exit(3)", "tool 'x' broke: SystemExit: 3"),
        ("from agentkit.errors import ToolError; raise ToolError('not today')", "not today"),
    ],
)
def test_what_goes_wrong_in_a_tool_is_an_error_of_the_tool(
    tmp_path: Path, body: str, said: str
) -> None:
    tools = box(tmp_path / "tools", x=HEAD + f"@tool\ndef x() -> None:\n    {body}\n")

    with pytest.raises(ToolError) as caught:
        call(tools, "x", {}, CONTEXT)
    assert str(caught.value) == said


def test_ctrl_c_in_a_tool_is_not_an_error_of_the_tool(tmp_path: Path) -> None:
    source = HEAD + "@tool\ndef x() -> None:\n    raise KeyboardInterrupt\n"
    tools = box(tmp_path / "tools", x=source)

    with pytest.raises(KeyboardInterrupt):
        call(tools, "x", {}, CONTEXT)


def test_arguments_are_not_changed(tmp_path: Path) -> None:
    source = HEAD + "@tool\ndef x(a: list[int]) -> int:\n    a.append(1)\n    return len(a)\n"
    tools = box(tmp_path / "tools", x=source)
    given: dict[str, Any] = {"a": []}

    assert call(tools, "x", given, CONTEXT) == 1
    assert given == {"a": []}


# -- several sources, several threads --------------------------------------------------------------


@tool
def here() -> str:
    """Here."""
    return "here"


def far(name: str, says: str = "far") -> Tool:
    @tool(name=name)
    def away() -> str:
        """Away."""
        return says

    return made(away)


def test_a_source_with_a_prefix_is_asked_when_one_of_its_tools_is_wanted() -> None:
    near, files, mail = (
        Given([made(here)]),
        Given([far("files__read")], prefix="files__"),
        Given([far("mail__send")], prefix="mail__"),
    )
    tools = Toolbox([near, files, mail])
    assert tools.get("here") is not None
    assert tools.get("file") is None
    assert (near.scans, files.scans, mail.scans) == (1, 0, 0)
    assert tools.get("files__nothing") is None
    assert tools["files__read"].name == "files__read"
    assert (near.scans, files.scans, mail.scans) == (1, 1, 0)
    assert tools.names() == ["files__read", "here", "mail__send"]
    assert (near.scans, files.scans, mail.scans) == (1, 1, 1)
    tools.refresh()
    assert (near.scans, files.scans, mail.scans) == (2, 2, 2)


def test_a_refresh_does_not_ask_who_was_not_asked_before() -> None:
    server = Given([far("files__read")], prefix="files__")
    Toolbox([server]).refresh()
    assert server.scans == 0


def test_a_source_that_is_asked_late_keeps_its_place() -> None:
    late = Given([far("x__tool", "early in line")], prefix="x__", label="late")
    last = Given([far("x__tool", "last in line")], label="last")
    tools = Toolbox([late, last])
    assert tools["x__tool"].run({}, CONTEXT) == "last in line"
    assert tools.origins("x__tool") == ("late", "last")


def test_two_threads_that_want_the_same_server_both_wait_for_it() -> None:
    """The second one must not find a toolbox in which the server was asked, and nothing is."""
    entered, go = threading.Event(), threading.Event()

    class Slow(Given):
        def scan(self) -> Scan:
            entered.set()
            assert go.wait(10)
            return super().scan()

    slow = Slow([far("slow__tool")], prefix="slow__")
    tools = Toolbox([Given([made(here)]), slow])
    found: list[str] = []

    def look() -> None:
        found.append(tools["slow__tool"].name)

    first = threading.Thread(target=look)
    first.start()
    assert entered.wait(10)
    second = threading.Thread(target=look)
    second.start()
    assert tools["here"].name == "here"  # and nobody else waits with them
    second.join(0.05)
    go.set()
    first.join()
    second.join()
    assert (found, slow.scans) == (["slow__tool", "slow__tool"], 1)


def test_a_scan_that_was_interrupted_is_made_again() -> None:
    class Interrupted(Given):
        def scan(self) -> Scan:
            super().scan()
            if self.scans == 1:
                raise KeyboardInterrupt
            return Scan(tuple(self.tools))

    tools = Toolbox([Interrupted([far("x__tool")], prefix="x__")])
    with pytest.raises(KeyboardInterrupt):
        tools.get("x__tool")
    assert tools["x__tool"].name == "x__tool"


def test_going_through_all_tools_is_not_disturbed_by_a_refresh() -> None:
    source = Given([made(here), far("there")])
    tools = Toolbox([source])
    seen = []
    for name, one in tools.items():
        source.tools = []
        tools.refresh()
        seen.append((name, one.name))
    assert seen == [("here", "here"), ("there", "there")]
    assert len(tools) == 0


def test_a_call_goes_on_with_the_tool_that_it_began_with(tmp_path: Path) -> None:
    entered, go = threading.Event(), threading.Event()

    @tool
    def slow() -> str:
        """Wait."""
        entered.set()
        assert go.wait(10)
        return "old"

    source = Given([made(slow)])
    tools = Toolbox([source])
    came: list[object] = []
    thread = threading.Thread(target=lambda: came.append(tools["slow"].run({}, CONTEXT)))
    thread.start()
    assert entered.wait(10)
    source.tools = [far("slow", "new")]
    tools.refresh()
    assert tools["slow"].run({}, CONTEXT) == "new"
    go.set()
    thread.join()
    assert came == ["old"]


def test_what_no_name_can_be_is_not_in_it() -> None:
    tools = Toolbox([Given([made(here)])])
    assert "3" not in tools
    assert None not in tools
    assert "" not in tools
    assert "here" in tools
