"""A tool takes what a small model writes, tells what it would touch, and breaks by itself."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, cast

import pytest

from agentkit import tool
from agentkit.errors import Cancelled, InvalidInput, ToolError, ToolRetry, UserError
from agentkit.permissions import Access, ReadPath, Url, WritePath
from agentkit.ports import ToolContext

from .calls import made

CONTEXT = cast(ToolContext, SimpleNamespace(folder=Path("somewhere")))


@tool
def count(
    text: str,
    unit: Literal["words", "lines"] = "lines",
    limit: int | None = None,
    tags: list[str] = [],  # noqa: B006 (pydantic copies it)
) -> list[Any]:
    """Count."""
    return [text, unit, limit, tags]


# -- arguments -------------------------------------------------------------------------------------


def test_null_where_there_can_be_none_is_an_argument_that_was_left_out() -> None:
    bound = made(count).bind({"text": "a", "unit": None, "limit": None, "tags": None})
    assert bound == {"text": "a", "unit": "lines", "limit": None, "tags": []}


def test_null_for_what_is_required_is_told_as_missing() -> None:
    with pytest.raises(InvalidInput, match='the argument "text" is missing'):
        made(count).bind({"text": None})


def test_null_for_an_argument_that_there_is_not_is_nothing() -> None:
    assert made(count).bind({"text": "a", "encoding": None})["text"] == "a"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"txt": "a"}, 'unknown argument "txt". did you mean "text"?'),
        ({"text": "a", "foo": 1}, 'unknown argument "foo". it takes: text, unit, limit, tags'),
        ({"text": "a", "unit": "word"}, '"word" is not one of "words", "lines". did you mean'),
        ({"text": "a", "limit": "many"}, 'argument "limit": must be an integer'),
        ({"text": 7}, 'argument "text": must be a string, not the number 7'),
        ({"text": "a", "tags": ["x", 3]}, 'argument "tags.1": must be a string'),
        ({}, 'the argument "text" is missing'),
    ],
)
def test_a_wrong_call_is_told_what_is_wrong_with_it(given: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        made(count).bind(given)
    assert said in str(caught.value)
    assert caught.value.hint == "agentkit tools show count"


# -- what it would touch ---------------------------------------------------------------------------


@tool(effects=("reads", "writes", "network", "executes"))
def everything(
    source: ReadPath | None = None,
    parts: list[ReadPath] | None = None,
    target: WritePath | None = None,
    url: Url | None = None,
) -> None:
    """Touch."""


def accesses(folder: Path, **given: Any) -> set[Access]:
    every = made(everything)
    return set(every.accesses(every.bind(given), folder))


def test_accesses_are_full_paths_and_places_with_ports(tmp_path: Path) -> None:
    found = accesses(tmp_path, source="a/../b.txt", target=str(tmp_path / "c"), url="HTTP://E.org/")
    assert found == {
        Access("reads", str(tmp_path / "b.txt")),
        Access("writes", str(tmp_path / "c")),
        Access("network", "e.org:80"),
        Access("executes"),
    }


def test_each_path_of_a_list_is_an_access(tmp_path: Path) -> None:
    found = accesses(tmp_path, parts=["a", "b"])
    assert {Access("reads", str(tmp_path / name)) for name in "ab"} < found


def test_a_link_is_where_it_leads(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc/passwd")
    (tmp_path / "deep").symlink_to(tmp_path / "link")
    assert Access("reads", "/etc/passwd") in accesses(tmp_path, source="deep")


def test_a_home_is_where_the_user_lives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert Access("reads", str(tmp_path / "home/x")) in accesses(tmp_path / "run", source="~/x")


def test_links_in_a_circle_stay_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    (reads,) = [a for a in accesses(tmp_path, source="a/x") if a.effect == "reads"]
    assert Path(reads.what).is_relative_to(tmp_path)


@pytest.mark.parametrize("path", ["a\0b", "~nobody-of-this-name/x", "half \ud800"])
def test_what_cannot_be_a_path_is_told(tmp_path: Path, path: str) -> None:
    every = made(everything)
    with pytest.raises(ToolRetry):
        every.accesses({"source": Path(path)}, tmp_path)


@pytest.mark.parametrize(
    "url", ["example.org", "ftp://e.org/", "http://u:p@e.org/", "http://[::1/"]
)
def test_what_cannot_be_an_address_is_told(tmp_path: Path, url: str) -> None:
    with pytest.raises(ToolRetry):
        accesses(tmp_path, url=url)


def test_an_effect_that_no_argument_is_about_touches_what_cannot_be_told(tmp_path: Path) -> None:
    @tool(effects=("reads", "network"))
    def vague(path: str) -> None:
        """Do something."""

    found = made(vague).accesses({"path": "/etc/passwd"}, tmp_path)
    assert found == (Access("reads"), Access("network"))


def test_a_shape_of_paths_that_cannot_be_read_fails_closed(tmp_path: Path) -> None:
    @tool(effects=("reads",))
    def strange(paths: dict[str, ReadPath]) -> None:
        """Take a shape that nobody reads."""

    strange_tool = made(strange)
    with pytest.raises(TypeError):
        strange_tool.accesses(strange_tool.bind({"paths": {"a": "/etc/passwd"}}), tmp_path)


# -- what goes wrong in it -------------------------------------------------------------------------


class Unspeakable(Exception):
    """An error that breaks whoever reads it."""

    def __str__(self) -> str:
        raise RuntimeError("no")


class OutOfTheWay(BaseException):
    """What pytest, asyncio and trio raise past `except Exception`."""


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("bad"), "tool 'broken' broke: ValueError: bad"),
        (ValueError(), "tool 'broken' broke: ValueError"),
        (SystemExit(3), "tool 'broken' broke: SystemExit: 3"),
        (Unspeakable(), "tool 'broken' broke: Unspeakable: <Unspeakable>"),
        (OutOfTheWay("x"), "tool 'broken' broke: OutOfTheWay: x"),
        (asyncio.CancelledError(), "tool 'broken' broke: CancelledError"),
        (GeneratorExit(), "tool 'broken' broke: GeneratorExit"),
        (MemoryError(), "tool 'broken' broke: MemoryError"),
    ],
)
def test_whatever_a_tool_raises_is_an_error_of_the_tool(error: BaseException, said: str) -> None:
    @tool
    def broken() -> None:
        """Break."""
        raise error

    with pytest.raises(ToolError) as caught:
        made(broken).run({}, CONTEXT)
    assert str(caught.value) == said
    assert caught.value.__cause__ is error


@pytest.mark.parametrize(
    "error", [ToolRetry("again"), UserError("yours"), Cancelled("stop"), KeyboardInterrupt()]
)
def test_what_is_meant_for_the_caller_passes(error: BaseException) -> None:
    @tool
    def passing() -> None:
        """Raise."""
        raise error

    with pytest.raises(type(error)) as caught:
        made(passing).run({}, CONTEXT)
    assert caught.value is error


def test_a_tool_without_end_in_itself_is_told() -> None:
    @tool
    def deep() -> None:
        """Call itself."""
        deep()

    limit = sys.getrecursionlimit()
    with pytest.raises(ToolError, match="broke: RecursionError"):
        made(deep).run({}, CONTEXT)
    assert sys.getrecursionlimit() == limit


def test_a_generator_does_its_work_within_the_call() -> None:
    @tool
    def several(bad: bool) -> Iterator[int]:
        """Give."""
        yield 1
        if bad:
            raise ToolRetry("not so far")
        yield 2

    assert made(several).run({"bad": False}, CONTEXT) == [1, 2]
    with pytest.raises(ToolRetry, match="not so far"):
        made(several).run({"bad": True}, CONTEXT)
