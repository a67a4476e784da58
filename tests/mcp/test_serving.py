"""Our server, used by the SDK's own client: over pipes, which it starts, and over HTTP."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import anyio
import pytest
from mcp import Client, MCPError
from mcp.types import Tool

from .conftest import Approve, Home, Served, finish, words


async def offered(client: Client) -> dict[str, Tool]:
    return {tool.name: tool for tool in (await client.list_tools()).tools}


def test_tools_and_workflows_are_offered_with_what_there_is_to_know(over_http: Served) -> None:
    async def main() -> dict[str, Tool]:
        async with over_http.client() as client:
            assert client.server_info is not None
            assert client.server_info.name == "agentkit"
            return await offered(client)

    tools = finish(main())

    assert {"calculate", "greet", "workflow_letter", "workflow_meeting-notes"} <= set(tools)
    assert "workflow_broken" not in tools
    greet = tools["greet"]
    assert greet.description == "Say hello."
    assert greet.input_schema["required"] == ["name"]
    assert greet.input_schema["properties"]["name"] == {"type": "string", "description": "To whom."}

    letter = tools["workflow_letter"]
    assert letter.description == "A letter to somebody."
    assert letter.input_schema == {
        "type": "object",
        "properties": {
            "to": {"type": "string", "description": "who gets it"},
            "times": {"type": "integer", "default": 1, "minimum": 1, "maximum": 3},
            "tone": {"type": "string", "enum": ["loud", "quiet"], "default": "quiet"},
            "enclosed": {
                "type": "string",
                "description": "(the path of a file on this machine)",
            },
        },
        "required": ["to"],
        "additionalProperties": False,
    }


def test_effects_become_hints(over_http: Served) -> None:
    async def main() -> dict[str, tuple[bool | None, ...]]:
        async with over_http.client() as client:
            return {
                name: (hints.read_only_hint, hints.destructive_hint, hints.open_world_hint)
                for name, tool in (await offered(client)).items()
                if (hints := tool.annotations)
            }

    hints = finish(main())

    assert hints["greet"] == (True, False, False)
    assert hints["read_file"] == (True, False, False)
    assert hints["put"] == (False, True, False)
    assert hints["far"] == (False, True, True)
    assert hints["workflow_letter"] == (False, None, None)


@pytest.mark.parametrize("mode", ["legacy", "auto"])
def test_calls_give_data_text_or_an_error(over_http: Served, mode: str) -> None:
    async def main() -> None:
        async with over_http.client(mode=mode) as client:
            await calls_give_data_text_or_an_error(client)

    finish(main())


async def calls_give_data_text_or_an_error(client: Client) -> None:
    given = await client.call_tool("greet", {"name": "Ada", "tone": "loud"})
    assert (given.structured_content, given.is_error) == ({"said": "HELLO ADA"}, False)
    assert json.loads(words(given)) == {"said": "HELLO ADA"}

    assert words(await client.call_tool("calculate", {"expression": "6 * 7"})) == "42"

    failed = await client.call_tool("fail", {"why": "no luck"})
    assert (failed.is_error, words(failed)) == (True, "no luck")

    wrong = await client.call_tool("greet", {"nam": "Ada"})
    assert wrong.is_error
    assert 'unknown argument "nam". did you mean "name"?' in words(wrong)

    with pytest.raises(MCPError, match=r"no tool named 'gret'.* did you mean .greet."):
        await client.call_tool("gret", {})

    broken = await client.call_tool("workflow_broken", {})
    assert broken.is_error
    assert "broken.yaml:2:8" in words(broken)


def test_over_pipes_it_is_the_same_and_nothing_that_is_printed_gets_in_between(home: Home) -> None:
    async def main() -> None:
        async with Served(home).client() as client:
            assert {"greet", "workflow_letter"} <= set(await offered(client))
            await calls_give_data_text_or_an_error(client)
            assert words(await client.call_tool("shout", {})) == "stdin has ''"
            assert words(await client.call_tool("calculate", {"expression": "1 + 1"})) == "2"

    finish(main())


def test_progress_is_told(over_http: Served) -> None:
    told: list[tuple[float, float | None, str | None]] = []

    async def tell(progress: float, total: float | None, message: str | None) -> None:
        told.append((progress, total, message))

    async def main() -> None:
        async with over_http.client() as client:
            assert words(await client.call_tool("tick", {}, progress_callback=tell)) == "done"

    finish(main())
    assert told[-1] == (3, 3, "3 of 3 steps")
    assert told == sorted(told)


@pytest.mark.parametrize(("way", "mode"), [("http", "legacy"), ("http", "auto"), ("pipes", "auto")])
def test_a_cancel_of_the_client_reaches_the_tool(
    home: Home, over_http: Served, way: str, mode: str
) -> None:
    mark = f"{way}-{mode}"

    async def main() -> str:
        only = ("--tool", "wait", "--tool", "lo*")
        served = over_http.client(mode=mode) if way == "http" else Served(home).client(*only)
        async with served as client:
            if way == "pipes":
                assert set(await offered(client)) == {"wait", "look"}
            with anyio.CancelScope() as scope:

                async def stop(progress: float, total: float | None, message: str | None) -> None:
                    scope.cancel()

                await client.call_tool("wait", {"mark": mark}, progress_callback=stop)
            assert scope.cancelled_caught
            return words(await client.call_tool("look", {"mark": mark}))

    assert finish(main()) == "cancelled by the client"


def test_calls_are_made_at_the_same_time(over_http: Served) -> None:
    async def main() -> list[str]:
        async with over_http.client() as client:
            calls = [client.call_tool("meet", {}) for _ in range(3)]
            return [words(result) for result in await asyncio.gather(*calls)]

    assert finish(main()) == ["met"] * 3


def test_what_is_not_granted_waits_for_a_person_and_then_for_the_same_call(
    over_http: Served, approve: Approve, tmp_path: Path
) -> None:
    path = tmp_path / "file.txt"

    async def main() -> None:
        async with over_http.client() as client:
            arguments = {"path": str(path), "text": "by leave"}
            asked = await client.call_tool("put", arguments)
            assert asked.is_error
            assert f"put needs approval: it would write {path}" in words(asked)
            assert not path.exists()
            again = await client.call_tool("put", arguments)
            assert words(again) == words(asked)

            await asyncio.to_thread(approve, words(asked))

            done = await client.call_tool("put", arguments)
            assert done.structured_content == {"path": str(path)}
            assert path.read_text() == "by leave"

            once_more = await client.call_tool("put", arguments)
            assert once_more.is_error
            assert words(once_more) != words(asked)

    finish(main())


def test_a_workflow_runs_and_tells_what_it_made(over_http: Served) -> None:
    told: list[tuple[float, float | None, str | None]] = []

    async def tell(progress: float, total: float | None, message: str | None) -> None:
        told.append((progress, total, message))

    async def main() -> None:
        async with over_http.client() as client:
            done = await client.call_tool("workflow_letter", {"to": "Ada"}, progress_callback=tell)
            assert done.structured_content == {"said": "hello Ada"}
            made = words(done).splitlines()[-1].removeprefix("wrote ")
            assert Path(made).read_text() == "hello Ada"

            wrong = await client.call_tool("workflow_letter", {"times": 7})
            assert wrong.is_error
            assert 'the input "to" (who gets it) is missing' in words(wrong)
            assert 'input "times": must be 3 or less' in words(wrong)

    finish(main())
    assert told[-1] == (2, 2, "file: done")


def test_a_workflow_that_waits_for_a_person_goes_on_with_the_same_call(
    over_http: Served, approve: Approve, tmp_path: Path
) -> None:
    path = tmp_path / "outside.txt"

    async def main() -> None:
        async with over_http.client() as client:
            asked = await client.call_tool("workflow_asks", {"path": str(path)})
            assert asked.is_error
            assert f"put needs approval: it would write {path}" in words(asked)

            await asyncio.to_thread(approve, words(asked))

            done = await client.call_tool("workflow_asks", {"path": str(path)})
            assert done.structured_content == {"path": str(path)}
            assert path.read_text() == "hello Ada"

    finish(main())


def test_calls_and_what_came_of_them_are_in_the_journal(over_http: Served) -> None:
    async def main() -> None:
        async with over_http.client() as client:
            await client.call_tool("greet", {"name": "Journal"})

    finish(main())
    with over_http.home.runtime() as runtime:
        outputs = [run.outputs for run in runtime.journal.runs() if run.workflow == "tool:greet"]
    assert {"result": {"said": "hello Journal"}} in outputs
